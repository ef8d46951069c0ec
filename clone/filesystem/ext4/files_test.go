package ext4_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"lifeboat/clone/filesystem/ext4"
)

// compareTree holds the files of an image against the folder they came from.
func compareTree(t *testing.T, files fs.FS, src string) {
	t.Helper()
	seen := map[string]bool{}
	must(t, fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if name == "lost+found" {
			return fs.SkipDir
		}
		seen[name] = true
		info, err := d.Info()
		must(t, err)
		want, err := os.Lstat(filepath.Join(src, name))
		if err != nil {
			t.Errorf("%q: %v", name, err)
			return nil
		}
		if info.Mode() != want.Mode() || d.Type() != want.Mode().Type() {
			t.Errorf("%q: got mode %v, want %v", name, info.Mode(), want.Mode())
		}
		st, wantSt := info.Sys().(*ext4.Stat), want.Sys().(*syscall.Stat_t)
		if st.UID != wantSt.Uid || st.GID != wantSt.Gid {
			t.Errorf("%q: got owner %d:%d, want %d:%d", name, st.UID, st.GID, wantSt.Uid, wantSt.Gid)
		}
		if name == "again" || want.IsDir() {
			return nil
		}
		if got := st.ModTime.Unix(); got != want.ModTime().Unix() && name != "magic" {
			t.Errorf("%q: got time %d, want %d", name, got, want.ModTime().Unix())
		}
		compareFile(t, files, src, name, info, want)
		return nil
	}))
	must(t, filepath.WalkDir(src, func(path string, _ fs.DirEntry, err error) error {
		name, rerr := filepath.Rel(src, path)
		if name != "." && !seen[name] {
			t.Errorf("%q is missing", name)
		}
		return errors.Join(err, rerr)
	}))
}

func compareFile(t *testing.T, files fs.FS, src, name string, info, want fs.FileInfo) {
	t.Helper()
	if want.Mode().Type() == fs.ModeSymlink {
		got, err := fs.ReadLink(files, name)
		must(t, err)
		if target, _ := os.Readlink(filepath.Join(src, name)); got != target {
			t.Errorf("%q: got link to %q, want %q", name, got, target)
		}
		return
	}
	if info.Size() != want.Size() {
		t.Errorf("%q: got %d bytes, want %d", name, info.Size(), want.Size())
	}
	b, err := os.ReadFile(filepath.Join(src, name))
	must(t, err)
	got, err := fs.ReadFile(files, name)
	must(t, err)
	if !bytes.Equal(got, b) {
		t.Errorf("%q: the content differs", name)
	}
	f, err := files.Open(name)
	must(t, err)
	if got, err = io.ReadAll(f); err != nil || !bytes.Equal(got, b) {
		t.Errorf("%q: the content differs when read piece by piece, error %v", name, err)
	}
	must(t, f.Close())
}

func TestFS(t *testing.T) {
	t.Parallel()
	src := tree(t, false)
	// testing/fstest wants to follow all links and to open all names.
	for _, name := range []string{"loop", "dangling", "long", "l59", "l60", "not\xffutf8", "abs"} {
		must(t, os.RemoveAll(filepath.Join(src, name)))
	}
	f, _ := open(t, mkfs(t, layout{"fs", 12 * mib, "-t ext4 -b 1024", false}, src))
	if err := fstest.TestFS(f.Files(), "etc/fstab", "dir/sub/deep/er/file", "hole"); err != nil {
		t.Error(err)
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	f, _ := open(t, mkfs(t, layout{"links", 12 * mib, "-t ext4 -b 1024", false}, tree(t, false)))
	files := f.Files()
	for _, c := range []struct {
		name string
		want string
		err  error
	}{
		{"link", "PARTUUID", nil}, {"abs", "PARTUUID", nil}, {"up", "PARTUUID", nil},
		{"loop", "", syscall.ELOOP}, {"dangling", "", fs.ErrNotExist}, {"loop/x", "", syscall.ELOOP},
		{"link/x", "", syscall.ENOTDIR}, {"../etc/fstab", "", fs.ErrInvalid}, {"/etc/fstab", "", fs.ErrInvalid},
		{"etc", "", nil},
	} {
		b, err := fs.ReadFile(files, c.name)
		if c.name == "etc" && err != nil {
			continue
		}
		if !errors.Is(err, c.err) || !strings.HasPrefix(string(b), c.want) {
			t.Errorf("%s: got %q, %v, want %q, %v", c.name, b, err, c.want, c.err)
		}
	}
	list, err := fs.ReadDir(files, "dirlink/deep")
	if err != nil || len(list) != 1 || list[0].Name() != "er" {
		t.Errorf("dirlink/deep: got %v, %v, want er", list, err)
	}
}

func TestSeek(t *testing.T) {
	t.Parallel()
	src := tree(t, false)
	f, _ := open(t, mkfs(t, layout{"seek", 12 * mib, "-t ext4 -b 1024", false}, src))
	file, err := f.Files().Open("hole")
	must(t, err)
	want, err := os.Open(filepath.Join(src, "hole"))
	must(t, err)
	defer want.Close()
	type reader interface {
		io.ReaderAt
		io.ReadSeeker
	}
	for _, r := range []struct{ off, n int64 }{{0, 10}, {4999, 3}, {199_990, 20}, {204_000, 5000}, {899_999, 2}, {1_499_990, 10}} {
		got, exp := make([]byte, r.n), make([]byte, r.n)
		_, err := file.(reader).ReadAt(got, r.off)
		must(t, err)
		_, err = want.ReadAt(exp, r.off)
		must(t, err)
		if !bytes.Equal(got, exp) {
			t.Errorf("%d bytes at %d differ", r.n, r.off)
		}
		off, err := file.(reader).Seek(r.off-1_500_000, io.SeekEnd)
		must(t, err)
		_, err = io.ReadFull(file, got)
		if err != nil || off != r.off || !bytes.Equal(got, exp) {
			t.Errorf("%d bytes from %d on differ, error %v", r.n, off, err)
		}
	}
	if n, err := file.(reader).ReadAt(make([]byte, 20), 1_499_990); n != 10 || err != io.EOF {
		t.Errorf("at the end: got %d, %v, want 10, EOF", n, err)
	}
}

// TestEncrypted wants to be told where a file system holds what needs a key.
func TestEncrypted(t *testing.T) {
	t.Parallel()
	path := mkfs(t, layout{"encrypted", 12 * mib, "-t ext4 -b 1024 -O encrypt", false}, tree(t, false))
	debugfs(t, path, "sif dir flags 0x80800\nsif etc/fstab flags 0x80800\nsif l59 flags 0x800\n")
	f, _ := open(t, path)
	files := f.Files()
	_, err := fs.ReadDir(files, "dir")
	_, err2 := fs.ReadFile(files, "dir/sub/deep/er/file")
	_, err3 := fs.ReadFile(files, "etc/fstab")
	_, err4 := files.Open("etc/fstab")
	_, err5 := fs.ReadLink(files, "l59")
	for i, err := range []error{err, err2, err3, err4, err5} {
		if err == nil || !strings.Contains(err.Error(), "encrypted") {
			t.Errorf("%d: got %v, want that it is encrypted", i, err)
		}
	}
	if _, err := f.Used(); err != nil {
		t.Errorf("used: got %v", err)
	}
}
