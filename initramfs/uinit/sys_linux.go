package uinit

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openUevents opens the socket on which the kernel tells of devices.
func openUevents() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, err
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, ueventRoom) // less room is made up for by ENOBUFS
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelGroup}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "uevents"), nil
}

const (
	ueventRoom  = 4 << 20 // bytes
	kernelGroup = 1       // the kernel's own messages; udev sends its under 2
)

// addEntropy credits 256 bits to the kernel's random numbers.
func addEntropy(fd uintptr, seed [32]byte) error {
	arg := randPool{256, 32, seed}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, rndAddEntropy, uintptr(unsafe.Pointer(&arg)))
	if errno != 0 {
		return errno
	}
	return nil
}

// randPool is struct rand_pool_info of Linux v6.12, include/uapi/linux/random.h.
type randPool struct {
	bits, size int32
	buf        [32]byte
}

const rndAddEntropy = 0x40085203 // RNDADDENTROPY, the same on all architectures that boards have

// setTime sets the machine's clock.
func setTime(t time.Time) error {
	tv := unix.NsecToTimeval(t.UnixNano())
	return unix.Settimeofday(&tv)
}

// setWatchdog asks for a time limit in seconds; the driver may choose another.
func setWatchdog(fd uintptr, seconds int) error {
	return unix.IoctlSetPointerInt(int(fd), unix.WDIOC_SETTIMEOUT, seconds)
}

// reboot ends the machine's life in one of the ways of reboot(2).
func reboot(cmd int) error { return unix.Reboot(cmd) }

// wait4 waits for any child.
func wait4() (pid int, status unix.WaitStatus, err error) {
	pid, err = unix.Wait4(-1, &status, 0, nil)
	return pid, status, err
}

// kernelLog is all that the kernel's log still holds.
func kernelLog() ([]byte, error) {
	buf := make([]byte, kernelLogSize)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buf)
	return buf[:max(n, 0)], err
}

const kernelLogSize = 4 << 20 // bytes; CONFIG_LOG_BUF_SHIFT of the usual kernels is 17 to 20

// syncAll writes all file systems out.
func syncAll() { unix.Sync() }

// signalInit asks PID 1 for the end of the machine.
func signalInit(r reason) error {
	if r == reasonPoweroff {
		return unix.Kill(1, unix.SIGUSR2)
	}
	return unix.Kill(1, unix.SIGTERM)
}
