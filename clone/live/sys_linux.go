package live

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// One system call a function, and no logic.

// Linux, include/uapi/linux/fs.h.
const (
	ioctlFreeze = 0xc0045877 // FIFREEZE
	ioctlThaw   = 0xc0045878 // FITHAW
	ioctlFiemap = 0xc020660b // FS_IOC_FIEMAP
)

// lockOnFault locks pages when they come into use, not all that could: Linux,
// include/uapi/asm-generic/mman.h, MCL_ONFAULT.
const lockOnFault = 4

func ioctl(f *os.File, request uint, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(request), uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

func freezeFS(dir *os.File) error { return ioctl(dir, ioctlFreeze, nil) }

func thawFS(dir *os.File) error { return ioctl(dir, ioctlThaw, nil) }

func syncFS(dir *os.File) error { return unix.Syncfs(int(dir.Fd())) }

func fiemap(f *os.File, m *fiemapRequest) error { return ioctl(f, ioctlFiemap, unsafe.Pointer(m)) }

func stat(path string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	if err != nil {
		return st, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st, nil
}

func statFile(f *os.File) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	return st, err
}

func lockMemory() error {
	return unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | lockOnFault)
}

func unlockMemory() error { return unix.Munlockall() }

func mapMemory(size int) ([]byte, error) {
	return unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE)
}

func pinMemory(b []byte) error { return unix.Mlock(b) }

func unmapMemory(b []byte) error { return unix.Munmap(b) }

// mountDetached makes a file system that nobody else sees, as a folder.
func mountDetached(fstype string) (*os.File, error) {
	ctx, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(ctx)
	if err := unix.FsconfigCreate(ctx); err != nil {
		return nil, err
	}
	fd, err := unix.Fsmount(ctx, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), fmt.Sprintf("/proc/self/fd/%d", fd)), nil
}

func openRaw(path string) (int, error) {
	return unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
}

func readRaw(fd int, b []byte) (int, error) { return unix.Read(fd, b) }

func closeRaw(fd int) error { return unix.Close(fd) }

func affinity() (set unix.CPUSet, err error) {
	err = unix.SchedGetaffinity(0, &set)
	return set, err
}

func setAffinity(set *unix.CPUSet) error { return unix.SchedSetaffinity(0, set) }

// everyCPU returns when each CPU has run something else since: Linux,
// include/uapi/linux/membarrier.h, MEMBARRIER_CMD_GLOBAL.
func everyCPU() error {
	const global = 1
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
