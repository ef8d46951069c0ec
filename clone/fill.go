package clone

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"sort"
	"sync"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// medium is what a target can do; *disk.Target is one.
type medium interface {
	io.ReaderAt
	io.WriterAt
	WriteZeros(ctx context.Context, e extent.Extent) error
}

// A filler is the sink that lays a source's records at their places on the
// target, and remembers what it laid there until it was read back.
//
// Zeros are not written at once: a packed image has zeros for what is in use
// and zero, and for what is not in use alike. When all else lies on the target,
// its own maps tell which of them must be written.
type filler struct {
	// config
	moves []Step // of Op Move, by Src.Off
	to    medium
	hold  extent.Extent // place that is written last, empty where the table is

	squeeze *squeeze // a part that becomes smaller; nil = none

	// for what is told of a target that loses bytes
	size    int64
	file    bool
	placeOf func(off int64) string

	// state
	sums    sums       // of what was laid down
	data    extent.Set // where data lies
	zeros   extent.Set // where zeros came
	held    []byte     // what belongs at hold
	compare comparer

	mu      sync.Mutex // of what follows: pieces are laid side by side
	Written int64      // bytes that had to be written
	Same    int64      // bytes that were on the target already
}

var (
	_ Sink     = (*filler)(nil)
	_ Patcher  = (*filler)(nil)
	_ preparer = (*filler)(nil)
)

func newFiller(p *Plan, to medium) *filler {
	f := &filler{to: to, sums: newSums(), size: p.Target.Size, file: p.Target.File, placeOf: p.placeOf}
	for _, s := range p.Steps {
		if s.Op == Move {
			f.moves = append(f.moves, s)
		}
	}
	if p.Head.Table.Kind == manifest.NoTable {
		f.hold = front(p)
		f.held = make([]byte, f.hold.Len)
	}
	return f
}

// front is what tells of a file system on a disk without a table: as long as it is
// zero, nobody takes what lies behind it for one.
func front(p *Plan) extent.Extent {
	return extent.Extent{Off: 0, Len: min(partFront, p.Head.Size, p.Target.Size)}
}

// Start does nothing: the wipe is a step of its own.
func (f *filler) Start(context.Context, *manifest.Head) error { return nil }

// Commit does nothing: the steps behind the copy are Execute's.
func (f *filler) Commit(context.Context, *manifest.Tail) error { return nil }

// Abort does nothing: without its table the target holds neither old nor new.
func (f *filler) Abort(context.Context) error { return nil }

// Put lays a record at its places.
func (f *filler) Put(ctx context.Context, r extent.Record) error {
	return f.eachPiece(r, f.place, f.park(ctx))
}

// park hands pieces to what makes a part smaller.
func (f *filler) park(ctx context.Context) func(extent.Record) error {
	return func(piece extent.Record) error { return f.squeeze.parker.Put(ctx, piece) }
}

