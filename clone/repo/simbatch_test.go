package repo_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"lifeboat/clone/store"
)

// Batch is asked for by package store.
func (p *process) Batch(context.Context) (store.Batch, error) {
	if !p.batched {
		return nil, errors.ErrUnsupported
	}
	return &simBatch{p: p, held: map[string]simFile{}}, nil
}

// A simBatch has its files appear one by one, with the times at which they were
// written: at Flush, or when there are many.
type simBatch struct {
	p    *process
	mu   sync.Mutex
	held map[string]simFile
}

const simBatchFull = 5

func (b *simBatch) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.held[name] = simFile{data, time.Now()}
	full := len(b.held) >= simBatchFull
	b.mu.Unlock()
	if full {
		return b.Flush(ctx)
	}
	return nil
}

func (b *simBatch) Flush(ctx context.Context) error {
	b.mu.Lock()
	held := b.held
	b.held = map[string]simFile{}
	b.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(held)) {
		put := func() { b.p.s.files[name] = held[name] }
		if err := b.p.ask(ctx, "put", name, put, put); err != nil {
			return err
		}
	}
	return nil
}

func (b *simBatch) Close() error { return nil }
