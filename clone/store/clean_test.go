package store_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"lifeboat/clone/store"
	"lifeboat/internal/fixture"
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

// TestSFTPClean: the same behind a server, where lists have been.
func TestSFTPClean(t *testing.T) {
	t.Parallel()
	s := fixture.SSHD(t)
	dir := folder(t, map[string]string{
		".card.img.0123456789abcdef.part": "1234", "sub/.a.0123456789abcdef.part": "1234", "sub/a": "", "other/.a.0123456789abcdef.part": "1234",
		".notes.part": "", "card.img": "",
	})
	st := sftpStore(t, s, s.Addr, dir, sshOptions(s))
	list := func() {
		t.Helper()
		for _, err := range st.List(t.Context(), "sub/") {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	list()
	if n, err := st.Clean(t.Context(), time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("young ones: got %d bytes and %v, want none", n, err)
	}
	list()
	if n, err := st.Clean(t.Context(), time.Now().Add(time.Hour)); n != 8 || err != nil {
		t.Errorf("got %d bytes and %v, want 8", n, err)
	}
	if got := leftovers(t, dir); len(got) != 1 || filepath.Base(got[0]) != ".notes.part" {
		t.Errorf("got %q, want the notes alone", got)
	}
	if got := leftovers(t, filepath.Join(dir, "sub")); len(got) > 0 {
		t.Errorf("got %q, want none", got)
	}
}
