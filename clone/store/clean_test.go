package store_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"lifeboat/clone/store"
)

// TestClean: old files in the making go, of folders and of SFTP; all others stay.
func TestClean(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stay := []string{".hidden", ".notes.part", ".x.0123456789abcdeX.part", "a.0123456789abcdef.part", "card.img", "year2026111111111111"}
	for _, name := range append([]string{".card.img123456789012345", ".card.img.0123456789abcdef.part", "sub/.clock.0123456789abcdef.part"}, stay...) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, name), "1234")
	}
	f := store.NewFolder(dir)
	if n, err := f.Clean(t.Context(), time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("young ones: got %d bytes and %v, want none", n, err)
	}
	if n, err := f.Clean(t.Context(), time.Now().Add(time.Hour)); n != 12 || err != nil {
		t.Errorf("got %d bytes and %v, want 12", n, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		if !e.IsDir() {
			left = append(left, e.Name())
		}
	}
	if !slices.Equal(left, stay) {
		t.Errorf("got %q, want %q", left, stay)
	}
}
