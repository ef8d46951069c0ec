package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// OpenFuse opens /dev/fuse, through which this process serves a file system of
// its own. Programs that it starts do not inherit it. The caller closes it.
func (s *Sys) OpenFuse() (*os.File, error) {
	path := s.Dev + "/fuse"
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
