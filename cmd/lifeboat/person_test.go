package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// types WORD CODE PROGRAM ARGS...: runs a program on a terminal, types WORD when
// it asks for it, and holds its exit code against CODE. What stood on the
// terminal is stderr.
func cmdTypes(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, args, 3, "types WORD CODE PROGRAM ARGS...")
	control, tty := openTerminal(ts)
	defer control.Close()
	cmd := program(ts, args[2:])
	cmd.Stdin, cmd.Stderr, cmd.Stdout = tty, tty, ts.Stdout()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	ts.Check(cmd.Start())
	tty.Close()
	screen := &screen{asked: make(chan struct{})}
	drawn := make(chan struct{})
	go func() {
		io.Copy(screen, control) // until nobody has the terminal open
		close(drawn)
	}()
	select {
	case <-screen.asked:
		_, err := fmt.Fprintln(control, args[0])
		ts.Check(err)
	case <-drawn:
	}
	err := cmd.Wait()
	<-drawn
	fmt.Fprint(ts.Stderr(), screen.text())
	ts.Logf("[terminal]\n%s", screen.text())
	checkCode(ts, args[1], err)
}

// openTerminal makes a pseudo terminal: pts(4).
func openTerminal(ts *testscript.TestScript) (control, tty *os.File) {
	control, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	ts.Check(err)
	n, err := unix.IoctlGetInt(int(control.Fd()), unix.TIOCGPTN)
	ts.Check(err)
	ts.Check(unix.IoctlSetPointerInt(int(control.Fd()), unix.TIOCSPTLCK, 0))
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	ts.Check(err)
	return control, tty
}

// asks is how lifeboat ends when it wants an answer, in each of its languages.
var asks = regexp.MustCompile(` (to go on|eingeben): $`)

// A screen takes what stands on a terminal, and says when there is a question.
type screen struct {
	// config
	asked chan struct{} // closed

	// state
	mu   sync.Mutex
	all  bytes.Buffer
	seen bool
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.Write(p)
	if !s.seen && asks.Match(s.all.Bytes()) {
		s.seen = true
		close(s.asked)
	}
	return len(p), nil
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.ReplaceAll(s.all.String(), "\r\n", "\n")
}

// program is a program in the script's folder, with its environment.
func program(ts *testscript.TestScript, args []string) *exec.Cmd {
	path := args[0]
	if path == "lifeboat" {
		var err error
		path, err = exec.LookPath(path) // TestMain put it into the path
		ts.Check(err)
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "LC_ALL="+ts.Getenv("LC_ALL"), "LANG="+ts.Getenv("LANG"))
	return cmd
}

// stalled is the server's answer when it has come to its stop.
const stalled = "stalled"

// interrupt CODE WHEN PROGRAM ARGS...: runs a program, sends it SIGINT, and holds
// its exit code against CODE. WHEN is "stalled" (the server's answer has come to
// its stop), or a disk that is waited for until it was wiped.
func cmdInterrupt(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, args, 3, "interrupt CODE stalled|DISK PROGRAM ARGS...")
	for has(ts, args[1]) { // of an earlier program
		if args[1] != stalled {
			ts.Fatalf("%s is blank already", args[1])
		}
	}
	cmd := program(ts, args[2:])
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	limit := time.After(time.Minute)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for waiting := true; waiting; {
		select {
		case err := <-ended:
			ts.Fatalf("it ended before it was interrupted: %v", err)
		case <-limit:
			cmd.Process.Kill()
			ts.Fatalf("it was not %s within a minute", args[1])
		case <-look.C:
			waiting = !has(ts, args[1])
		}
	}
	ts.Check(cmd.Process.Signal(os.Interrupt))
	select {
	case err := <-ended:
		checkCode(ts, args[0], err)
	case <-limit:
		cmd.Process.Kill()
		ts.Fatalf("it does not obey the signal")
	}
}

// has tells whether what interrupt waits for has come.
func has(ts *testscript.TestScript, what string) bool {
	if what == stalled {
		select {
		case <-ts.Value(keyServer{}).(*faultServer).stalled:
			return true
		default:
			return false
		}
	}
	f, err := os.Open(ts.MkAbs(what))
	ts.Check(err)
	defer f.Close()
	sector := make([]byte, 512)
	_, err = io.ReadFull(f, sector)
	ts.Check(err)
	return bytes.Equal(sector, make([]byte, len(sector)))
}
