package clone

import (
	"cmp"
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"lifeboat/clone/extent"
	"lifeboat/internal/progress"
)

// A LostError says that the target does not hold what was written to it.
type LostError struct{ extent.Extent }

func (e *LostError) Error() string {
	return fmt.Sprintf("bytes %d to %d read back differently than they were written: the card or its reader is faulty, or the card is fake and smaller than it says",
		e.Off, e.End())
}

// readers is how many reads may be under way at once, for the same reason as
// with writers.
const readers = 3

// verify reads back all that was laid down and compares. The caller has synced
// and dropped the caches.
func (f *filler) verify(ctx context.Context, m *progress.Meter) error {
	if err := f.verifyData(ctx, m); err != nil {
		return err
	}
	buf := extent.Buffer()
	defer extent.Release(buf)
	return eachChunk(f.zeros, func(e extent.Extent) error {
		b, err := f.readBack(ctx, buf, e, m)
		if err == nil && !extent.IsZero(b) {
			err = &LostError{e}
		}
		return err
	})
}

// readBack reads e, at most a buffer's size.
func (f *filler) readBack(ctx context.Context, buf *[extent.BufferSize]byte, e extent.Extent, m *progress.Meter) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := f.to.ReadAt(buf[:e.Len], e.Off); err != nil {
		return nil, fmt.Errorf("read back %d bytes at %d: %w", e.Len, e.Off, noEOF(err))
	}
	m.Add(e.Len)
	return buf[:e.Len], nil
}

// verifyData adds up the sum of each chunk anew, several chunks at once.
func (f *filler) verifyData(ctx context.Context, m *progress.Meter) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	var chunk extent.Set // the pieces of one, in the making
	check := func() {
		if pieces := chunk; len(pieces) > 0 {
			group.Go(func() error { return f.verifyChunk(ctx, pieces, m) })
		}
		chunk = nil
	}
	err := eachChunk(f.data, func(e extent.Extent) error {
		if len(chunk) > 0 && chunk[0].Off/sumChunk != e.Off/sumChunk {
			check()
		}
		chunk = append(chunk, e)
		return ctx.Err()
	})
	check()
	return cmp.Or(group.Wait(), err)
}

// verifyChunk reads the pieces of one chunk, and compares its sum.
func (f *filler) verifyChunk(ctx context.Context, pieces extent.Set, m *progress.Meter) error {
	buf := extent.Buffer()
	defer extent.Release(buf)
	again := sums{f.sums.seed, map[int64]uint64{}}
	for _, e := range pieces {
		b, err := f.readBack(ctx, buf, e, m)
		if err != nil {
			return err
		}
		again.add(e.Off, b)
	}
	n := pieces[0].Off / sumChunk
	if again.chunk[n] != f.sums.chunk[n] {
		return &LostError{extent.Extent{Off: n * sumChunk, Len: sumChunk}}
	}
	return nil
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