// prepare notes a record, and returns what lays it at its places. What is parked
// is parked at once: its places depend on what came before.
func (f *filler) prepare(ctx context.Context, r extent.Record) (func() error, error) {
	var pieces []extent.Record
	err := f.eachPiece(r, func(piece extent.Record) error {
		if f.note(piece) {
			pieces = append(pieces, piece)
		}
		return nil
	}, f.park(ctx))
	if err != nil || len(pieces) == 0 {
		return nil, err
	}
	return func() error {
		for _, piece := range pieces {
			if err := f.lay(piece); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// Patch lays a record over what earlier ones laid.
func (f *filler) Patch(ctx context.Context, r extent.Record) error {
	return f.eachPiece(r, f.rewrite, func(piece extent.Record) error { return f.squeeze.parker.Patch(ctx, piece) })
}

// rewrite places a piece where others may have been placed before.
func (f *filler) rewrite(piece extent.Record) error {
	if err := f.forget(piece.Extent); err != nil {
		return err
	}
	return f.place(piece)
}

// place takes a piece whose extent is one of the target.
func (f *filler) place(piece extent.Record) error {
	if !f.note(piece) {
		return nil
	}
	return f.lay(piece)
}

// note remembers a piece, and tells whether it must be laid now.
func (f *filler) note(piece extent.Record) bool {
	switch {
	case piece.Len == 0:
		return false
	case piece.Kind == extent.Zero:
		f.zeros = add(f.zeros, piece.Extent)
		return false
	}
	f.data = add(f.data, piece.Extent)
	f.sums.add(piece.Off, piece.Data)
	return true
}

// forget takes back what was noted of e. The bytes are read for their sum, so
// that verify still finds a target that lost them.
func (f *filler) forget(e extent.Extent) error {
	if len(overlapping(f.zeros, e)) > 0 {
		f.zeros = f.zeros.Subtract(extent.Of(e))
	}
	here := overlapping(f.data, e)
	if len(here) == 0 {
		return nil
	}
	for _, old := range here.Clip(e) {
		was := make([]byte, old.Len)
		if _, err := f.to.ReadAt(was, old.Off); err != nil {
			return fmt.Errorf("read back %d bytes at %d: %w", old.Len, old.Off, noEOF(err))
		}
		f.sums.remove(old.Off, was)
	}
	f.data = f.data.Subtract(extent.Of(e))
	return nil
}

// eachPiece cuts a record where the steps cut the disk, and gives each piece
// with its place on the target to lay. Pieces of a part whose blocks have no
// place yet go to park, with offsets in that part.
func (f *filler) eachPiece(r extent.Record, lay, park func(piece extent.Record) error) error {
	first := sort.Search(len(f.moves), func(i int) bool { return f.moves[i].Src.End() > r.Off })
	for _, m := range f.moves[first:] {
		if m.Src.Off >= r.End() {
			break
		}
		piece := slice(r, r.Intersect(m.Src))
		piece.Off -= m.Src.Off
		if err := f.send(m, piece, lay, park); err != nil {
			return err
		}
	}
	return nil
}

func (f *filler) send(m Step, piece extent.Record, lay, park func(extent.Record) error) error {
	if f.squeezes(m) {
		return f.squeeze.take(piece, lay, park)
	}
	piece.Off += m.Dst.Off
	return lay(f.keep(piece))
}

// squeezes tells whether what m moves becomes smaller.
func (f *filler) squeezes(m Step) bool { return f.squeeze != nil && f.squeeze.part == m.Part }

// keep holds back the bytes that are written last, and returns the rest.
func (f *filler) keep(piece extent.Record) extent.Record {
	cut := piece.Intersect(f.hold)
	if cut.Len == 0 {
		return piece
	}
	held := f.held[cut.Off-f.hold.Off:][:cut.Len]
	if piece.Kind == extent.Data {
		copy(held, piece.Data)
		piece.Data = piece.Data[cut.Len:]
	} else {
		clear(held) // a patch may bring zeros where data came before
	}
	piece.Extent = extent.Extent{Off: cut.End(), Len: piece.Len - cut.Len}
	return piece
}

// lay writes a piece, unless the target holds it already. Several may be laid
// at once.
func (f *filler) lay(piece extent.Record) error {
	same := f.compare.same(f.to, piece)
	if !same {
		if _, err := f.to.WriteAt(piece.Data, piece.Off); err != nil {
			return fmt.Errorf("write %d bytes at %d: %w", piece.Len, piece.Off, err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if same {
		f.Same += piece.Len
	} else {
		f.Written += piece.Len
	}
	return nil
}

// add puts e into a set, at its end where it belongs there.
func add(s extent.Set, e extent.Extent) extent.Set {
	if n := len(s); n == 0 || e.Off >= s[n-1].Off {
		return s.Append(e)
	}
	return s.Union(extent.Of(e))
}

// A comparer looks whether the target already holds what is to be written: a
// second run after an interruption writes only what is missing. On a target
// where that is never so it soon looks only now and then.
type comparer struct {
	mu     sync.Mutex
	misses int
	skip   int
}

const (
	patience = 8  // this many misses in a row, and
	nap      = 63 // so many pieces are written without a look
)

// same tells whether r holds the piece already. What cannot be read is written:
// that may mend it.
func (c *comparer) same(r io.ReaderAt, piece extent.Record) bool {
	if !c.look() {
		return false
	}
	buf := extent.Buffer()
	defer extent.Release(buf)
	have := buf[:piece.Len]
	if _, err := r.ReadAt(have, piece.Off); err != nil {
		return false
	}
	return c.learn(string(have) == string(piece.Data))
}

// look tells whether it is worth it.
func (c *comparer) look() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.skip > 0 {
		c.skip--
		return false
	}
	return true
}

func (c *comparer) learn(same bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if same {
		c.misses = 0
	} else if c.misses++; c.misses >= patience {
		c.skip = nap
	}
	return same
}

// sums are checksums of the bytes on the target, one for each chunk of
// sumChunk. A chunk's is the sum of its atoms', so that they can be added in any
// order, and taken away again. They live in memory only and find what a card
// lost, not what an attacker forged.
type sums struct {
	seed  maphash.Seed
	chunk map[int64]uint64
}

const (
	sumChunk = extent.BufferSize
	sumAtom  = 512 // all offsets and lengths are multiples of it
)

func newSums() sums { return sums{maphash.MakeSeed(), map[int64]uint64{}} }

func (s *sums) add(off int64, b []byte) {
	s.each(off, b, func(chunk int64, sum uint64) { s.chunk[chunk] += sum })
}

func (s *sums) remove(off int64, b []byte) {
	s.each(off, b, func(chunk int64, sum uint64) { s.chunk[chunk] -= sum })
}

func (s *sums) each(off int64, b []byte, do func(chunk int64, sum uint64)) {
	for len(b) > 0 {
		n := min(sumAtom, len(b))
		place := maphash.Comparable(s.seed, off)
		do(off/sumChunk, maphash.Bytes(s.seed, b[:n])^place)
		off, b = off+int64(n), b[n:]
	}
}
