package clone

import (
	"bytes"
	"context"
	"fmt"

	"lifeboat/clone/extent"
	"lifeboat/internal/progress"
)

// A LostError says that the target does not hold what was written to it, and
// what was seen of that.
type LostError struct {
	extent.Extent        // the first bytes that did not come back
	Place         string // of them: "part 2"
	Written       int64  // bytes that were read back
	Held          int64  // of them came back as they were written
	Data          int64  // of those are not zeros: what is gone mostly reads as zero
	Rest          int64  // of those lie behind the first bad ones
	Wraps         int64  // what was written so far behind the first bad bytes lies in their place; 0 = no such thing was seen
	Size          int64  // what the target says that it has
	File          bool   // the target is a file
}

func (e *LostError) Error() string {
	if e.File {
		return fmt.Sprintf("the disk that the file lies on is faulty: %s", e.seen())
	}
	return fmt.Sprintf("the card is fake or worn: %s; %s", e.seen(), e.verdict())
}

// seen is what was found by reading.
func (e *LostError) seen() string {
	if e.Held == e.Written {
		return progress.Bytes(e.Written) + " were read back, some of them differently than they were written, and all of them right when they were read again"
	}
	where := ""
	if e.Place != "" {
		where = " (" + e.Place + ")"
	}
	return fmt.Sprintf("%s of %s read back differently than they were written, the first of them bytes %d to %d%s",
		progress.Bytes(e.Written-e.Held), progress.Bytes(e.Written), e.Off, e.End(), where)
}

// verdict is what that means.
func (e *LostError) verdict() string {
	switch {
	case e.Wraps > 0:
		return fmt.Sprintf("what was written %d bytes behind them lies in their place: it is fake, has %s and says %s",
			e.Wraps, progress.Bytes(e.Wraps), progress.Bytes(e.Size))
	case e.Held == e.Written:
		return "it cannot be trusted"
	case e.Data == 0:
		return "nothing of it was taken: a worn card keeps what it held, and says nothing"
	case e.Rest == 0:
		return fmt.Sprintf("all before them holds, and nothing behind: it is fake or half dead, has no more than %s and says %s",
			progress.Bytes(e.Off), progress.Bytes(e.Size))
	}
	return "what lies before and behind them holds: it is worn, or its reader is faulty"
}

// An assessment is what is seen of a target that lost something.
type assessment struct {
	f      *filler
	right  extent.Set
	bad    extent.Set
	data   int64  // bytes that are right and not zero: what is gone mostly reads as zero
	behind int64  // of them lie behind the first bad ones
	sample []byte // of the first bad bytes, as it was read
	from   int64  // its place
	wraps  int64
}

// assess reads all that was laid down, though some of it is known to be wrong,
// and says what is to be seen of it.
func (f *filler) assess(ctx context.Context, m *progress.Meter) error {
	m.Phase("look what the target lost", f.data.Bytes()+f.zeros.Bytes())
	a := assessment{f: f}
	buf := extent.Buffer()
	defer extent.Release(buf)
	err := f.eachSum(func(pieces extent.Set) error {
		right, err := f.rightChunk(ctx, buf, pieces, m)
		if err == nil {
			a.add(pieces, right)
			if right {
				a.data += pieces.Bytes()
			}
			if right && len(a.bad) > 0 {
				a.behind += pieces.Bytes()
			}
			a.look(buf, pieces, right)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = eachChunk(f.zeros, func(e extent.Extent) error {
		err := f.readBack(ctx, buf[:e.Len], e.Off, m)
		if err == nil {
			a.add(extent.Set{e}, extent.IsZero(buf[:e.Len]))
		}
		return err
	})
	if err != nil {
		return err
	}
	return a.verdict()
}

func (a *assessment) add(pieces extent.Set, right bool) {
	for _, e := range pieces {
		if right {
			a.right = add(a.right, e)
		} else {
			a.bad = add(a.bad, e)
		}
	}
}

const sampleSize = 4096

// look takes a sample of the first bad bytes, and finds where else it lies: be
// that right or not, for more may have come over it.
func (a *assessment) look(buf *[extent.BufferSize]byte, pieces extent.Set, right bool) {
	for _, e := range pieces {
		b := buf[e.Off%sumChunk:][:e.Len]
		switch {
		case a.wraps > 0:
		case !right && a.sample == nil:
			for n := 0; n+sampleSize <= len(b) && a.sample == nil; n += sampleSize {
				if s := b[n : n+sampleSize]; !bytes.Equal(s[1:], s[:sampleSize-1]) { // one byte over and over lies anywhere
					a.sample, a.from = bytes.Clone(s), e.Off+int64(n)
				}
			}
		case a.sample != nil && e.Off > a.from:
			if n := bytes.Index(b, a.sample); n >= 0 {
				a.wraps = e.Off + int64(n) - a.from
			}
		}
	}
}

// confirms is how many bad places must show the same distance.
const confirms = 16

// confirmed tells whether all bad bytes are those that lie so far behind them.
// One sector that occurs twice proves nothing.
func (a *assessment) confirmed() bool {
	laid := a.right.Union(a.bad)
	here, there := make([]byte, sampleSize), make([]byte, sampleSize)
	step := max(1, a.bad.Bytes()/sampleSize/confirms) * sampleSize
	seen := 0
	for _, e := range a.bad {
		for off := e.Off; off+sampleSize <= e.End(); off += step {
			if !laid.Contains(extent.Extent{Off: off + a.wraps, Len: sampleSize}) {
				continue
			}
			_, err := a.f.to.ReadAt(here, off)
			_, berr := a.f.to.ReadAt(there, off+a.wraps)
			if err != nil || berr != nil || !bytes.Equal(here, there) {
				return false
			}
			seen++
		}
	}
	return seen > 0
}

func (a *assessment) verdict() error {
	f := a.f
	e := &LostError{
		Extent:  f.data.Union(f.zeros).Bounds(), // where it came back when it was asked again
		Written: f.data.Bytes() + f.zeros.Bytes(), Held: a.right.Bytes(),
		Size: f.size, File: f.file,
	}
	if len(a.bad) > 0 {
		e.Extent = a.bad[0]
	}
	if a.wraps > 0 && a.confirmed() {
		e.Wraps = a.wraps
	}
	e.Data, e.Rest = a.data, a.behind
	e.Place = f.placeOf(e.Off)
	return e
}
