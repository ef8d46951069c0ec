package netboot

import (
	"time"

	"golang.org/x/sys/unix"
)

// setTime sets the machine's clock.
func setTime(t time.Time) error {
	tv := unix.NsecToTimeval(t.UnixNano())
	return unix.Settimeofday(&tv)
}
