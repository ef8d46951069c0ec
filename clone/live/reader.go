package live

import (
	"context"
	"io"
	"math"
	"sync"

	"lifeboat/clone/extent"
)

// A reader yields a set's bytes as records, in runs of data and of zeros.
type reader struct {
	// config
	r     io.ReaderAt
	sieve *digests // nil: all is yielded
	buf   *[extent.BufferSize]byte

	// state
	todo  extent.Set
	start int64      // where the buffer begins on the disk
	fresh extent.Set // what of the buffer was not yielded yet
	count int64      // bytes that were yielded
	signs extent.Set // sectors with the signature of swap
}

// zeroGranule is the length of the shortest run of zeros that becomes a record
// of its own.
const zeroGranule = 64 << 10

// next is the next record, or ok = false at the end. An error does not repeat
// what was read before it.
func (c *reader) next(ctx context.Context) (rec extent.Record, ok bool, err error) {
	for len(c.fresh) == 0 {
		if len(c.todo) == 0 {
			return rec, false, nil
		}
		if err := ctx.Err(); err != nil {
			return rec, false, err
		}
		if err := c.fill(); err != nil {
			return rec, false, err
		}
	}
	e := &c.fresh[0]
	data := c.buf[e.Off-c.start : e.End()-c.start]
	n, zero := run(data)
	rec = extent.Record{Extent: extent.Extent{Off: e.Off, Len: int64(n)}, Data: data[:n]}
	if zero {
		rec.Kind, rec.Data = extent.Zero, nil
	}
	c.count += rec.Len
	*e = extent.Extent{Off: rec.End(), Len: e.Len - rec.Len}
	if e.Len == 0 {
		c.fresh = c.fresh[1:]
	}
	return rec, true, nil
}

// at is where the next record begins.
func (c *reader) at() int64 {
	switch {
	case len(c.fresh) > 0:
		return c.fresh[0].Off
	case len(c.todo) > 0:
		return c.todo[0].Off
	}
	return math.MaxInt64
}

// fill reads the next chunk.
func (c *reader) fill() error {
	e := chunk(c.todo[0])
	rest := extent.Extent{Off: e.End(), Len: c.todo[0].Len - e.Len}
	c.todo = c.todo[1:]
	if rest.Len > 0 {
		c.todo = append(extent.Set{rest}, c.todo...)
	}
	if err := readFull(c.r, c.buf[:e.Len], e); err != nil {
		return err
	}
	c.sign(e.Off, c.buf[:e.Len])
	c.start = e.Off
	if c.sieve != nil {
		c.fresh = c.sieve.changed(e, c.buf[:e.Len])
	} else {
		c.fresh = extent.Of(e)
	}
	return nil
}

// sign remembers the swap signatures in b, which lies at off.
func (c *reader) sign(off int64, b []byte) {
	if found := swapSigns(off, b); len(found) > 0 {
		c.signs = c.signs.Union(found)
	}
}

// run is the length of what b begins with, and whether that is zeros.
func run(b []byte) (n int, zero bool) {
	zero = extent.IsZero(b[:min(zeroGranule, len(b))])
	for n < len(b) {
		piece := b[n:min(n+zeroGranule, len(b))]
		if extent.IsZero(piece) != zero {
			break
		}
		n += len(piece)
	}
	return n, zero
}

// ahead answers small reads from larger ones: maps are read block by block, and
// many lie side by side. It is for one survey of a disk that holds still.
type ahead struct {
	r     io.ReaderAt
	size  int64
	mu    sync.Mutex
	pages map[int64][]byte
}

const (
	aheadPage = 64 << 10
	aheadMost = 64 // pages
)

func newAhead(r interface {
	io.ReaderAt
	Size() int64
}) *ahead {
	return &ahead{r: r, size: r.Size(), pages: map[int64][]byte{}}
}

func (a *ahead) ReadAt(p []byte, off int64) (int, error) {
	page := off / aheadPage * aheadPage
	if off < 0 || off+int64(len(p)) > page+aheadPage || off+int64(len(p)) > a.size {
		return a.r.ReadAt(p, off)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b, ok := a.pages[page]
	if !ok {
		b = make([]byte, min(aheadPage, a.size-page))
		if n, _ := a.r.ReadAt(b, page); n < len(b) {
			return a.r.ReadAt(p, off) // the error, if it is ours
		}
		if len(a.pages) == aheadMost {
			clear(a.pages)
		}
		a.pages[page] = b
	}
	return copy(p, b[off-page:]), nil
}
