package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// restAge is how old a leftover must be where a lock may be seen by one machine
// only: whoever writes a file writes to it, or reads it back, within that time.
const restAge = 24 * time.Hour

// networks are the file systems that several machines may write to: the numbers
// that statfs(2) has for NFS, SMB (three), FUSE, 9p, AFS (two) and Ceph.
var networks = []int64{0x6969, 0x517b, 0xfe534d42, 0xff534d42, 0x65735546, 0x01021997, 0x5346414f, 0x6b414653, 0x00c36400}

// Sweep removes what processes that were killed while they wrote a file for path
// have left beside it; Create does it too. The file of a writer that lives stays:
// it is locked. Nothing that goes wrong here keeps anybody from writing.
func Sweep(path string) { sweep(path, time.Now()) }

func sweep(path string, now time.Time) {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	age := time.Duration(0)
	if Shared(dir) {
		age = restAge
	}
	torn := func(string) bool { return false }
	if Loose(dir) {
		torn = tornOf(filepath.Base(path))
	}
	for _, e := range entries {
		if !isPending(e.Name(), filepath.Base(path)) && !torn(e.Name()) || !e.Type().IsRegular() {
			continue
		}
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) >= age {
			removeDead(filepath.Join(dir, e.Name()))
		}
	}
}

// isPending tells whether name is that of a temporary file for base: renameio
// puts a dot before it and a number behind it.
func isPending(name, base string) bool {
	number, ok := strings.CutPrefix(name, "."+base)
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// removeDead removes the file at path unless somebody has a lock on it.
func removeDead(path string) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if lock(f) == nil && leadsTo(path, f) {
		Remove(path)
	}
}

// lock marks a file as being written, until it is closed.
func lock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// leadsTo tells whether path still is the file f.
func leadsTo(path string, f *os.File) bool {
	a, errA := os.Lstat(path)
	b, errB := f.Stat()
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// Shared tells whether several machines may write in dir, or nobody knows.
func Shared(dir string) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return true
	}
	for _, n := range networks {
		if uint32(st.Type) == uint32(n) {
			return true
		}
	}
	return false
}

// A claim keeps a temporary file locked until it has its name.
type claim struct{ f *os.File }

// claimFile locks a new temporary file; false where another writer took it for a
// leftover before that. Where files cannot be locked nobody removes them either.
func claimFile(f *os.File) (claim, bool, error) {
	switch err := lock(f); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return claim{}, false, nil
	case err != nil:
		return claim{}, true, nil
	case !leadsTo(f.Name(), f):
		return claim{}, false, nil
	}
	// The lock stays while one of its descriptors does: renameio closes its own
	// before the rename.
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return claim{}, false, err
	}
	return claim{os.NewFile(uintptr(fd), f.Name())}, true, nil
}

func (c claim) release() error {
	if c.f == nil {
		return nil
	}
	return c.f.Close()
}
