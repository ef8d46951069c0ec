package fit_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lifeboat/clone/extent"
	"lifeboat/internal/fixture"
)

const mib = 1 << 20

// A recipe is a file system to be made smaller.
type recipe struct {
	name  string
	size  int64 // bytes
	data  int64 // bytes of files
	mkfs  []string
	grown int64 // made at this size, and grown to size
	dirty bool  // its journal waits for its replay
	rare  bool  // for campaigns
}

func recipes() []recipe {
	rpi := []string{"-t", "ext4", "-b", "4096", "-O", "^64bit,^huge_file,^metadata_csum,uninit_bg"}
	return []recipe{
		{name: "rpi", size: 288 * mib, data: 96 * mib, mkfs: rpi},
		{name: "trixie", size: 288 * mib, data: 96 * mib, mkfs: []string{"-t", "ext4", "-b", "4096", "-O", "orphan_file,metadata_csum_seed"}},
		{name: "1k", size: 160 * mib, data: 64 * mib, mkfs: []string{"-t", "ext4", "-b", "1024"}},
		{name: "noresize", size: 288 * mib, data: 96 * mib, mkfs: []string{"-t", "ext4", "-b", "4096", "-O", "^resize_inode"}, rare: true},
		{name: "meta_bg", size: 288 * mib, data: 96 * mib, mkfs: []string{"-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"}, rare: true},
		{name: "ext3", size: 288 * mib, data: 96 * mib, mkfs: []string{"-t", "ext3", "-b", "4096"}},
		{name: "bigalloc", size: 416 * mib, data: 64 * mib, mkfs: []string{"-t", "ext4", "-b", "4096", "-O", "bigalloc", "-C", "16384", "-g", "8192"}},
		{name: "grown", size: 416 * mib, data: 128 * mib, mkfs: rpi, grown: 256 * mib, rare: true},
		{name: "inline_data", size: 288 * mib, data: 64 * mib, mkfs: []string{"-t", "ext4", "-b", "4096", "-O", "inline_data,metadata_csum"}, rare: true},
		{name: "sparse_super2", size: 288 * mib, data: 64 * mib, mkfs: []string{"-t", "ext4", "-b", "4096", "-O", "sparse_super2,^resize_inode"}, rare: true},
		{name: "ea_inode", size: 160 * mib, data: 32 * mib, mkfs: []string{"-t", "ext4", "-b", "1024", "-O", "ea_inode,large_dir"}, rare: true},
		{name: "fast_commit", size: 288 * mib, data: 64 * mib, mkfs: []string{"-t", "ext4", "-b", "4096", "-O", "fast_commit"}, rare: true},
		{name: "ext2", size: 160 * mib, data: 32 * mib, mkfs: []string{"-t", "ext2", "-b", "1024", "-I", "128"}, rare: true},
		{name: "dirty", size: 288 * mib, data: 96 * mib, mkfs: rpi, dirty: true},
	}
}

// make makes the file system in a file, scattered to its end.
func (r recipe) make(t testing.TB) string {
	t.Helper()
	fixture.Root(t)
	fixture.Need(t, "mke2fs", "e2fsck", "resize2fs", "debugfs")
	path := fixture.Sparse(t, r.name, r.size)
	args := append([]string{"-q", "-F", "-L", "rootfs"}, r.mkfs...)
	args = append(args, path)
	if r.grown > 0 {
		args = append(args, strconv.FormatInt(r.grown/1024, 10)+"K")
	}
	fixture.Run(t, "mke2fs", args...)
	if r.grown > 0 {
		fixture.Run(t, "resize2fs", path)
	}
	mounted(t, path, "", func(root string) { r.fill(t, root) })
	if r.dirty {
		dirty(t, path)
	}
	return path
}

