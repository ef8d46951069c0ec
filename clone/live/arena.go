package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"lifeboat/clone/extent"
)

const (
	// arenaSize is what may have been written last and is kept in locked memory.
	arenaSize = 48 << 20
	// readers is how many reads a frozen disk gets at once: cards too are faster
	// with some.
	readers = 4
)

// A piece is an extent and its bytes, in the arena.
type piece struct {
	extent.Extent
	data []byte
}

// An arena is memory that is there already: nothing has to be found for what is
// read while the file systems are frozen.
type arena struct {
	mem    []byte
	mu     sync.Mutex
	used   int
	pieces []piece
}

func newArena(size int64) (*arena, error) {
	mem, err := mapMemory(int(size))
	if err != nil {
		return nil, fmt.Errorf("%d MiB of memory: %w", size>>20, err)
	}
	return &arena{mem: mem}, nil
}

// pin keeps the memory from being swapped out.
func (a *arena) pin() error {
	if err := pinMemory(a.mem); err != nil {
		return fmt.Errorf("lock %d MiB of memory: %w", a.size()>>20, err)
	}
	return nil
}

func (a *arena) size() int64 { return int64(len(a.mem)) }

func (a *arena) reset() { a.used, a.pieces = 0, a.pieces[:0] }

func (a *arena) close() error { return unmapMemory(a.mem) }

// take finds room for e; nil where there is none.
func (a *arena) take(e extent.Extent) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := int((e.Len + smallest - 1) / smallest * smallest)
	if n > len(a.mem)-a.used {
		return nil
	}
	b := a.mem[a.used:][:e.Len:e.Len]
	a.used += n
	a.pieces = append(a.pieces, piece{e, b})
	return b
}

// errFull says that more has changed than the arena holds.
var errFull = errors.New("more has changed than fits into memory")

// capture reads what is wanted into the arena: of it what the sieve lets
// through, if there is one.
func (a *arena) capture(ctx context.Context, r io.ReaderAt, want extent.Set, sieve *digests) error {
	a.reset()
	if sieve == nil {
		want = bridge(want, a.size())
		if want.Bytes() > a.size() {
			return errFull
		}
	}
	todo := make(chan extent.Extent)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(todo)
		for _, e := range want {
			for e.Len > 0 {
				part := e.Piece()
				select {
				case todo <- part:
				case <-ctx.Done():
					return ctx.Err()
				}
				e = extent.Extent{Off: part.End(), Len: e.Len - part.Len}
			}
		}
		return nil
	})
	for range readers {
		group.Go(func() error {
			for e := range todo {
				if err := a.read(r, e, sieve); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	slices.SortFunc(a.pieces, func(x, y piece) int { return int(min(max(x.Off-y.Off, -1), 1)) })
	return nil
}

func (a *arena) read(r io.ReaderAt, e extent.Extent, sieve *digests) error {
	if sieve == nil {
		b := a.take(e)
		if b == nil {
			return errFull
		}
		return extent.ReadFull(r, b, e.Off)
	}
	buf := extent.Buffer()
	defer extent.Release(buf)
	if err := extent.ReadFull(r, buf[:e.Len], e.Off); err != nil {
		return err
	}
	var full error
	for _, changed := range sieve.changed(e, buf[:e.Len]) {
		bytes := buf[changed.Off-e.Off:][:changed.Len]
		b := a.take(changed)
		if b == nil {
			sieve.drop(changed, bytes)
			full = errFull
			continue
		}
		copy(b, bytes)
	}
	return full
}

// bridge joins what lies close together, if the whole stays below limit.
func bridge(s extent.Set, limit int64) extent.Set {
	if joined := s.Join(extent.Gap); joined.Bytes() <= limit {
		return joined
	}
	return s
}
