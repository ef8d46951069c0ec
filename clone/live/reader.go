package live

import (
	"context"
	"io"
	"sync"

	"lifeboat/clone/extent"
)

// readings is how many chunks are read at once while the disk is in use by
// others.
const readings = 2

// A reader yields a set's bytes as records, in runs of data and of zeros.
type reader struct {
	// config
	r     io.ReaderAt
	sieve *digests // nil: all is yielded

	// state
	in    *extent.Reader // of the round
	now   *extent.Chunk  // what records are cut from
	fresh extent.Set     // what of it was not yielded yet
	count int64          // bytes that were yielded
	signs extent.Set     // sectors with the signature of swap
}

// begin begins a round, behind the end of another.
func (c *reader) begin(set extent.Set) { c.in = extent.NewReader(c.r, set, readings) }

// next is the next record, or ok = false at the end. An error does not repeat
// what was read before it.
func (c *reader) next(ctx context.Context) (rec extent.Record, ok bool, err error) {
	for len(c.fresh) == 0 {
		if err := ctx.Err(); err != nil {
			return rec, false, err
		}
		if err := c.fill(); err == io.EOF {
			return rec, false, nil
		} else if err != nil {
			return rec, false, err
		}
	}
	e := &c.fresh[0]
	rec = extent.Front(e.Off, c.now.Bytes(*e))
	c.count += rec.Len
	if *e = (extent.Extent{Off: rec.End(), Len: e.Len - rec.Len}); e.Len == 0 {
		c.fresh = c.fresh[1:]
	}
	return rec, true, nil
}

// at is where the next record begins.
func (c *reader) at() int64 {
	if len(c.fresh) > 0 {
		return c.fresh[0].Off
	}
	return c.in.Off()
}

// fill takes the next chunk.
func (c *reader) fill() (err error) {
	if c.now, err = c.in.Next(); err != nil {
		return err
	}
	for _, e := range c.now.Want {
		data := c.now.Bytes(e)
		c.sign(e.Off, data)
		if c.sieve != nil {
			c.fresh = append(c.fresh, c.sieve.changed(e, data)...)
		} else {
			c.fresh = append(c.fresh, e)
		}
	}
	return nil
}

// close waits for what is being read.
func (c *reader) close() {
	if c.in != nil {
		c.in.Close()
	}
}

// sign remembers the swap signatures in b, which lies at off.
func (c *reader) sign(off int64, b []byte) {
	if found := swapSigns(off, b); len(found) > 0 {
		c.signs = c.signs.Union(found)
	}
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
