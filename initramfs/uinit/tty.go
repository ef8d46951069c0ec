package uinit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A tty is one open terminal. What is written waits in a queue, which a
// goroutine of its own empties.
type tty struct {
	// config
	path  string
	fd    int
	file  *os.File
	saved *unix.Termios

	// state
	mu     sync.Mutex
	moved  *sync.Cond // the queue has changed, or the tty is dead
	out    []byte
	lost   int // bytes that found no room
	gone   error
	in     []byte // read and not yet used
	closed bool
	done   chan struct{} // the writer has ended
}

// maxQueue is what waits at most for a slow terminal: at 115200 baud it is gone
// in six seconds.
const maxQueue = 64 << 10

// openTTY opens a terminal so that keys arrive one by one, and begins to write.
func openTTY(path string) (*tty, error) {
	fd, err := openTerminal(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	saved, err := termios(fd)
	if err == nil {
		err = setTermios(fd, keyMode(*saved))
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("%s: terminal settings: %w", path, err)
	}
	t := &tty{path: path, fd: fd, file: os.NewFile(uintptr(fd), path), saved: saved, done: make(chan struct{})}
	t.moved = sync.NewCond(&t.mu)
	go t.drain()
	return t, nil
}

// keyMode is a terminal's mode in which each key arrives at once and without an
// echo, ctrl-C too, and lines may be written with a bare line feed. CLOCAL:
// a serial line without a carrier is still a console.
func keyMode(m unix.Termios) *unix.Termios {
	m.Iflag = m.Iflag&^(unix.ISTRIP|unix.INLCR|unix.IGNCR|unix.IXON) | unix.ICRNL | unix.BRKINT
	m.Oflag |= unix.OPOST | unix.ONLCR
	m.Cflag |= unix.CLOCAL | unix.CREAD
	m.Lflag &^= unix.ICANON | unix.ECHO | unix.ECHONL | unix.ISIG | unix.IEXTEN
	m.Cc[unix.VMIN], m.Cc[unix.VTIME] = 1, 0
	return &m
}

// rawMode is keyMode without any change to the keys, as line editors want it.
// Line feeds that go out are still changed, which does no harm to them: others
// write to the same console.
func rawMode(m unix.Termios) *unix.Termios {
	raw := keyMode(m)
	raw.Iflag &^= unix.ICRNL | unix.BRKINT
	return raw
}

// lineMode is the usual one: the terminal edits and echoes lines, and ctrl-C is
// a signal.
func lineMode(m unix.Termios) *unix.Termios {
	line := keyMode(m)
	line.Lflag |= unix.ICANON | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ISIG | unix.IEXTEN
	return line
}

// drain writes the queue until the tty is dead.
func (t *tty) drain() {
	defer close(t.done)
	for {
		p := t.take()
		if p == nil {
			return
		}
		if _, err := t.file.Write(p); err != nil {
			t.die(err)
			return
		}
	}
}

// take waits for something to write; nil is the end.
func (t *tty) take() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.out) == 0 && t.gone == nil && !t.closed {
		t.moved.Wait()
	}
	if t.gone != nil || len(t.out) == 0 {
		return nil
	}
	p := t.out
	t.out = nil
	if t.lost > 0 {
		p = append(p, fmt.Sprintf("\n[%d bytes were not shown: this terminal is too slow]\n", t.lost)...)
		t.lost = 0
	}
	t.moved.Broadcast()
	return p
}

// queue adds p to what is written. Where there is no room it waits, or drops p.
func (t *tty) queue(p []byte, wait bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for wait && len(t.out)+len(p) > maxQueue && len(t.out) > 0 && t.gone == nil && !t.closed {
		t.moved.Wait()
	}
	switch {
	case t.gone != nil:
		return t.gone
	case t.closed:
		return os.ErrClosed
	case !wait && len(t.out)+len(p) > maxQueue:
		t.lost += len(p)
		return nil
	}
	t.out = append(t.out, p...)
	t.moved.Broadcast()
	return nil
}

func (t *tty) die(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone == nil {
		t.gone = fmt.Errorf("console %s: %w", t.path, err)
	}
	t.moved.Broadcast()
}

func (t *tty) dead() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.gone != nil || t.closed
}

// close ends the writer, sets the terminal back, and closes it.
func (t *tty) close() {
	t.mu.Lock()
	t.closed = true
	t.moved.Broadcast()
	t.mu.Unlock()
	t.file.SetWriteDeadline(time.Now().Add(flushTime))
	<-t.done
	waitSent(t.fd, flushTime) // a machine that restarts would cut off what the driver still holds
	setTermios(t.fd, t.saved) // of a terminal that is gone there is nothing to set
	t.file.Close()
}

// fill waits until there is input, or ctx ends.
func (t *tty) fill(ctx context.Context) error {
	t.mu.Lock()
	have := len(t.in) > 0
	t.mu.Unlock()
	if have {
		return nil
	}
	t.file.SetReadDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { t.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 256)
	n, err := t.file.Read(buf)
	if n > 0 {
		t.unread(buf[:n])
		return nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.Cause(ctx)
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	t.die(err) // also io.EOF: a terminal in this mode has no end but its own
	return err
}

func (t *tty) unread(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.in = append(t.in, p...)
}

// read is fill, and takes what is there.
func (t *tty) read(ctx context.Context, p []byte) (int, error) {
	if err := t.fill(ctx); err != nil {
		return 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n := copy(p, t.in)
	t.in = t.in[n:]
	return n, nil
}

// screen returns the size where this is one of the kernel's own screens, which
// move their cursor and know their size.
func (t *tty) screen() (cols, rows int, ok bool) {
	if !isScreen(path.Base(t.path)) {
		return 0, 0, false
	}
	ws, err := winsize(t.fd)
	if err != nil || ws.Col == 0 || ws.Row == 0 {
		return 0, 0, false
	}
	return int(ws.Col), int(ws.Row), true
}
