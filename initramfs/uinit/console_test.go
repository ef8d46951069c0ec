package uinit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"
	"lifeboat/initramfs/uinit"
)

// A seat is a person in front of a terminal: the other side of a pty.
type seat struct {
	*os.File
	path string
}

func newSeat(t *testing.T) *seat {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { f.Close() })
	return &seat{f, fmt.Sprintf("/dev/pts/%d", n)}
}

// sees waits until the terminal shows the texts, one behind the other, and returns
// all that it showed.
func (s *seat) sees(t *testing.T, texts ...string) string {
	t.Helper()
	s.SetReadDeadline(time.Now().Add(10 * time.Second))
	var got []byte
	buf := make([]byte, 4096)
	for !holds(string(got), texts) {
		n, err := s.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			t.Fatalf("terminal shows %q, want %q: %v", got, texts, err)
		}
	}
	return string(got)
}

func holds(all string, texts []string) bool {
	for _, text := range texts {
		_, rest, ok := strings.Cut(all, text)
		if !ok {
			return false
		}
		all = rest
	}
	return true
}

func (s *seat) types(t *testing.T, keys string) {
	t.Helper()
	if _, err := s.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, seats ...*seat) *uinit.Consoles {
	t.Helper()
	var paths []string
	for _, s := range seats {
		paths = append(paths, s.path)
	}
	c, err := uinit.OpenConsoles(paths)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func claim(t *testing.T, c *uinit.Consoles) *uinit.Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s, err := c.Claim(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConsolePaths(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		active, front string
		want          []string
	}{
		{"tty0 ttyAMA0\n", "tty1\n", []string{"/dev/tty1", "/dev/ttyAMA0"}},
		{"tty0\n", "tty7\n", []string{"/dev/tty7"}},
		{"tty0\n", "", []string{"/dev/tty0"}}, // User-Mode Linux
		{"tty0\n", "../x\n", []string{"/dev/tty0"}},
		{"ttyS0\n", "tty1\n", []string{"/dev/ttyS0"}},
		{"ttynull ../x\n", "", []string{"/dev/console"}},
		{"", "", []string{"/dev/console"}},
	} {
		sys := fstest.MapFS{"class/tty/console/active": {Data: []byte(c.active)}}
		if c.front != "" {
			sys["class/tty/tty0/active"] = &fstest.MapFile{Data: []byte(c.front)}
		}
		if got := uinit.ConsolePaths(sys); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.active, got, c.want)
		}
	}
	if got := uinit.ConsolePaths(fstest.MapFS{}); !slices.Equal(got, []string{"/dev/console"}) {
		t.Errorf("without /sys: got %q", got)
	}
}

func TestEveryConsoleShows(t *testing.T) {
	t.Parallel()
	a, b := newSeat(t), newSeat(t)
	c := open(t, a, b)
	fmt.Fprint(c, "one\ntwo\n")
	for _, s := range []*seat{a, b} {
		if got := s.sees(t, "two"); !strings.Contains(got, "one\r\ntwo") {
			t.Errorf("%s shows %q: a bare line feed makes stairs", s.path, got)
		}
	}
}

func TestFirstKeyClaims(t *testing.T) {
	t.Parallel()
	a, b := newSeat(t), newSeat(t)
	c := open(t, a, b)
	b.types(t, "7") // no Enter: keys arrive one by one
	s := claim(t, c)
	if s.Path() != b.path {
		t.Fatalf("session at %s, want %s", s.Path(), b.path)
	}
	if s.Terminal {
		t.Error("a terminal that did not answer counts as one that moves its cursor")
	}
	b.types(t, "42\r")
	line, err := s.ReadLine(t.Context(), "disk? ")
	if err != nil || line != "742" {
		t.Errorf("got %q, %v; want the key that claimed and the rest: 742", line, err)
	}
	if got := b.sees(t, "742"); !strings.Contains(got, "disk? 742") {
		t.Errorf("terminal shows %q", got)
	}
	a.types(t, "x")
	if s := claim(t, c); s.Path() != a.path {
		t.Errorf("second session at %s, want %s", s.Path(), a.path)
	}
}

func TestClaimEndsWithContext(t *testing.T) {
	t.Parallel()
	c := open(t, newSeat(t))
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("nobody came"))
	defer cancel()
	if s, err := c.Claim(ctx); err == nil || !strings.Contains(err.Error(), "nobody came") {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestTerminalIsAsked(t *testing.T) {
	t.Parallel()
	a := newSeat(t)
	c := open(t, a)
	answered := make(chan error, 1)
	go func() {
		var got []byte
		buf := make([]byte, 256)
		for !bytes.Contains(got, []byte("\x1b[6n")) {
			n, err := a.Read(buf)
			if err != nil {
				answered <- err
				return
			}
			got = append(got, buf[:n]...)
		}
		_, err := a.WriteString("b\x1b[50;132Rc\r") // keys before and behind the answer
		answered <- err
	}()
	a.types(t, "a")
	s := claim(t, c)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	if !s.Terminal {
		t.Error("a terminal that answered counts as one that cannot move its cursor")
	}
	if cols, rows := s.Size(); cols != 132 || rows != 50 {
		t.Errorf("size %d × %d, want 132 × 50", cols, rows)
	}
	if line, err := s.ReadLine(t.Context(), ""); err != nil || line != "abc" {
		t.Errorf("keys around the answer: got %q, %v; want abc", line, err)
	}
	ws, err := unix.IoctlGetWinsize(int(s.Fd()), unix.TIOCGWINSZ)
	if err != nil || ws.Col != 132 || ws.Row != 50 {
		t.Errorf("size that programs see: %+v, %v", ws, err)
	}
}

func TestCutReport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in         string
		rows, cols int
		rest       string
		ok         bool
	}{
		{"\x1b[24;80R", 24, 80, "", true},
		{"x\x1b[A\x1b[24;80Ry", 24, 80, "x\x1b[Ay", true},
		{"\x1b[24;80", 0, 0, "\x1b[24;80", false},
		{"\x1b[0;80R", 0, 0, "\x1b[0;80R", false},
		{"\x1b[99999;80R", 0, 0, "\x1b[99999;80R", false},
		{"RR", 0, 0, "RR", false},
	} {
		rows, cols, rest, ok := uinit.CutReport([]byte(c.in))
		if rows != c.rows || cols != c.cols || string(rest) != c.rest || ok != c.ok {
			t.Errorf("%q: got %d %d %q %v", c.in, rows, cols, rest, ok)
		}
	}
}

