package live

import (
	"context"
	"hash/maphash"
	"io"
	"sync"

	"lifeboat/clone/extent"
)

// digests is a sieve: it remembers a digest of each chunk that was read, and
// lets through those that differ from it. It may be used from any goroutine.
// The digests are 64 bits with a random seed, and live as long as the process: one
// change in 10¹⁹ could slip through, no attack can.
type digests struct {
	// config
	seed    maphash.Seed
	granule int64

	// state
	mu  sync.Mutex
	sum []uint64 // 0 = never read
}

func newDigests(size, granule int64) *digests {
	return &digests{seed: maphash.MakeSeed(), granule: granule, sum: make([]uint64, (size+granule-1)/granule)}
}

// forget makes all chunks new.
func (d *digests) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.sum)
}

// changed returns the extents of e whose bytes b are not those that it saw
// before, and remembers the new ones. The same chunk must always come in the
// same extent: whole, or cut by the same want.
func (d *digests) changed(e extent.Extent, b []byte) extent.Set {
	return d.each(e, b, func(old *uint64, sum uint64) bool {
		differs := *old != sum
		*old = sum
		return differs
	})
}

// drop makes the chunks of e new: they were let through, and did not arrive.
func (d *digests) drop(e extent.Extent, b []byte) {
	d.each(e, b, func(old *uint64, _ uint64) bool {
		*old = 0
		return false
	})
}

// differ reads a set again and returns what is not as it was seen last.
func (d *digests) differ(ctx context.Context, r io.ReaderAt, set extent.Set) (extent.Set, error) {
	buf := extent.Buffer()
	defer extent.Release(buf)
	var out extent.Set
	for _, e := range set {
		for e.Len > 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			part := e.Piece()
			if err := extent.ReadFull(r, buf[:part.Len], part.Off); err != nil {
				return nil, err
			}
			out = out.Union(d.each(part, buf[:part.Len], func(old *uint64, sum uint64) bool { return *old != sum }))
			e = extent.Extent{Off: part.End(), Len: e.Len - part.Len}
		}
	}
	return out, nil
}

// each gives each chunk of e with the digest of its bytes b, and returns those
// for which do is true.
func (d *digests) each(e extent.Extent, b []byte, do func(old *uint64, sum uint64) bool) extent.Set {
	var set extent.Set
	for len(b) > 0 {
		n := min((e.Off/d.granule+1)*d.granule-e.Off, int64(len(b)))
		sum := max(1, maphash.Bytes(d.seed, b[:n]))
		d.mu.Lock()
		yes := do(&d.sum[e.Off/d.granule], sum)
		d.mu.Unlock()
		if yes {
			set = set.Append(extent.Extent{Off: e.Off, Len: n})
		}
		e.Off, b = e.Off+n, b[n:]
	}
	return set
}
