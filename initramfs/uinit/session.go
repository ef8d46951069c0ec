package uinit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Session is a talk with a person at one terminal. It ends with its Consoles,
// and an error of Read means that the terminal is gone: claim again. One
// goroutine reads at a time.
type Session struct {
	// Terminal tells whether the terminal can move its cursor, so that menus can
	// be drawn; else it gets lines.
	Terminal bool

	tty        *tty
	ctx        context.Context // ends Read
	cols, rows int
}

var _ io.ReadWriter = (*Session)(nil)

// probeTime is how long a terminal may take to tell where its cursor is: at
// 9600 baud question and answer take 30 ms.
const probeTime = 300 * time.Millisecond

// newSession finds out what the terminal can do. A screen is known; a serial
// line is asked.
func newSession(ctx context.Context, t *tty) *Session {
	s := &Session{tty: t, ctx: context.WithoutCancel(ctx), cols: 80, rows: 24}
	if cols, rows, ok := t.screen(); ok {
		s.Terminal, s.cols, s.rows = true, cols, rows
		return s
	}
	if rows, cols, ok := t.askCursor(ctx); ok {
		s.Terminal = true
		s.cols, s.rows = cols, rows
		setWinsize(t.fd, rows, cols) // for programs that are started here
	}
	return s
}

// The question goes from the far corner, so that the answer is the size: save
// the cursor, go there, report the position, go back (ECMA-48, and DEC's VT100
// for 7 and 8).
const cursorQuestion = "\x1b7\x1b[999;999H\x1b[6n\x1b8"

