package ext4_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/clone/filesystem/ext4"
	"lifeboat/internal/fixture"
)

// TestStrays has bitmaps lie, with checksums that debugfs sets right, and counts
// that agree because a free block is called used in exchange: for the last block of
// a file, of one with a map, of a folder, of a link.
func TestStrays(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs", "debugfs", "e2fsck")
	for _, kind := range []string{"ext4", "ext3"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, size := range map[string]int{"small": 100, "large": 3 << 20, "folder/file": 5000} {
				must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
				must(t, os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("x", size)), 0o600))
			}
			must(t, os.Symlink(strings.Repeat("/long", 30), filepath.Join(dir, "link")))
			must(t, os.Symlink("short", filepath.Join(dir, "short")))
			whole := fixture.Sparse(t, "whole", 32<<20)
			fixture.Run(t, "mke2fs", "-q", "-F", "-t", kind, "-b", "1024", "-d", dir, whole)
			if got := straysOf(t, whole); len(got) > 0 {
				t.Errorf("a whole file system: got %v", got)
			}
			for _, path := range []string{"small", "large", "folder", "link"} {
				blocks := strings.Fields(fixture.Run(t, "debugfs", "-R", "blocks "+path, whole))
				block := blocks[len(blocks)-1]
				lying := filepath.Join(t.TempDir(), "lying")
				fixture.Run(t, "cp", whole, lying)
				free := strings.Fields(fixture.Run(t, "debugfs", "-R", "ffb 1 "+block, whole))
				fixture.Run(t, "debugfs", "-w", "-R", "setb "+free[len(free)-1], lying)
				fixture.Run(t, "debugfs", "-w", "-R", "freeb "+block, lying)
				if _, code := fixture.Try(t, "e2fsck", "-fn", lying); code == 0 {
					t.Fatalf("%s: e2fsck likes it", path)
				}
				got := straysOf(t, lying)
				if len(got) != 1 || !strings.Contains(got[0].Why, "the bitmap calls free") {
					t.Errorf("%s without block %s: got %v", path, block, got)
				}
				want := fmt.Sprintf("Inode: %d ", got[0].Inode)
				if text := fixture.Run(t, "debugfs", "-R", "stat "+path, whole); !strings.Contains(text, want) {
					t.Errorf("%s: got %q of\n%s", path, want, text)
				}
			}
		})
	}
}

func straysOf(t *testing.T, path string) []ext4.Stray {
	t.Helper()
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	info, err := file.Stat()
	must(t, err)
	f, err := ext4.Open(file, info.Size())
	must(t, err)
	used, err := f.Used()
	must(t, err) // the bitmaps agree with their counts
	strays, err := f.Strays(t.Context(), used)
	must(t, err)
	return strays
}
