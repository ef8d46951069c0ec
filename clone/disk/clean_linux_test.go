package disk_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// detach takes a loop device away, its number too.
func detach(tb testing.TB, node string) {
	f, err := os.Open(node)
	if err != nil {
		return
	}
	unix.IoctlSetInt(int(f.Fd()), unix.LOOP_CLR_FD, 0)
	f.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer control.Close()
	n, _ := strconv.Atoi(strings.TrimPrefix(node, "/dev/loop"))
	if err := unix.IoctlSetInt(int(control.Fd()), unix.LOOP_CTL_REMOVE, n); err != nil {
		tb.Logf("remove %s: %v", node, err)
	}
}
