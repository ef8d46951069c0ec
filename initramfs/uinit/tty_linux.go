package uinit

import "golang.org/x/sys/unix"

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
