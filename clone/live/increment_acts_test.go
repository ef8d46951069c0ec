package live_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"lifeboat/internal/fixture"
)

func (n *nights) pwrite(tb testing.TB, name string, off int64, sync func(int) error) {
	tb.Helper()
	f, err := os.OpenFile(n.path(name), os.O_RDWR, 0)
	must(tb, err)
	_, err = f.WriteAt(noise(4096), off)
	must(tb, err)
	if sync != nil {
		must(tb, sync(int(f.Fd())))
	}
	must(tb, f.Close())
}

func rewriteSame(tb testing.TB, n *nights) {
	f, err := os.OpenFile(n.path("d01/file1"), os.O_RDWR, 0)
	must(tb, err)
	b := make([]byte, 20000)
	_, err = f.ReadAt(b, 0)
	must(tb, err)
	_, err = f.WriteAt(b, 0)
	must(tb, err)
	must(tb, f.Close())
}

// mapping maps a file; what is returned writes through the mapping.
func (n *nights) mapping(tb testing.TB, name string) func(at int, sync bool) {
	tb.Helper()
	f, err := os.OpenFile(n.path(name), os.O_RDWR, 0)
	must(tb, err)
	m, err := unix.Mmap(int(f.Fd()), 0, 20000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(tb, err)
	must(tb, f.Close())
	tb.Cleanup(func() { unix.Munmap(m) })
	return func(at int, sync bool) {
		copy(m[at:], noise(100))
		if sync {
			must(tb, unix.Msync(m, unix.MS_SYNC))
		}
	}
}

// mapBefore dirties a page whose mapping stays, for mapAgain.
func mapBefore(tb testing.TB, n *nights) {
	n.mapped = n.mapping(tb, "d01/file41")
	n.mapped(5000, false)
}

func mapAgain(_ testing.TB, n *nights) { n.mapped(5000, false) }

func writeTouch(tb testing.TB, n *nights) {
	name := n.path("d08/file8")
	info, err := os.Stat(name)
	must(tb, err)
	n.pwrite(tb, "d08/file8", 4096, nil)
	fixture.Run(tb, "touch", "-d", info.ModTime().Format(time.RFC3339Nano), name)
}

func allocate(name string, mode uint32, off, size int64) func(testing.TB, *nights) {
	return func(tb testing.TB, n *nights) {
		tb.Helper()
		f, err := os.OpenFile(n.path(name), os.O_RDWR, 0)
		must(tb, err)
		must(tb, unix.Fallocate(int(f.Fd()), mode, off, size))
		must(tb, f.Close())
	}
}

func linkAndMode(tb testing.TB, n *nights) {
	must(tb, os.Link(n.path("d09/file9"), n.path("d10/link")))
	must(tb, os.Symlink(strings.Repeat("x", 200), n.path("d10/symlink")))
	must(tb, os.Chmod(n.path("d11/file11"), 0o600))
}

func shareAttributes(tb testing.TB, n *nights) {
	value := noise(600)
	for _, name := range []string{"d05/file5", "d05/file25", "d05/file45", "d05/file65"} {
		if _, err := os.Stat(n.path(name)); err == nil {
			must(tb, unix.Setxattr(n.path(name), "user.a", value, 0))
		}
	}
}

func manyFiles(tb testing.TB, n *nights) {
	must(tb, os.MkdirAll(n.path("many"), 0o755))
	for i := range 2000 {
		must(tb, os.WriteFile(n.path(fmt.Sprintf("many/%040d", i)), nil, 0o644))
	}
	for i := 0; i < 2000; i += 3 {
		must(tb, os.Remove(n.path(fmt.Sprintf("many/%040d", i))))
	}
}

// fragment makes a file of so many pieces that its extents need a tree.
func fragment(tb testing.TB, n *nights) { n.fragment(tb, "pieces") }

func (n *nights) fragment(tb testing.TB, name string) {
	tb.Helper()
	f, err := os.Create(n.path(name))
	must(tb, err)
	for i := range int64(600) {
		_, err := f.WriteAt(noise(4096), i*8192)
		must(tb, err)
	}
	must(tb, f.Sync())
	must(tb, f.Close())
}

func donor(tb testing.TB, n *nights) {
	must(tb, os.WriteFile(n.path("donor"), noise(6<<20), 0o644))
	unix.Sync()
}

// moveExtents exchanges blocks of two files, as e4defrag does: EXT4_IOC_MOVE_EXT
// (Linux v6.12, fs/ext4/ext4.h, struct move_extent).
func moveExtents(name string) func(testing.TB, *nights) {
	return func(tb testing.TB, n *nights) {
		a, err := os.OpenFile(n.path(name), os.O_RDWR, 0)
		must(tb, err)
		from, at, blocks := "donor", uint64(1), uint64(3)
		if name == "pieces" { // both have a tree, far from this block: neither inode changes
			from, at, blocks = "other pieces", 200, 1
		}
		b, err := os.OpenFile(n.path(from), os.O_RDWR, 0)
		must(tb, err)
		var m [40]byte
		binary.LittleEndian.PutUint32(m[4:], uint32(b.Fd()))
		binary.LittleEndian.PutUint64(m[8:], at)
		binary.LittleEndian.PutUint64(m[16:], at)
		binary.LittleEndian.PutUint64(m[24:], blocks)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, a.Fd(), 0xc028660f, uintptr(unsafe.Pointer(&m))); errno != 0 {
			tb.Fatalf("move extents: %v", errno)
		}
		must(tb, a.Close())
		must(tb, b.Close())
		unix.Sync()
	}
}

