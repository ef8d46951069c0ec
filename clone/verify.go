package clone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"lifeboat/clone/extent"
	"lifeboat/internal/progress"
)

// readers is how many reads may be under way at once, for the same reason as
// with writers.
const readers = 3

// verify reads back all that was laid down and compares. The caller has synced
// and dropped the caches.
func (f *filler) verify(ctx context.Context, m *progress.Meter) error {
	err := f.verifyAll(ctx, m)
	var lost *LostError
	if errors.As(err, &lost) {
		return f.assess(ctx, m)
	}
	return err
}

func (f *filler) verifyAll(ctx context.Context, m *progress.Meter) error {
	if err := f.verifyData(ctx, m); err != nil {
		return err
	}
	buf := extent.Buffer()
	defer extent.Release(buf)
	return eachChunk(f.zeros, func(e extent.Extent) error {
		err := f.readBack(ctx, buf[:e.Len], e.Off, m)
		if err == nil && !extent.IsZero(buf[:e.Len]) {
			err = &LostError{Extent: e}
		}
		return err
	})
}

// readBack fills b from off.
func (f *filler) readBack(ctx context.Context, b []byte, off int64, m *progress.Meter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := f.to.ReadAt(b, off); err != nil {
		return fmt.Errorf("read back %d bytes at %d: %w", len(b), off, noEOF(err))
	}
	m.Add(int64(len(b)))
	return nil
}

// verifyData adds up the sum of each chunk anew, several chunks at once.
func (f *filler) verifyData(ctx context.Context, m *progress.Meter) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	err := f.eachSum(func(pieces extent.Set) error {
		group.Go(func() error { return f.verifyChunk(ctx, pieces, m) })
		return ctx.Err()
	})
	return cmp.Or(group.Wait(), err)
}

// eachSum gives the pieces of data by the chunks that have a sum.
func (f *filler) eachSum(do func(pieces extent.Set) error) error {
	var chunk extent.Set
	err := eachChunk(f.data, func(e extent.Extent) error {
		if len(chunk) > 0 && chunk[0].Off/sumChunk != e.Off/sumChunk {
			pieces := chunk
			chunk = nil
			if err := do(pieces); err != nil {
				return err
			}
		}
		chunk = append(chunk, e)
		return nil
	})
	if err != nil || len(chunk) == 0 {
		return err
	}
	return do(chunk)
}

// verifyChunk reads the pieces of one chunk, and compares its sum.
func (f *filler) verifyChunk(ctx context.Context, pieces extent.Set, m *progress.Meter) error {
	buf := extent.Buffer()
	defer extent.Release(buf)
	right, err := f.rightChunk(ctx, buf, pieces, m)
	if err == nil && !right {
		err = &LostError{Extent: pieces.Bounds()}
	}
	return err
}

// rightChunk leaves the pieces in buf, each at its place in the chunk.
func (f *filler) rightChunk(ctx context.Context, buf *[extent.BufferSize]byte, pieces extent.Set, m *progress.Meter) (bool, error) {
	again := sums{f.sums.seed, map[int64]uint64{}}
	for _, e := range pieces {
		in := buf[e.Off%sumChunk:]
		if err := f.readBack(ctx, in[:e.Len], e.Off, m); err != nil {
			return false, err
		}
		again.add(e.Off, in[:e.Len])
	}
	n := pieces[0].Off / sumChunk
	return again.chunk[n] == f.sums.chunk[n], nil
}

// eachChunk calls do for the pieces of the set, cut at multiples of a buffer.
func eachChunk(s extent.Set, do func(extent.Extent) error) error {
	for _, e := range s {
		for e.Len > 0 {
			piece := e.Piece()
			if err := do(piece); err != nil {
				return err
			}
			e = extent.Extent{Off: piece.End(), Len: e.Len - piece.Len}
		}
	}
	return nil
}

// noEOF turns an end of file where bytes were promised into an error that no
// loop takes for the end of its work.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
