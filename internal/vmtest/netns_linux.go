package vmtest

import (
	"os"

	"golang.org/x/sys/unix"
)

// unshareNet moves this thread to a new network namespace.
func unshareNet() error { return unix.Unshare(unix.CLONE_NEWNET) }

// setNet moves this thread to the network namespace ns.
func setNet(ns *os.File) error { return unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET) }

// openTap makes a tap device in this thread's network namespace. It lives as
// long as the file is open.
func openTap(name string) (*os.File, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open /dev/net/tun", err)
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("ioctl TUNSETIFF", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