func FuzzCutReport(f *testing.F) {
	f.Add([]byte("x\x1b[24;80Ry"))
	f.Add([]byte("\x1b[\x1b[1;R"))
	f.Fuzz(func(t *testing.T, in []byte) {
		_, _, rest, ok := uinit.CutReport(bytes.Clone(in))
		if !ok && !bytes.Equal(rest, in) {
			t.Errorf("%q: without a report %q is left", in, rest)
		}
	})
}

func TestReadLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keys, want string
		err        error
	}{
		{"abc\r", "abc", nil},
		{"abx\x7fc\n", "abc", nil},
		{"ä\x7fb\r", "b", nil},
		{"\x7f\x7fa\r", "a", nil},
		{"wrong\x15right\r", "right", nil},
		{"a\x1b[Db\x1bOPc\r", "abc", nil},
		{"abc\x03", "", uinit.ErrInterrupted},
		{"\x04", "", io.EOF},
	} {
		a := newSeat(t)
		con := open(t, a)
		a.types(t, c.keys)
		got, err := claim(t, con).ReadLine(t.Context(), "> ")
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%q: got %q, %v; want %q, %v", c.keys, got, err, c.want, c.err)
		}
	}
}

func TestSessionEndsWithContext(t *testing.T) {
	t.Parallel()
	a := newSeat(t)
	c := open(t, a)
	a.types(t, "x")
	s := claim(t, c)
	s.Read(make([]byte, 8))
	ctx, cancel := context.WithCancelCause(t.Context())
	context.AfterFunc(ctx, func() {})
	go cancel(errors.New("a job was found"))
	if n, err := s.With(ctx).Read(make([]byte, 8)); n != 0 || err == nil || !strings.Contains(err.Error(), "a job was found") {
		t.Errorf("got %d, %v", n, err)
	}
	a.types(t, "y")
	buf := make([]byte, 8)
	if n, err := s.Read(buf); err != nil || string(buf[:n]) != "y" {
		t.Errorf("afterwards: got %q, %v", buf[:n], err)
	}
}

func TestConsoleVanishes(t *testing.T) {
	t.Parallel()
	a, b := newSeat(t), newSeat(t)
	c := open(t, a, b)
	a.Close()
	fmt.Fprint(c, "still here\n")
	b.sees(t, "still here")
	b.types(t, "k")
	if s := claim(t, c); s.Path() != b.path {
		t.Errorf("session at %s, want %s", s.Path(), b.path)
	}
	if got := c.Paths(); !slices.Equal(got, []string{b.path}) {
		t.Errorf("open consoles: %q, want only %s", got, b.path)
	}
}

func TestSessionVanishes(t *testing.T) {
	t.Parallel()
	a := newSeat(t)
	c := open(t, a)
	a.types(t, "k")
	s := claim(t, c)
	s.Read(make([]byte, 8))
	a.Close()
	if n, err := s.Read(make([]byte, 8)); err == nil {
		t.Errorf("read %d bytes from a terminal that is gone", n)
	}
}

// A terminal that takes nothing must not hold the others up.
func TestStuckConsole(t *testing.T) {
	t.Parallel()
	a, b := newSeat(t), newSeat(t) // nobody reads a
	c := open(t, a, b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			fmt.Fprint(c, strings.Repeat("x", 1000)+"\n")
		}
		fmt.Fprint(c, "the end")
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("a terminal that nobody reads holds the writer up")
	}
	go io.Copy(io.Discard, a)
}

func TestModesAreGivenBack(t *testing.T) {
	t.Parallel()
	a := newSeat(t)
	f, err := os.OpenFile(a.path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	look := func() unix.Termios {
		m, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return *m
	}
	before := look()
	c := open(t, a)
	a.types(t, "k")
	s := claim(t, c)
	if m := look(); m.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 || m.Oflag&unix.OPOST == 0 {
		t.Errorf("session: local %#x, output %#x: want keys at once, no echo, line feeds made whole", m.Lflag, m.Oflag)
	}
	back, err := s.Raw()
	if err != nil {
		t.Fatal(err)
	}
	if m := look(); m.Iflag&unix.ICRNL != 0 {
		t.Error("raw: Enter is changed on its way in")
	}
	if err := back(); err != nil {
		t.Fatal(err)
	}
	if _, err = s.Line(); err != nil {
		t.Fatal(err)
	}
	if m := look(); m.Lflag&unix.ICANON == 0 || m.Lflag&unix.ECHO == 0 {
		t.Error("line: no editing, or no echo")
	}
	c.Close()
	if after := look(); after != before {
		t.Errorf("settings afterwards %+v, want %+v", after, before)
	}
}

func TestOpenConsolesNone(t *testing.T) {
	t.Parallel()
	c, err := uinit.OpenConsoles([]string{"/dev/null", t.TempDir() + "/none"})
	if err == nil {
		c.Close()
		t.Fatal("opened what is no terminal")
	}
}
