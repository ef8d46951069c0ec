package clone

import (
	"context"
	"fmt"

	"lifeboat/clone/extent"
	"lifeboat/internal/progress"
)

// A LostError says that the target does not hold what was written to it.
type LostError struct{ extent.Extent }

func (e *LostError) Error() string {
	return fmt.Sprintf("bytes %d to %d read back differently than they were written: the card or its reader is faulty, or the card is fake and smaller than it says",
		e.Off, e.End())
}

// verify reads back all that was laid down and compares. The caller has synced
// and dropped the caches.
func (f *filler) verify(ctx context.Context, m *progress.Meter) error {
	buf := extent.Buffer()
	defer extent.Release(buf)
	read := func(e extent.Extent) ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if _, err := f.to.ReadAt(buf[:e.Len], e.Off); err != nil {
			return nil, fmt.Errorf("read back %d bytes at %d: %w", e.Len, e.Off, noEOF(err))
		}
		m.Add(e.Len)
		return buf[:e.Len], nil
	}
	if err := f.verifyData(read); err != nil {
		return err
	}
	return eachChunk(f.zeros, func(e extent.Extent) error {
		b, err := read(e)
		if err == nil && !extent.IsZero(b) {
			err = &LostError{e}
		}
		return err
	})
}

// verifyData adds up the sums of each chunk anew, and looks at a chunk when the
// last of its bytes was read.
func (f *filler) verifyData(read func(extent.Extent) ([]byte, error)) error {
	again := sums{f.sums.seed, map[int64]uint64{}}
	chunk := int64(-1)
	done := func() error {
		if chunk >= 0 && again.chunk[chunk] != f.sums.chunk[chunk] {
			return &LostError{extent.Extent{Off: chunk * sumChunk, Len: sumChunk}}
		}
		delete(again.chunk, chunk)
		return nil
	}
	err := eachChunk(f.data, func(e extent.Extent) error {
		if e.Off/sumChunk != chunk {
			if err := done(); err != nil {
				return err
			}
			chunk = e.Off / sumChunk
		}
		b, err := read(e)
		if err == nil {
			again.add(e.Off, b)
		}
		return err
	})
	if err != nil {
		return err
	}
	return done()
}

// eachChunk calls do for the pieces of the set, cut at multiples of a buffer.
func eachChunk(s extent.Set, do func(extent.Extent) error) error {
	for _, e := range s {
		for e.Len > 0 {
			end := min(e.End(), (e.Off/extent.BufferSize+1)*extent.BufferSize)
			if err := do(extent.Extent{Off: e.Off, Len: end - e.Off}); err != nil {
				return err
			}
			e = extent.Extent{Off: end, Len: e.End() - end}
		}
	}
	return nil
}
