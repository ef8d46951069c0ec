package fit

import (
	"golang.org/x/sys/unix"
)

// memoryFile makes a file that lies in memory only.
func memoryFile(name string) (fd int, err error) {
	return unix.MemfdCreate(name, unix.MFD_CLOEXEC)
}
