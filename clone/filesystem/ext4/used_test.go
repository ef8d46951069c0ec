package ext4_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/ext4"
	"lifeboat/internal/fixture"
)

// TestLayouts holds the map against dumpe2fs, the files against their source,
// the label against mke2fs, and patches against debugfs; with all unused bytes
// spoiled e2fsck must find nothing.
func TestLayouts(t *testing.T) {
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			src := tree(t, l.big)
			path := mkfs(t, l, src)
			f, img := open(t, path)
			s := f.Super()
			used, err := f.Used()
			must(t, err)
			must(t, used.Check(l.size))
			cluster := s.Block
			if _, c, ok := strings.Cut(l.args, "-C 65536"); ok && c != "" {
				cluster = 65536
			} else if strings.Contains(l.args, "-C 8192") {
				cluster = 8192
			}
			want := dumpe2fsUsed(t, path, s.Block, s.Size, cluster)
			if missing := want.Subtract(used); len(missing) > 0 {
				t.Errorf("missing %d bytes: %v", missing.Bytes(), missing)
			}
			if extra := used.Subtract(want); len(extra) > 0 {
				t.Errorf("extra %d bytes: %v", extra.Bytes(), extra)
			}
			if s.Label != "rootfs" || s.UUID != "01234567-89ab-cdef-0123-456789abcdef" || s.Dirty || s.Errors {
				t.Errorf("got superblock %+v", s)
			}
			features(t, path, s)
			compareTree(t, f.Files(), src)
			holdGeometry(t, f, img, used, path)
			patched(t, bytes.Clone(img), path)
			spoilData(t, bytes.Clone(img), path)
			holdVoid(t, f, used, path)
			poison(t, img, used.Subtract(f.Void()), path)
		})
	}
}

// features holds the names against those that dumpe2fs prints.
func features(t *testing.T, path string, s ext4.Super) {
	t.Helper()
	for line := range strings.Lines(fixture.Run(t, "dumpe2fs", "-h", path)) {
		name, value, _ := strings.Cut(line, ":")
		if name != "Filesystem features" {
			continue
		}
		if got, want := strings.Join(s.Features, " "), strings.TrimSpace(value); got != want && want != "(none)" {
			t.Errorf("features: got %q, want %q", got, want)
		}
	}
}

// holdVoid holds what is void against the size of the journal that dumpe2fs tells.
func holdVoid(t *testing.T, f *ext4.FS, used extent.Set, path string) {
	t.Helper()
	var kib int64
	for line := range strings.Lines(fixture.Run(t, "dumpe2fs", "-h", path)) {
		if value, ok := strings.CutPrefix(line, "Total journal size:"); ok {
			fmt.Sscanf(value, "%dk", &kib)
		}
	}
	void := f.Void()
	if got, want := void.Bytes(), max(0, kib<<10-f.Super().Block); got != want {
		t.Errorf("%d bytes are void, want %d of the journal", got, want)
	}
	if more := void.Subtract(used); len(more) > 0 {
		t.Errorf("void, and not in use: %v", more)
	}
}

// TestNothingVoid takes from a journal what makes sure that it holds nothing.
func TestNothingVoid(t *testing.T) {
	t.Parallel()
	for name, cmds := range map[string]string{
		"the superblock's copy has another place": "set_super_value jnl_blocks[4] 77",
		"the superblock's copy has another size":  "set_super_value jnl_blocks[16] 77",
		"the superblock has no copy":              "set_super_value jnl_backup_type 0",
		"the kernel found errors":                 "set_super_value state 3",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := mkfs(t, layout{"void", 12 * mib, "-t ext4", false}, tree(t, false))
			if f, _ := open(t, path); len(f.Void()) == 0 {
				t.Fatal("premise: the journal is void")
			}
			debugfs(t, path, cmds+"\n")
			if f, _ := open(t, path); len(f.Void()) > 0 {
				t.Errorf("void: %v", f.Void())
			}
		})
	}
}

// poison fills what is not used and lets e2fsck judge.
func poison(t *testing.T, img []byte, used extent.Set, path string) {
	t.Helper()
	bad := bytes.Repeat([]byte{0xa5}, len(img))
	for _, e := range used {
		copy(bad[e.Off:e.End()], img[e.Off:e.End()])
	}
	must(t, os.WriteFile(path, bad, 0o600))
	if code := e2fsck(t, path, "-fn"); code != 0 {
		t.Errorf("e2fsck -fn of the copy: got code %d, want 0", code)
	}
}

