package atomicfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"lifeboat/internal/atomicfile"
)

func newGroup(t *testing.T, dir string) *atomicfile.Group {
	t.Helper()
	g, err := atomicfile.NewGroup(dir)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// add writes a file and adds it to a group.
func add(t *testing.T, g *atomicfile.Group, path, data string) {
	t.Helper()
	f, err := atomicfile.Create(path, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(data); err != nil {
		t.Fatal(err)
	}
	if err := g.Add(f, int64(len(data))); err != nil {
		t.Fatal(err)
	}
}

func TestGroup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := newGroup(t, dir)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := os.WriteFile(a, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	add(t, g, a, "new")
	if got := read(t, a); got != "old" {
		t.Errorf("before Commit: got %q", got)
	}
	if err := g.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, a); got != "new" {
		t.Errorf("behind Commit: got %q", got)
	}
	add(t, g, b, "given up")
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); got != 1 {
		t.Errorf("%d files are left, want that which was committed", got)
	}
}

// TestGroupFull holds that a group names its files by itself when there are many,
// whoever adds them.
func TestGroupFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := newGroup(t, dir)
	defer g.Close()
	const writers, each = 4, 100
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				add(t, g, filepath.Join(dir, fmt.Sprintf("file-%d-%d", w, i)), "x")
			}
		})
	}
	all.Wait()
	if got, err := filepath.Glob(filepath.Join(dir, "file-*")); err != nil || len(got) < writers*each/2 {
		t.Errorf("%d of %d files have their names before Commit, %v", len(got), writers*each, err)
	}
	if err := g.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, err := filepath.Glob(filepath.Join(dir, "file-*")); err != nil || len(got) != writers*each {
		t.Errorf("%d of %d files have their names, %v", len(got), writers*each, err)
	}
	if got := names(t, dir); got != writers*each {
		t.Errorf("%d files are there, want %d", got, writers*each)
	}
}

// TestGroupFails holds that after an error nothing is half: a file whose name is
// taken by a folder, and those behind it.
func TestGroupFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := newGroup(t, dir)
	defer g.Close()
	for _, name := range []string{"a", "b", "c"} {
		add(t, g, filepath.Join(dir, name), name)
	}
	if err := os.Mkdir(filepath.Join(dir, "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := g.Commit(); err == nil {
		t.Error("got no error")
	}
	if got := names(t, dir); got != 2 {
		t.Errorf("%d names are left, want those of the first file and of the folder", got)
	}
}