// askCursor asks the terminal for its size; what it reads besides the answer is
// kept as input.
func (t *tty) askCursor(ctx context.Context) (rows, cols int, ok bool) {
	if t.queue([]byte(cursorQuestion), true) != nil {
		return 0, 0, false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	var got []byte
	t.mu.Lock()
	kept := t.in
	t.in = nil
	t.mu.Unlock()
	for !ok {
		buf := make([]byte, 256)
		n, err := t.read(ctx, buf)
		got = append(got, buf[:n]...)
		if err != nil {
			break
		}
		rows, cols, got, ok = cutReport(got)
	}
	t.mu.Lock()
	t.in = append(kept, append(got, t.in...)...)
	t.mu.Unlock()
	return rows, cols, ok
}

// cutReport finds a position report "ESC [ rows ; cols R" and cuts it out.
func cutReport(in []byte) (rows, cols int, rest []byte, ok bool) {
	for at := 0; ; {
		i := bytes.Index(in[at:], []byte("\x1b["))
		if i < 0 {
			return 0, 0, in, false
		}
		at += i
		end := bytes.IndexByte(in[at:], 'R')
		if end < 0 {
			return 0, 0, in, false
		}
		r, c, found := strings.Cut(string(in[at+2:at+end]), ";")
		nr, rerr := strconv.Atoi(r)
		nc, cerr := strconv.Atoi(c)
		if found && rerr == nil && cerr == nil && nr > 0 && nc > 0 && nr < 1000 && nc < 1000 {
			return nr, nc, append(bytes.Clone(in[:at]), in[at+end+1:]...), true
		}
		at += 2
	}
}

// Path is the terminal's device, as "/dev/ttyS0".
func (s *Session) Path() string { return s.tty.path }

// Fd is the terminal's descriptor. It stays the session's: do not close it.
func (s *Session) Fd() uintptr { return uintptr(s.tty.fd) }

// Size is the terminal's, 80 × 24 where it cannot be known.
func (s *Session) Size() (cols, rows int) { return s.cols, s.rows }

// Write waits for room, but not for the text to arrive.
func (s *Session) Write(p []byte) (int, error) {
	for off := 0; off < len(p); off += maxQueue {
		if err := s.tty.queue(p[off:min(len(p), off+maxQueue)], true); err != nil {
			return off, err
		}
	}
	return len(p), nil
}

// Read waits for keys for as long as the terminal is there, or With's context
// lets it.
func (s *Session) Read(p []byte) (int, error) { return s.tty.read(s.ctx, p) }

// With is the same session, whose Read ends with ctx: for menus, which know no
// contexts.
func (s *Session) With(ctx context.Context) *Session {
	with := *s
	with.ctx = ctx
	return &with
}

// ReadContext waits for keys until ctx ends.
func (s *Session) ReadContext(ctx context.Context, p []byte) (int, error) {
	return s.tty.read(ctx, p)
}

// Raw sets the terminal so that nothing is changed on its way in or out, as line
// editors and menus want it; back undoes that.
func (s *Session) Raw() (back func() error, err error) { return s.mode(rawMode) }

// Line sets the terminal to its usual mode, as programs that ask questions want
// it; back undoes that.
func (s *Session) Line() (back func() error, err error) { return s.mode(lineMode) }

func (s *Session) mode(f func(unix.Termios) *unix.Termios) (func() error, error) {
	old, err := termios(s.tty.fd)
	if err != nil {
		return nil, fmt.Errorf("console %s: terminal settings: %w", s.tty.path, err)
	}
	if err := setTermios(s.tty.fd, f(*old)); err != nil {
		return nil, fmt.Errorf("console %s: terminal settings: %w", s.tty.path, err)
	}
	return func() error { return setTermios(s.tty.fd, old) }, nil
}

// File opens the terminal once more, for a program or a shell that wants a file.
// The caller closes it, and does not read from the session meanwhile.
func (s *Session) File() (*os.File, error) {
	return os.OpenFile(s.tty.path, os.O_RDWR|unix.O_NOCTTY, 0)
}

// ErrInterrupted is what ReadLine returns when ctrl-C was pressed.
var ErrInterrupted = errors.New("interrupted at the console")

// maxLine is the longest line that ReadLine takes, in bytes.
const maxLine = 4096

// ReadLine shows a prompt and reads a line, without its end. It needs nothing
// from the terminal but that a backspace steps back: backspace and ctrl-U
// erase. ctrl-D on an empty line is io.EOF.
func (s *Session) ReadLine(ctx context.Context, prompt string) (string, error) {
	fmt.Fprint(s, prompt)
	var line []byte
	for {
		var key [1]byte
		if _, err := s.ReadContext(ctx, key[:]); err != nil {
			return "", err
		}
		switch k := key[0]; {
		case k == '\n' || k == '\r':
			fmt.Fprint(s, "\n")
			return string(line), nil
		case k == ctrlC:
			fmt.Fprint(s, "^C\n")
			return "", ErrInterrupted
		case k == ctrlD && len(line) == 0:
			fmt.Fprint(s, "\n")
			return "", io.EOF
		case k == '\b' || k == del:
			line = s.erase(line, 1)
		case k == ctrlU:
			line = s.erase(line, len(line))
		case k == esc:
			s.skipEscape(ctx)
		case k >= ' ' && len(line) < maxLine:
			line = append(line, k)
			s.Write(key[:])
		}
	}
}

const ctrlC, ctrlD, ctrlU, esc, del = 3, 4, 21, 27, 127

// erase takes n characters back.
func (s *Session) erase(line []byte, n int) []byte {
	for ; n > 0 && len(line) > 0; n-- {
		for len(line) > 1 && line[len(line)-1]&0xc0 == 0x80 { // the bytes behind the first of a rune
			line = line[:len(line)-1]
		}
		line = line[:len(line)-1]
		fmt.Fprint(s, "\b \b")
	}
	return line
}

// skipEscape drops a key that sends more than one byte, as the arrows do.
func (s *Session) skipEscape(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, probeTime/3)
	defer cancel()
	var key [1]byte
	if _, err := s.ReadContext(ctx, key[:]); err != nil || key[0] != '[' && key[0] != 'O' {
		return
	}
	for {
		if _, err := s.ReadContext(ctx, key[:]); err != nil || key[0] >= '@' {
			return
		}
	}
}