// TestDoubts spoils one thing of a good image and wants to be told.
func TestDoubts(t *testing.T) {
	t.Parallel()
	path := mkfs(t, layout{"doubts", 12 * mib, "-t ext4 -b 1024 -g 2048", false}, tree(t, false))
	img, err := os.ReadFile(path)
	must(t, err)
	for _, c := range []struct {
		name, cmds, want string
		cut              int64
	}{
		{name: "error state", cmds: "set_super_value state 3", want: "errors"},
		{name: "not valid", cmds: "set_super_value state 0", want: "cleanly"},
		{name: "dirty without log", cmds: "feature -has_journal needs_recovery", want: "it has none"},
		{name: "unknown incompat", cmds: "set_super_value feature_incompat 0x800002c2", want: "FEATURE_I31"},
		{name: "unknown ro_compat", cmds: "set_super_value feature_ro_compat 0x8000046b", want: "FEATURE_R31"},
		{name: "unknown compat", cmds: "set_super_value feature_compat 0x8000003c", want: "FEATURE_C31"},
		{name: "other journal", cmds: "set_super_value journal_inum 0", want: "another disk"},
		{name: "free count", cmds: "set_super_value free_blocks_count 17", want: "free blocks"},
		{name: "group's free count", cmds: "set_block_group 1 free_blocks_count 17\nset_block_group 1 checksum calc", want: "group 1"},
		{name: "descriptor's checksum", cmds: "set_block_group 1 checksum 17", want: "descriptor is wrong"},
		{name: "bitmap's place", cmds: "set_block_group 2 block_bitmap 99999999\nset_block_group 2 checksum calc", want: "outside"},
		{name: "bitmap", cmds: "setb 3000", want: "bitmap"},
		{name: "larger than the part", cut: 8 * mib, want: "the part only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			copyPath := filepath.Join(t.TempDir(), "img")
			writeSparse(t, copyPath, img)
			if c.cut > 0 {
				must(t, os.Truncate(copyPath, c.cut))
			} else {
				debugfs(t, copyPath, c.cmds+"\n")
			}
			b, err := os.ReadFile(copyPath)
			must(t, err)
			if c.name == "bitmap" {
				spoilBitmap(t, copyPath, b)
			}
			f, err := ext4.Open(bytes.NewReader(b), int64(len(b)))
			must(t, err)
			used, err := f.Used()
			var doubt *ext4.UnsureError
			if !errors.As(err, &doubt) || !strings.Contains(doubt.Why, c.want) {
				t.Errorf("got %d bytes, error %v, want one about %q", used.Bytes(), err, c.want)
			}
			if s := f.Super(); s.Label != "rootfs" {
				t.Errorf("got label %q, want rootfs", s.Label)
			}
		})
	}
}

// spoilBitmap turns a bit of the first group's bitmap, as debugfs would not.
func spoilBitmap(t *testing.T, path string, img []byte) {
	t.Helper()
	out := fixture.Run(t, "dumpe2fs", path)
	_, rest, _ := strings.Cut(out, "Block bitmap at ")
	n := int64(0)
	for _, c := range rest {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
	}
	img[n*1024+200] ^= 1
}

func TestNotExt(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 10, 1024, 2048, 4096, mib} {
		if _, err := ext4.Open(bytes.NewReader(make([]byte, n)), int64(n)); !errors.Is(err, ext4.ErrNotExt) {
			t.Errorf("%d zeros: got %v, want %v", n, err, ext4.ErrNotExt)
		}
	}
}

func TestWrongSuperblock(t *testing.T) {
	t.Parallel()
	path := mkfs(t, layout{"super", 8 * mib, "-t ext4 -b 1024", false}, tree(t, false))
	_, img := open(t, path)
	img[1024+0x78] ^= 1 // the label
	_, err := ext4.Open(bytes.NewReader(img), int64(len(img)))
	var doubt *ext4.UnsureError
	if !errors.As(err, &doubt) || !strings.Contains(doubt.Why, "checksum") {
		t.Errorf("got %v, want a wrong checksum", err)
	}
}
