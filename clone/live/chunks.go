package live

import (
	"math/bits"
	"sync"

	"lifeboat/clone/extent"
)

// chunks is a bitmap of a disk: one bit for each chunk of granule bytes. It may
// be used from any goroutine.
type chunks struct {
	// config
	size, granule int64

	// state
	mu   sync.Mutex
	bits []uint64
}

// smallest is the chunk of nearly every disk: the block of its file systems.
const smallest = 4096

// granuleFor is the smallest chunk with which most chunks hold the disk: memory
// does not grow with it.
func granuleFor(size, smallest, most int64) int64 {
	for size/smallest > most {
		smallest *= 2
	}
	return smallest
}

func newChunks(size, granule int64) *chunks {
	n := (size + granule - 1) / granule
	return &chunks{size: size, granule: granule, bits: make([]uint64, (n+63)/64)}
}

// mark sets the chunks that hold a byte of e, as far as e lies on the disk.
func (c *chunks) mark(e extent.Extent) {
	e = e.Intersect(extent.Extent{Off: 0, Len: c.size})
	if e.Len == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := e.Off / c.granule; i <= (e.End()-1)/c.granule; i++ {
		c.bits[i/64] |= 1 << (i % 64)
	}
}

// markAll sets what lies in a set.
func (c *chunks) markAll(s extent.Set) {
	for _, e := range s {
		c.mark(e)
	}
}

// take returns the chunks that are set, and clears them.
func (c *chunks) take() extent.Set {
	c.mu.Lock()
	defer c.mu.Unlock()
	var set extent.Set
	for w, word := range c.bits {
		for word != 0 {
			first := bits.TrailingZeros64(word)
			n := bits.TrailingZeros64(^(word >> first))
			off := (int64(w)*64 + int64(first)) * c.granule
			set = set.Append(extent.Extent{Off: off, Len: min(int64(n)*c.granule, c.size-off)})
			if first+n >= 64 {
				break
			}
			word &^= 1<<(first+n) - 1
		}
		c.bits[w] = 0
	}
	return set
}