// fill writes files, and between them such as go again.
func (r recipe) fill(t testing.TB, root string) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(7, uint64(r.size)))
	var st syscall.Statfs_t
	must(t, syscall.Statfs(root, &st))
	free := int64(st.Bavail) * st.Bsize
	const rounds = 40
	filler, share := (free-r.data-free/50)/rounds, r.data/rounds
	must(t, os.Mkdir(filepath.Join(root, "fill"), 0o755))
	for i := range rounds {
		dir := filepath.Join(root, fmt.Sprintf("data/%c/%02d", 'a'+i%5, i))
		must(t, os.MkdirAll(dir, 0o755))
		for left, n := share, 0; left > 0; n++ {
			size := min(left, 1+rnd.Int64N(1<<(8+rnd.IntN(12))))
			left -= size
			name := filepath.Join(dir, fmt.Sprintf("a-file-with-a-name-%04d", n))
			must(t, os.WriteFile(name, random(rnd, size), fs.FileMode(0o600+rnd.IntN(64))))
			must(t, os.Lchown(name, rnd.IntN(2000), rnd.IntN(2000)))
			stamp := time.Unix(1e9+rnd.Int64N(6e8), rnd.Int64N(1e9))
			must(t, os.Chtimes(name, stamp, stamp))
		}
		stamp := time.Unix(1e9+int64(i), int64(i)*1000)
		must(t, os.Chtimes(dir, stamp, stamp))
		occupy(t, filepath.Join(root, "fill", strconv.Itoa(i)), filler)
	}
	r.specials(t, filepath.Join(root, "data"))
	must(t, os.RemoveAll(filepath.Join(root, "fill")))
}

// occupy makes a file of size bytes, or as many as there is room for.
func occupy(t testing.TB, name string, size int64) {
	t.Helper()
	f, err := os.Create(name)
	must(t, err)
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); errors.Is(err, unix.EOPNOTSUPP) {
		_, _ = f.Write([]byte(strings.Repeat("F", int(size)))) // ext3
	}
}

func random(rnd *rand.Rand, size int64) []byte {
	b := make([]byte, size)
	for i := 0; i < len(b); i += 61 {
		b[i] = byte(rnd.Uint32()) | 1
	}
	if rnd.IntN(8) == 0 {
		clear(b[len(b)/2:]) // used and zero
	}
	return b
}

// specials are files of all kinds.
func (r recipe) specials(t testing.TB, root string) {
	t.Helper()
	sub := filepath.Join(root, "special")
	must(t, os.MkdirAll(filepath.Join(sub, "big"), 0o750))
	for i := range 900 {
		must(t, os.WriteFile(filepath.Join(sub, "big", fmt.Sprintf("one-of-many-names-%05d", i)), nil, 0o644))
	}
	for name, step := range map[string]int64{"scattered": 20000, "sparse": 1 << 24} {
		f, err := os.Create(filepath.Join(sub, name))
		must(t, err)
		for i := range int64(300) {
			if i*step > 1<<29 {
				break
			}
			_, err := f.WriteAt([]byte(strings.Repeat(string(rune('a'+i%26)), 3000)), i*step+5)
			must(t, err)
		}
		must(t, f.Close())
	}
	must(t, os.Link(filepath.Join(sub, "scattered"), filepath.Join(sub, "hard")))
	must(t, os.Symlink(strings.Repeat("y", 900), filepath.Join(sub, "long-link")))
	must(t, os.Symlink("short", filepath.Join(sub, "short-link")))
	must(t, syscall.Mknod(filepath.Join(sub, "device"), syscall.S_IFBLK|0o660, 7<<8|1))
	must(t, syscall.Mkfifo(filepath.Join(sub, "fifo"), 0o600))
	must(t, unix.Setxattr(filepath.Join(sub, "hard"), "user.big", []byte(strings.Repeat("v", 900)), 0))
	must(t, unix.Setxattr(filepath.Join(sub, "hard"), "user.small", []byte("s"), 0))
}

// dirty leaves a transaction in the journal, as a crash does.
func dirty(t testing.TB, path string) {
	t.Helper()
	crashed := path + ".crashed"
	mounted(t, path, "", func(root string) {
		for i := range 200 {
			must(t, os.WriteFile(filepath.Join(root, fmt.Sprintf("late-%03d", i)), []byte(strings.Repeat("late", 3000)), 0o640))
		}
		f, err := os.Open(root)
		must(t, err)
		must(t, unix.Syncfs(int(f.Fd()))) // it lies in the journal now
		must(t, f.Close())
		fixture.Run(t, "cp", "--sparse=always", path, crashed)
	})
	must(t, os.Rename(crashed, path))
}

