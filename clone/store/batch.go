package store

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"lifeboat/internal/atomicfile"
)

// A Batch puts many files that only together are worth something. It may be used
// by many goroutines at once.
type Batch interface {
	// Put is Store's, but that the file is there, whole and durable, only when
	// Flush has returned nil; it may be so before.
	Put(ctx context.Context, name string, size int64, r io.Reader) error
	Flush(ctx context.Context) error
	// Close gives up what was not flushed.
	Close() error
}

// NewBatch begins a batch. Kinds of store that gain nothing by it put each file
// as Put does.
func NewBatch(ctx context.Context, s Store) (Batch, error) {
	if b, ok := s.(batcher); ok {
		batch, err := b.Batch(ctx)
		if !errors.Is(err, errors.ErrUnsupported) {
			return batch, err
		}
	}
	return single{s}, nil
}

// single is a batch of a store that has none.
type single struct{ s Store }

func (b single) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	return b.s.Put(ctx, name, size, r)
}
func (single) Flush(context.Context) error { return nil }
func (single) Close() error                { return nil }

// Batch syncs once for many files: errors.ErrUnsupported where the folder lies on
// a server.
func (f *Folder) Batch(context.Context) (Batch, error) {
	group, err := atomicfile.NewGroup(f.dir)
	if err != nil {
		return nil, err
	}
	return &folderBatch{f, group}, nil
}

type folderBatch struct {
	f     *Folder
	group *atomicfile.Group
}

func (b *folderBatch) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	path, err := b.f.Path(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, n, err := writeFile(ctx, path, size, r)
	if err != nil {
		return err
	}
	return b.group.Add(file, n)
}

func (b *folderBatch) Flush(context.Context) error { return b.group.Commit() }
func (b *folderBatch) Close() error                { return b.group.Close() }
