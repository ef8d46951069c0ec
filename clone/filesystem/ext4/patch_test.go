package ext4_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/clone/filesystem/ext4"
)

// An image is bytes that can be patched.
type image []byte

func (m image) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m).ReadAt(p, off)
}

func (m image) WriteAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > int64(len(m)) {
		return 0, io.ErrShortWrite
	}
	return copy(m[off:], p), nil
}

// patched changes files of an image in place; e2fsck must find nothing, and
// debugfs the new content.
func patched(t *testing.T, img []byte, path string) {
	t.Helper()
	for _, c := range []struct {
		name string
		edit func([]byte) []byte
	}{
		{"etc/fstab", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("deadbeef"), []byte("cafecafe")) }},
		{"link", func(b []byte) []byte { return bytes.Replace(b, []byte("cafecafe-02"), []byte("1"), 1) }},
		{"link", func(b []byte) []byte { return append([]byte("# 0123\n"), b...) }},
		{"sizes/5000", func(b []byte) []byte { return b[:4999] }},
		{"sizes/400000", func(b []byte) []byte { return append(b, "more"...) }},
		{"sizes/59", func(b []byte) []byte { return append(b, '!') }},
	} {
		before, err := fs.ReadFile(files(t, img), c.name)
		must(t, err)
		want := c.edit(bytes.Clone(before))
		must(t, ext4.Patch(image(img), int64(len(img)), c.name, func(b []byte) ([]byte, error) { return c.edit(b), nil }))
		if got, err := fs.ReadFile(files(t, img), c.name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, err, want)
		}
		if info, err := fs.Stat(files(t, img), c.name); err != nil || info.Size() != int64(len(want)) {
			t.Errorf("%s: got %v, %v, want %d bytes", c.name, info, err, len(want))
		}
	}
	changeTimes(t, img)
	writeSparse(t, path, img)
	sameTimes(t, path)
	if code := e2fsck(t, path, "-fn"); code != 0 {
		t.Errorf("e2fsck -fn behind the patches: got code %d, want 0", code)
	}
	dump := filepath.Join(t.TempDir(), "fstab")
	debugfs(t, path, fmt.Sprintf("dump etc/fstab %s\n", dump))
	got, err := os.ReadFile(dump)
	must(t, err)
	want := "# 0123\nPARTUUID=1 / ext4 defaults,noatime 0 1\n"
	if strings.TrimRight(string(got), "\x00") != want { // debugfs 1.47.0 shows all of an inline file's room
		t.Errorf("debugfs: got %q, want %q", got, want)
	}
}

func files(t *testing.T, img []byte) fs.FS {
	t.Helper()
	f, err := ext4.Open(bytes.NewReader(img), int64(len(img)))
	must(t, err)
	return f.Files()
}

// TestPatchRefuses wants that nothing is written where Patch says no.
func TestPatchRefuses(t *testing.T) {
	t.Parallel()
	inline := mkfs(t, layout{"inline", 12 * mib, "-t ext4 -b 1024 -I 512 -O inline_data", false}, tree(t, false))
	plain := mkfs(t, layout{"plain", 12 * mib, "-t ext4 -b 1024", false}, tree(t, false))
	longer := func(b []byte) ([]byte, error) { return append(b, make([]byte, 2000)...), nil }
	same := func(b []byte) ([]byte, error) { return b, nil }
	for _, c := range []struct {
		image      string
		name, cmds string
		edit       func([]byte) ([]byte, error)
		want       string
	}{
		{plain, "etc/fstab", "", longer, "do not fit"},
		{plain, "etc/empty", "", longer, "do not fit"},
		{plain, "hole", "", same, "more than"},
		{plain, "sizes/161", "punch sizes/161 0 0", same, "holes"},
		{plain, "etc", "", same, "not a regular file"},
		{plain, "no", "", same, "not exist"},
		{plain, "etc/fstab", "sif etc/fstab flags 0x80800", same, "encrypted"},
		{plain, "etc/fstab", "feature needs_recovery", same, "journal"},
		{plain, "etc/fstab", "set_super_value state 3", same, "errors"},
		{plain, "etc/fstab", "", func([]byte) ([]byte, error) { return nil, io.ErrNoProgress }, io.ErrNoProgress.Error()},
		{inline, "sizes/61", "", same, "in its inode"},
	} {
		img, err := os.ReadFile(c.image)
		must(t, err)
		if c.cmds != "" {
			path := filepath.Join(t.TempDir(), "img")
			writeSparse(t, path, img)
			debugfs(t, path, c.cmds+"\n")
			img, err = os.ReadFile(path)
			must(t, err)
		}
		before := bytes.Clone(img)
		err = ext4.Patch(image(img), int64(len(img)), c.name, c.edit)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: got %v, want %q", c.name, c.cmds, err, c.want)
		}
		if !bytes.Equal(img, before) {
			t.Errorf("%s %q: the image was written to", c.name, c.cmds)
		}
	}
}
