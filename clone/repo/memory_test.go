package repo_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"lifeboat/clone/repo"
	"lifeboat/clone/store"
)

// A memory is a store without a disk.
type memory struct {
	mu    sync.Mutex
	files map[string]simFile
	hole  bool // of chunks only a byte is kept: a file without any counts as none
}

var _ store.Store = (*memory)(nil)

func newMemory(hole bool) *memory { return &memory{files: map[string]simFile{}, hole: hole} }

func (m *memory) find(name string) (simFile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.files[name]
	if !ok {
		return f, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return f, nil
}

// Open implements store.Store.
func (m *memory) Open(_ context.Context, name string, off int64) (io.ReadCloser, error) {
	f, err := m.find(name)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(f.data[off:])), nil
}

// Stat is asked for by package store.
func (m *memory) Stat(_ context.Context, name string) (store.Info, error) {
	f, err := m.find(name)
	return store.Info{Name: name, Size: int64(len(f.data)), Time: f.time}, err
}

// Put implements store.Store.
func (m *memory) Put(_ context.Context, name string, _ int64, r io.Reader) error {
	data, err := io.ReadAll(r)
	if m.hole && strings.HasPrefix(name, "chunks.castr/") {
		data = bytes.Clone(data[:1])
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[name] = simFile{data, time.Now()}
	return err
}

// List implements store.Store.
func (m *memory) List(_ context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		m.mu.Lock()
		files := maps.Clone(m.files)
		m.mu.Unlock()
		for _, name := range slices.Sorted(maps.Keys(files)) {
			info := store.Info{Name: name, Size: int64(len(files[name].data)), Time: files[name].time}
			if strings.HasPrefix(name, prefix) && !yield(info, nil) {
				return
			}
		}
	}
}

// Remove implements store.Store.
func (m *memory) Remove(_ context.Context, name string) error {
	_, err := m.find(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, name)
	return err
}

// chunkFile is where a chunk lies that is not sealed.
func chunkFile(id repo.ID) string {
	x := id.String()
	return "chunks.castr/" + x[:4] + "/" + x + ".cacnk"
}
