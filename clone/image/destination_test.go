package image_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/image"
	"lifeboat/clone/manifest"
	"lifeboat/clone/store"
)

// faultyStore is a folder that goes wrong on purpose.
type faultyStore struct {
	*store.Folder
	putLimit int64 // bytes that a put takes before it fails; 0 = all
	spoil    bool  // what is read differs
}

var errFull = errors.New("no room is left there")

func (f *faultyStore) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	if f.putLimit > 0 {
		if n, _ := io.CopyN(io.Discard, r, f.putLimit); n == f.putLimit {
			return errFull
		}
	}
	return f.Folder.Put(ctx, name, size, r)
}

func (f *faultyStore) Open(ctx context.Context, name string, off int64) (io.ReadCloser, error) {
	body, err := f.Folder.Open(ctx, name, off)
	if err != nil || !f.spoil {
		return body, err
	}
	b, err := io.ReadAll(body)
	b[len(b)/2] ^= 0xff
	return io.NopCloser(bytes.NewReader(b)), errors.Join(err, body.Close())
}

// saveIn puts an image of 8 MiB of noise into a store.
func saveIn(t *testing.T, s store.Store, o image.SinkOptions) error {
	t.Helper()
	const size = 8 << 20
	o.Areas = map[string][]byte{"boot0": []byte("a boot loader")}
	k, err := image.CreateIn(s, "card.img.zst", "test://card.img.zst", o)
	if err != nil {
		t.Fatal(err)
	}
	err = k.Start(t.Context(), &manifest.Head{Version: 1, Size: size, Areas: []manifest.Area{{Name: "boot0", Size: 13}}})
	for off := int64(0); off < size && err == nil; off += extent.BufferSize {
		e := extent.Extent{Off: off, Len: extent.BufferSize}
		err = k.Put(t.Context(), extent.Record{Extent: e, Data: noise(int(e.Len), byte(off>>20))})
	}
	if err == nil {
		err = k.Commit(t.Context(), nil)
	}
	if err != nil {
		err = errors.Join(err, k.Abort(t.Context()))
	}
	return err
}

func noise(n int, seed byte) []byte {
	b := make([]byte, n)
	x := uint64(seed) + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

func TestCreateIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		store faultyStore
		want  string
	}{
		"well":   {},
		"full":   {faultyStore{putLimit: 3 << 20}, errFull.Error()},
		"faulty": {faultyStore{spoil: true}, "read back"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c.store.Folder = store.NewFolder(dir)
			err := saveIn(t, &c.store, image.SinkOptions{Verify: true})
			entries, derr := os.ReadDir(dir)
			if derr != nil {
				t.Fatal(derr)
			}
			if c.want == "" {
				if err != nil || len(entries) != 3 {
					t.Fatalf("got %v and %v, want an image, its head and its boot area", err, entries)
				}
				again := saveIn(t, &c.store, image.SinkOptions{})
				if !errors.Is(again, fs.ErrExist) {
					t.Errorf("a second one: got %v", again)
				}
				writeMap(t, dir)
				if err := saveIn(t, &c.store, image.SinkOptions{Overwrite: true}); err != nil {
					t.Errorf("in its place: %v", err)
				}
				if _, err := os.Stat(filepath.Join(dir, "card.img.zst.bmap")); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the map of the one before: got %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || len(entries) > 0 {
				t.Errorf("got %v and %v, want %q and nothing", err, entries, c.want)
			}
		})
	}
	if _, err := image.CreateIn(store.NewFolder(t.TempDir()), "card.img", "card.img", image.SinkOptions{}); err == nil {
		t.Error("a plain image: got no error")
	}
}

// TestOverwriteKeeps: what is to be overwritten in a store stays, with its side
// files, until the new one was read back.
func TestOverwriteKeeps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := &faultyStore{Folder: store.NewFolder(dir)}
	if err := saveIn(t, s, image.SinkOptions{Verify: true}); err != nil {
		t.Fatal(err)
	}
	before := filesIn(t, dir)
	s.spoil = true
	if err := saveIn(t, s, image.SinkOptions{Verify: true, Overwrite: true}); err == nil {
		t.Error("a bad one: got no error")
	}
	if after := filesIn(t, dir); !maps.Equal(after, before) {
		t.Errorf("behind a bad one: got %d files, want the %d of before", len(after), len(before))
	}
	s.spoil = false
	if err := os.WriteFile(filepath.Join(dir, ".card.img.zst.new"), []byte("of a killed one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := saveIn(t, s, image.SinkOptions{Verify: true, Overwrite: true}); err != nil {
		t.Error(err)
	}
	if after := filesIn(t, dir); len(after) != len(before) {
		t.Errorf("behind a good one: got %d files, want %d", len(after), len(before))
	}
}

func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(b)
	}
	return files
}

// writeMap leaves a side file of an image that was there before.
func writeMap(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "card.img.zst.bmap"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
