package uinit

import (
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal opens a terminal that does not become ours. Without O_NONBLOCK
// the open waits for a carrier, and no read can be called off.
func openTerminal(path string) (int, error) {
	return unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
}

func termios(fd int) (*unix.Termios, error) { return unix.IoctlGetTermios(fd, unix.TCGETS) }

func setTermios(fd int, m *unix.Termios) error { return unix.IoctlSetTermios(fd, unix.TCSETS, m) }

func winsize(fd int) (*unix.Winsize, error) { return unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ) }

func setWinsize(fd, rows, cols int) error {
	return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(rows), Col: uint16(cols)})
}

// waitSent waits until the driver has sent what it holds, or a time has passed:
// a line with flow control may be held up for ever. Linux waits itself only
// where the last one closes a terminal, and PID 1 keeps the console open.
func waitSent(fd int, most time.Duration) {
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(sentPoll) {
		if left, err := unix.IoctlGetInt(fd, unix.TIOCOUTQ); err != nil {
			return
		} else if left == 0 {
			unix.IoctlSetInt(fd, unix.TCSBRK, 1) // tcdrain(3): the device's own few bytes
			return
		}
	}
}

const sentPoll = 5 * time.Millisecond
