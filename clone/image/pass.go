package image

import (
	"context"
	"io"

	"golang.org/x/sync/errgroup"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// zeroRun is the shortest run of zeros, aligned to blocks, that becomes a record
// of its own: shorter ones would only chop up what is written.
const (
	blockSize = 4096
	zeroRun   = 64 << 10
)

// A piece is a run of an image on its way: a buffer that holds its bytes, or
// none where they are zero.
type piece struct {
	extent.Extent
	buf *[extent.BufferSize]byte
}

func (p piece) release() {
	if p.buf != nil {
		extent.Release(p.buf)
	}
}

// send hands a piece on, or gives up with the context.
func send(ctx context.Context, to chan<- piece, p piece) error {
	select {
	case to <- p:
		return nil
	case <-ctx.Done():
		p.release()
		return context.Cause(ctx)
	}
}

// ahead is how many pieces may wait between two stages.
const ahead = 2

// A pass reads ahead in one goroutine, checks in a second, and cuts records in
// the caller's.
type pass struct {
	// config
	want  extent.Set
	used  extent.Set
	known bool // zeros outside of used are left out
	tail  *manifest.Tail
	lost  func() extent.Set // what could not be read; nil = nothing

	// state
	group  *errgroup.Group
	cancel context.CancelFunc
	pieces chan piece
	now    piece // being cut
	todo   extent.Set
	err    error
}

// produce yields the pieces of an image, ascending, and ends with what is known
// only then.
type produce func(ctx context.Context, to chan<- piece) error

// newPass starts the stages. verdict is asked when all was read and checked.
func newPass(ctx context.Context, want extent.Set, h *hints, o Options, from produce, c *checker, verdict func() error) *pass {
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	p := &pass{want: want, tail: h.tail(), group: group, cancel: cancel, pieces: make(chan piece, ahead)}
	if o.UsedOnly {
		p.used, p.known = h.used()
	}
	read := make(chan piece, ahead)
	var ended error // of from; settled when read is closed
	group.Go(func() error {
		defer close(read)
		ended = from(ctx, read)
		return ended
	})
	group.Go(func() error {
		defer close(p.pieces)
		if err := checkAll(ctx, c, read, p.pieces); err != nil {
			return err
		}
		if ended != nil {
			return ended
		}
		return verdict()
	})
	return p
}

// checkAll shows the pieces to the checker and hands them on.
func checkAll(ctx context.Context, c *checker, from <-chan piece, to chan<- piece) error {
	for p := range from {
		if err := c.add(p); err != nil {
			p.release()
			return err
		}
		if err := send(ctx, to, p); err != nil {
			return err
		}
	}
	return nil
}

// Next implements clone.Pass.
func (p *pass) Next(ctx context.Context) (extent.Record, error) {
	if p.err != nil {
		return extent.Record{}, p.err
	}
	for {
		for len(p.todo) > 0 {
			if rec, ok := p.cut(); ok {
				return rec, nil
			}
		}
		p.drop()
		select {
		case <-ctx.Done():
			return extent.Record{}, ctx.Err()
		case piece, ok := <-p.pieces:
			if !ok {
				if p.err = p.group.Wait(); p.err == nil {
					p.err = io.EOF
				}
				return extent.Record{}, p.err
			}
			p.now = piece
			p.todo = p.wanted(piece.Extent)
		}
	}
}

// drop gives the piece back that was cut to its end.
func (p *pass) drop() {
	p.now.release()
	p.now.buf = nil
}

// wanted is the part of want in e; pieces ascend, so that what lies before is
// done with.
func (p *pass) wanted(e extent.Extent) extent.Set {
	for len(p.want) > 0 && p.want[0].End() <= e.Off {
		p.want = p.want[1:]
	}
	var s extent.Set
	for _, w := range p.want {
		if w.Off >= e.End() {
			break
		}
		s = s.Append(w.Intersect(e))
	}
	return s
}

// cut takes the next record off the piece; none where it is not in use.
func (p *pass) cut() (extent.Record, bool) {
	e := p.todo[0]
	rec := extent.Record{Extent: e, Kind: extent.Zero}
	if p.now.buf != nil {
		b := p.now.buf[e.Off-p.now.Off : e.End()-p.now.Off]
		n, zero := run(e.Off, b)
		rec.Len = n
		if !zero {
			rec.Kind, rec.Data = extent.Data, b[:n]
		}
	}
	p.todo[0].Off += rec.Len
	if p.todo[0].Len -= rec.Len; p.todo[0].Len == 0 {
		p.todo = p.todo[1:]
	}
	if rec.Kind == extent.Zero && p.known {
		return p.inUse(rec)
	}
	return rec, true
}

// inUse cuts a record of zeros down to what is in use; what is left of it comes
// next.
func (p *pass) inUse(rec extent.Record) (extent.Record, bool) {
	for len(p.used) > 0 && p.used[0].End() <= rec.Off {
		p.used = p.used[1:]
	}
	if len(p.used) == 0 {
		return rec, false
	}
	cut := p.used[0].Intersect(rec.Extent)
	if cut.Len == 0 {
		return rec, false
	}
	if rest := rec.End() - cut.End(); rest > 0 {
		back := extent.Set{{Off: cut.End(), Len: rest}}
		p.todo = back.Union(p.todo)
	}
	return extent.Record{Extent: cut, Kind: extent.Zero}, true
}

// run measures the run of zeros, or of anything else, at the front of b, which
// lies at byte off of the disk.
func run(off int64, b []byte) (n int64, zero bool) {
	size, at, begin := int64(len(b)), int64(0), int64(-1)
	for at < size {
		end := min((off+at)/blockSize*blockSize+blockSize-off, size)
		if !extent.IsZero(b[at:end]) {
			if begin == 0 && at >= zeroRun {
				return at, true
			}
			if begin > 0 && at-begin >= zeroRun {
				return begin, false
			}
			begin = -1
		} else if begin < 0 {
			begin = at
		}
		at = end
	}
	if begin == 0 {
		return size, true
	}
	if begin > 0 && size-begin >= zeroRun {
		return begin, false
	}
	return size, false
}

// Tail implements clone.Pass.
func (p *pass) Tail() *manifest.Tail {
	if p.lost != nil {
		p.tail.Unreadable = p.tail.Unreadable.Union(p.lost())
	}
	return p.tail
}

// Close implements clone.Pass. It waits for the goroutines.
func (p *pass) Close() error {
	p.cancel()
	for piece := range p.pieces {
		piece.release()
	}
	p.group.Wait()
	p.drop()
	if p.err == nil {
		p.err = io.ErrClosedPipe
	}
	return nil
}
