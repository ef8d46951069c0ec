package filesystem_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"lifeboat/clone/filesystem"
	"lifeboat/clone/manifest"
	"lifeboat/internal/fixture"
)

// TestLeftAlone holds that no program is started on a file system that it would
// spoil: a journal elsewhere is found and emptied by e2fsck, one with fast commits
// is misread. A plain file cannot be mounted by the kernel, who could.
func TestLeftAlone(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs", "debugfs")
	for _, c := range []struct{ name, options, set, want string }{
		{"external journal", "^fast_commit", "ssv journal_inum 0\nssv journal_dev 0x801\nssv journal_uuid 11111111-2222-3333-4444-555555555503\n", "its journal lies on another disk"},
		{"fast commits", "fast_commit", "feature needs_recovery\n", "fast commits, which only a kernel does right"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := extWith(t, c.options, c.set)
			before := read(t, path)
			ext := manifest.FS{Type: "ext4"}
			idle := filesystem.Tools{Run: func(_ context.Context, name string, _ ...string) ([]byte, int, error) {
				t.Errorf("%s was started", name)
				return nil, 0, nil
			}}
			for what, err := range map[string]error{
				"check":    idle.Check(t.Context(), ext, path),
				"new UUID": idle.NewUUID(t.Context(), ext, path, "11111111-2222-3333-4444-555555555504"),
			} {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: got %v, want an error with %q", what, err, c.want)
				}
			}
			if read(t, path) != before {
				t.Error("it was written to")
			}
		})
	}
}

// TestBigallocIsNotGrown holds that a file system with clusters, which resize2fs
// refuses to grow, stays whole where the kernel cannot be asked.
func TestBigallocIsNotGrown(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs", "debugfs", "e2fsck")
	path := extWith(t, "bigalloc", "quit\n")
	before := read(t, path)
	if err := tools.Grow(t.Context(), manifest.FS{Type: "ext4"}, path, 64*mib); !errors.Is(err, filesystem.ErrNotGrown) {
		t.Errorf("got %v, want ErrNotGrown", err)
	}
	if read(t, path) != before {
		t.Error("it was written to")
	}
	fixture.Run(t, "e2fsck", "-fn", path)
}

// TestFastCommitsMeanAll holds that of a journal in which fast commits may wait all
// bytes of the part count: what they change stands in no bitmap.
func TestFastCommitsMeanAll(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs", "debugfs")
	const (
		offIncompat   = 0x28 // of a journal's superblock, big-endian: fs/jbd2, struct journal_superblock_s
		fastCommitBit = 0x20
		block         = 4096
	)
	path := extWith(t, "fast_commit", "feature needs_recovery\n")
	first, err := strconv.ParseInt(strings.Fields(fixture.Run(t, "debugfs", "-R", "blocks <8>", path))[0], 10, 64)
	must(t, err)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	b := []byte{0}
	_, err = f.ReadAt(b, first*block+offIncompat+3)
	must(t, err)
	b[0] |= fastCommitBit // as the kernel does with its first mount
	_, err = f.WriteAt(b, first*block+offIncompat+3)
	must(t, err)
	r, size, of := probe(t, path)
	used, why, err := filesystem.Used(r, size, of)
	if err != nil || used.Bytes() != size || !strings.Contains(why, "fast commits") {
		t.Errorf("got %d of %d bytes, %q, %v", used.Bytes(), size, why, err)
	}
}

// extWith makes an ext4 file system of 32 MiB with a feature, and lets debugfs
// change it.
func extWith(t *testing.T, feature, commands string) string {
	t.Helper()
	path, script := blank(t, 32*mib), t.TempDir()+"/commands"
	fixture.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-O", feature, path)
	must(t, os.WriteFile(script, []byte(commands), 0o600))
	fixture.Run(t, "debugfs", "-w", "-f", script, path)
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}