func swapFile(tb testing.TB, n *nights) {
	must(tb, os.WriteFile(n.path("swap"), noise(8<<20), 0o600))
	fixture.Run(tb, "mkswap", n.path("swap"))
	unix.Sync()
}

func swapFileLarge(tb testing.TB, n *nights) {
	must(tb, os.WriteFile(n.path("swap64"), noise(8<<20), 0o600))
	fixture.Run(tb, "mkswap", "-p", "65536", n.path("swap64"))
	unix.Sync()
}

func quotaFile(tb testing.TB, n *nights) {
	must(tb, os.WriteFile(n.path("aquota.user"), noise(20<<10), 0o600))
	fixture.Run(tb, "chattr", "+i", "+A", n.path("aquota.user"))
	unix.Sync()
}

// past writes to a block of a file past its file system, as the kernel does to
// swap: nothing in the metadata changes.
func (n *nights) past(tb testing.TB, name string, off int64) {
	tb.Helper()
	var block int64
	out := fixture.Run(tb, "filefrag", "-b4096", "-e", n.path(name))
	for line := range strings.Lines(out) {
		var ext, first, last, phys int64
		if k, _ := fmt.Sscanf(strings.NewReplacer(":", " ", "..", " ").Replace(line), "%d %d %d %d", &ext, &first, &last, &phys); k == 4 && first <= off/4096 && off/4096 <= last {
			block = phys + off/4096 - first
		}
	}
	if block == 0 {
		tb.Fatalf("where %s lies is not understood:\n%s", name, out)
	}
	must(tb, writeDirect(n.card.disk, n.card.part2.Off+block*4096, byte(time.Now().UnixNano())))
	f, err := os.Open(n.path(name))
	must(tb, err)
	must(tb, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	must(tb, f.Close())
}

func openRemoved(tb testing.TB, n *nights) {
	for i := range 20 {
		f, err := os.Create(n.path(fmt.Sprint("gone", i)))
		must(tb, err)
		_, err = f.Write(noise(50000))
		must(tb, err)
		must(tb, os.Remove(f.Name()))
		tb.Cleanup(func() { f.Close() })
	}
}

func innerBefore(tb testing.TB, n *nights) {
	must(tb, os.WriteFile(n.path("inner"), make([]byte, 16<<20), 0o600))
	fixture.Run(tb, "mke2fs", "-q", "-F", "-t", "ext4", n.path("inner"))
	n.inner = tb.TempDir()
	must(tb, unix.Mount(fixture.Loop(tb, n.path("inner")), n.inner, "ext4", 0, ""))
	inner := n.inner
	tb.Cleanup(func() { fixture.Unmount(inner) })
	must(tb, os.WriteFile(filepath.Join(n.inner, "x"), noise(20000), 0o600))
	unix.Sync()
}

func innerWrite(tb testing.TB, n *nights) {
	must(tb, os.WriteFile(filepath.Join(n.inner, "x"), noise(20000), 0o600))
	unix.Sync()
}

func remount(opts string) func(testing.TB, *nights) {
	return func(tb testing.TB, n *nights) { fixture.Run(tb, "mount", "-o", "remount,"+opts, n.card.dir) }
}

// offline does something while the root is not mounted.
func (n *nights) offline(tb testing.TB, script string) {
	tb.Helper()
	must(tb, fixture.Unmount(n.card.dir))
	fixture.Run(tb, "sh", "-c", script+"; true")
	must(tb, unix.Mount(n.card.root, n.card.dir, "ext4", syscall.MS_RELATIME, ""))
}

func offlineWrite(tb testing.TB, n *nights) {
	var st unix.Statfs_t
	must(tb, unix.Statfs(n.card.dir, &st))
	must(tb, fixture.Unmount(n.card.dir))
	out := fixture.Run(tb, "debugfs", "-R", "bmap /d12/file12 2", n.card.root)
	var block int64
	fmt.Sscan(strings.TrimSpace(out), &block)
	must(tb, writeDirect(n.card.disk, n.card.part2.Off+block*int64(st.Bsize), 0x77))
	must(tb, unix.Mount(n.card.root, n.card.dir, "ext4", syscall.MS_RELATIME, ""))
}

// crash overwrites a block in place and takes the disk as it is then, as a power
// cut would leave it: data are there, the inode's time is not.
func crash(tb testing.TB, n *nights) {
	must(tb, writeDirect(n.path("d13/file13"), 8192, 0x66))
	image := filepath.Join(tb.TempDir(), "crash")
	must(tb, n.card.truth(tb, image)())
	must(tb, fixture.Unmount(n.card.dir))
	fixture.Run(tb, "dd", "if="+image, "of="+n.card.disk, "bs=1M", "oflag=direct", "status=none")
	must(tb, unix.Mount(n.card.root, n.card.dir, "ext4", syscall.MS_RELATIME, ""))
}
