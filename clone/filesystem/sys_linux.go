package filesystem

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioctlResize is EXT4_IOC_RESIZE_FS of Linux, include/uapi/linux/ext4.h:
// _IOW('f', 16, __u64).
const ioctlResize = 0x40086610

// resizeExt makes the mounted ext file system that dir lies in blocks large.
func resizeExt(dir *os.File, blocks uint64) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), ioctlResize, uintptr(unsafe.Pointer(&blocks))); errno != 0 {
		return errno
	}
	return nil
}
