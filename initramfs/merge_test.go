package initramfs_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"
	"testing/fstest"

	"lifeboat/initramfs"
)

func link(target string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(target), Mode: os.ModeSymlink | 0o777}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	a := fstest.MapFS{
		"lib":           link("usr/lib"),
		"usr/lib/a":     file([]byte("a of a")),
		"usr/lib/far":   link("/usr/share/far"),
		"usr/lib/up":    link("../../../../etc/x"),
		"usr/lib/loop":  link("loop"),
		"usr/lib/none":  link("/nowhere"),
		"etc/x":         file([]byte("x of a")),
		"both":          file([]byte("both of a")),
		"mixed/only-a":  file([]byte("1")),
		"chain/1":       link("2"),
		"chain/2":       link("/etc/x"),
		"folder-or-not": file([]byte("a file")),
	}
	b := fstest.MapFS{
		"lib/b":           file([]byte("b of b")),
		"lib/a":           file([]byte("a of b")),
		"usr/share/far":   file([]byte("far of b")),
		"both":            file([]byte("both of b")),
		"mixed/only-b":    file([]byte("2")),
		"folder-or-not/x": file([]byte("in a folder")),
	}
	m := initramfs.Merge(a, nil, initramfs.Merge(b))
	for name, want := range map[string]string{
		"lib/a": "a of a", "lib/b": "b of b", "lib/far": "far of b", "lib/up": "x of a",
		"both": "both of a", "chain/1": "x of a", "mixed/only-b": "2", "folder-or-not/x": "in a folder",
	} {
		got, err := fs.ReadFile(m, name)
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"lib/none", "lib/c", "usr/lib/loop", "../x", "/x"} {
		if got, err := fs.ReadFile(m, name); err == nil {
			t.Errorf("%s: got %q, want an error", name, got)
		}
	}
	if _, err := fs.Stat(m, "lib/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to nowhere: got %v, want one that wraps fs.ErrNotExist", err)
	}
	entries, err := fs.ReadDir(m, "mixed")
	if err != nil || len(entries) != 2 || entries[0].Name() != "only-a" {
		t.Errorf("mixed: got %v, %v; want what both have", entries, err)
	}
	if fi, err := fs.Stat(m, "lib"); err != nil || !fi.IsDir() {
		t.Errorf("lib: got %v, %v; want a folder", fi, err)
	}
	walked := 0
	err = fs.WalkDir(m, "mixed", func(string, fs.DirEntry, error) error { walked++; return nil })
	if err != nil || walked != 3 {
		t.Errorf("walk: got %d names, %v; want 3", walked, err)
	}
}

func TestMergeKeepsTheRules(t *testing.T) {
	t.Parallel()
	m := initramfs.Merge(fstest.MapFS{"a/b": file([]byte("1")), "c": file([]byte("2"))}, fstest.MapFS{"a/d": file([]byte("3"))})
	if err := fstest.TestFS(m, "a/b", "a/d", "c"); err != nil {
		t.Error(err)
	}
}
