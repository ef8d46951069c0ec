package main

import (
	"errors"
	"io/fs"
	"testing"
)

func TestPileIsAFileSystem(t *testing.T) {
	t.Parallel()
	p := pile{"a.txt": bytesFile([]byte("hello")), "b.txt": bytesFile(nil)}
	entries, err := p.ReadDir(".")
	if err != nil || len(entries) != 2 || entries[0].Name() != "a.txt" {
		t.Fatalf("got %v, %v", entries, err)
	}
	if b, err := fs.ReadFile(p, "a.txt"); err != nil || string(b) != "hello" {
		t.Errorf("got %q, %v", b, err)
	}
	if info, err := fs.Stat(p, "."); err != nil || !info.IsDir() {
		t.Errorf("the top is no folder: %v", err)
	}
	if _, err := p.Open("absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that it does not exist", err)
	}
}