// mounted lends the files of a file system.
func mounted(t testing.TB, path, options string, do func(root string)) {
	t.Helper()
	root := t.TempDir()
	if options == "" {
		options = "loop"
	} else {
		options = "loop," + options
	}
	fixture.Run(t, "mount", "-o", options, path, root)
	defer func() {
		// A program that another test starts may hold a file between fork and exec.
		deadline := time.Now().Add(time.Minute)
		wait := func(what string) {
			if time.Now().After(deadline) {
				t.Fatal(what)
			}
			time.Sleep(20 * time.Millisecond)
		}
		for out, code := fixture.Try(t, "umount", root); code != 0; out, code = fixture.Try(t, "umount", root) {
			wait(out)
		}
		// Another mount namespace may hold it longer: until then the file is not whole.
		for out := fixture.Run(t, "losetup", "-j", path); out != ""; out = fixture.Run(t, "losetup", "-j", path) {
			wait(out)
		}
	}()
	do(root)
}

// listing says all that must survive, a line a file.
func listing(t testing.TB, path string) []string {
	t.Helper()
	var lines []string
	mounted(t, replayed(t, path), "ro", func(root string) {
		must(t, filepath.WalkDir(root, func(name string, _ fs.DirEntry, err error) error {
			must(t, err)
			lines = append(lines, line(t, root, name))
			return nil
		}))
	})
	sort.Strings(lines)
	return lines
}

// replayed is path, or a copy without what waits in its journal.
func replayed(t testing.TB, path string) string {
	t.Helper()
	if out := fixture.Run(t, "dumpe2fs", "-h", path); !strings.Contains(out, "needs_recovery") {
		return path
	}
	clean := filepath.Join(t.TempDir(), "replayed")
	fixture.Run(t, "cp", "--sparse=always", path, clean)
	fixture.Try(t, "e2fsck", "-p", clean)
	return clean
}

func line(t testing.TB, root, name string) string {
	t.Helper()
	var st syscall.Stat_t
	must(t, syscall.Lstat(name, &st))
	sum, size := "", st.Size
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		b, err := os.ReadFile(name)
		must(t, err)
		sum = fmt.Sprintf("%x", sha256.Sum256(b))
	case syscall.S_IFLNK:
		to, err := os.Readlink(name)
		must(t, err)
		sum = to
	case syscall.S_IFDIR:
		size = 0
	}
	return fmt.Sprintf("%s mode %o owner %d:%d size %d links %d device %d time %d.%09d %s %s",
		strings.TrimPrefix(name, root), st.Mode, st.Uid, st.Gid, size, st.Nlink, st.Rdev, st.Mtim.Sec, st.Mtim.Nsec, attributes(name), sum)
}

func attributes(name string) string {
	list := make([]byte, 4096)
	n, _ := unix.Llistxattr(name, list)
	var all []string
	for _, key := range strings.Split(string(list[:max(0, n)]), "\x00") {
		value := make([]byte, 65536)
		if m, err := unix.Lgetxattr(name, key, value); err == nil && key != "" {
			all = append(all, fmt.Sprintf("%s=%x", key, value[:m]))
		}
	}
	sort.Strings(all)
	return strings.Join(all, ",")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A target is a smaller part in a file: full of garbage.
type target struct {
	*os.File
	written int64
}

func newTarget(t testing.TB, size int64) *target {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "target"))
	must(t, err)
	t.Cleanup(func() { f.Close() })
	garbage := []byte(strings.Repeat("\xa5", mib))
	for off := int64(0); off < size; off += mib {
		_, err := f.WriteAt(garbage[:min(mib, size-off)], off)
		must(t, err)
	}
	return &target{File: f}
}

func (f *target) WriteAt(b []byte, off int64) (int, error) {
	f.written += int64(len(b))
	return f.File.WriteAt(b, off)
}

func (f *target) WriteZeros(_ context.Context, e extent.Extent) error {
	f.written += e.Len
	_, err := f.File.WriteAt(make([]byte, e.Len), e.Off)
	return err
}

func (f *target) Sync(context.Context) error { return nil }
