package extent

import (
	"fmt"
	"io"
	"math"
)

// Gap is what may be read along between two extents that are wanted, bytes: one
// request more costs a card as much time.
const Gap = 32 << 10

// A Reader reads a set in ascending chunks. It has some read while one is being
// used, so that a disk always has work.
type Reader struct {
	// Exact has it read nothing but the set. It may be set at any time.
	Exact bool

	// config
	r    io.ReaderAt
	most int // chunks at once

	// state
	todo  Set      // what no chunk was sent for
	under []*Chunk // on their way, in order
	now   *Chunk   // what Next gave; nil = nothing
}

// A Chunk is what is read at once: from the first to the last wanted byte of what
// a buffer takes.
type Chunk struct {
	Extent
	Want Set
	buf  *[BufferSize]byte
	done chan error // one
}

// Bytes are those of e, which lies in Want.
func (c *Chunk) Bytes(e Extent) []byte { return c.buf[e.Off-c.Off : e.End()-c.Off] }

// NewReader reads set out of r, up to most chunks at once. The caller closes it.
func NewReader(r io.ReaderAt, set Set, most int) *Reader {
	return &Reader{r: r, most: most, todo: append(Set(nil), set...)}
}

// Next waits for the next chunk, which is valid until the next call, and sends
// for others. It returns io.EOF at the end. An error is one of reading what is
// wanted.
func (r *Reader) Next() (*Chunk, error) {
	r.drop()
	for len(r.under) < r.most && len(r.todo) > 0 {
		r.under = append(r.under, r.send())
	}
	if len(r.under) == 0 {
		return nil, io.EOF
	}
	r.now, r.under = r.under[0], r.under[1:]
	if err := <-r.now.done; err != nil {
		return nil, err
	}
	return r.now, nil
}

// Off is where the next chunk begins; at the end it is behind all bytes.
func (r *Reader) Off() int64 {
	switch {
	case len(r.under) > 0:
		return r.under[0].Off
	case len(r.todo) > 0:
		return r.todo[0].Off
	}
	return math.MaxInt64
}

// send begins to read the next chunk.
func (r *Reader) send() *Chunk {
	c := &Chunk{Extent: Extent{Off: r.todo[0].Off}, buf: Buffer(), done: make(chan error, 1)}
	room, gap := Extent{Off: c.Off, Len: BufferSize}.Piece(), int64(Gap)
	if r.Exact {
		gap = 0
	}
	for len(r.todo) > 0 && r.todo[0].Off < room.End() && r.todo[0].Off-c.End() <= gap {
		next := &r.todo[0]
		e := next.Piece()
		c.Want, c.Len = append(c.Want, e), e.End()-c.Off
		next.Off, next.Len = e.End(), next.Len-e.Len
		if next.Len == 0 {
			r.todo = r.todo[1:]
		}
	}
	go func() { c.done <- ReadWanted(r.r, c.Bytes(c.Extent), c.Off, c.Want) }()
	return c
}

// ReadWanted fills b from off at once, and where that fails what of it is wanted:
// nothing is lost where the rest cannot be read.
func ReadWanted(r io.ReaderAt, b []byte, off int64, want Set) error {
	all := Extent{Off: off, Len: int64(len(b))}
	err := ReadFull(r, b, off)
	if want = want.Clip(all); err == nil || len(want) == 1 && want[0] == all {
		return err
	}
	for _, e := range want {
		if err := ReadFull(r, b[e.Off-off:e.End()-off], e.Off); err != nil {
			return err
		}
	}
	return nil
}

// ReadFull fills b, or says what could not be read. Where the bytes end before,
// that is io.ErrUnexpectedEOF, which no loop takes for the end of its work.
func ReadFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(b), off, err)
}

// drop gives the chunk back that was used.
func (r *Reader) drop() {
	if r.now != nil {
		Release(r.now.buf)
		r.now = nil
	}
}

// Close waits for what is being read. A second Close does nothing.
func (r *Reader) Close() {
	r.drop()
	for _, c := range r.under {
		<-c.done
		Release(c.buf)
	}
	r.under, r.todo = nil, nil
}
