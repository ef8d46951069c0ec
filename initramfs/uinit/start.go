package uinit

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func sysFS() fs.FS { return os.DirFS("/sys") }

const (
	consolePath = "/dev/console"
	wordsSize   = 4 << 10 // bytes of a crash that are kept: the end of a Go trace's first goroutine
	killTime    = 10 * time.Second
)

// starter starts this program itself as a child and waits for its end, or for
// ctx's.
func starter(c Config, children *reaper, log logger) func(context.Context, program, string) (ending, string) {
	self := cmp.Or(c.Self, "/proc/self/exe")
	return func(ctx context.Context, what program, tty string) (ending, string) {
		args := c.Rescue
		if what == theShell {
			args = c.Shell
		}
		end, words, err := startOn(ctx, children, self, args, cmp.Or(tty, consolePath), what == theRescue)
		if err != nil {
			log.logf("start %s %s: %v", self, strings.Join(args, " "), err)
			return ending{Code: -1}, err.Error()
		}
		return end, words
	}
}

// startOn runs a child on a console, in a session of its own. With keep, its
// standard error goes through us, and the last of it is returned. When the child
// ends, whatever it started ends as well: a resize that goes on behind the back
// of the next run would destroy the target.
func startOn(ctx context.Context, children *reaper, path string, args []string, tty string, keep bool) (ending, string, error) {
	con, err := os.OpenFile(tty, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return ending{}, "", err
	}
	defer con.Close()
	errw, words, wait, err := lastWords(con, keep)
	if err != nil {
		return ending{}, "", err
	}
	attr := &os.ProcAttr{
		Dir: "/", Env: environment(), Files: []*os.File{con, con, errw},
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: tty != consolePath}, // Ctty 0 is the child's standard input
	}
	pid, ended, err := children.start(path, args, attr)
	if errw != con {
		errw.Close()
	}
	if err != nil {
		wait()
		return ending{}, "", err
	}
	var end ending
	select {
	case end = <-ended:
	case <-ctx.Done():
		unix.Kill(-pid, unix.SIGTERM)
		select {
		case end = <-ended:
		case <-time.After(killTime):
		}
	}
	killGroup(pid)
	wait()
	return end, words(), nil
}

// killGroup ends what is left of a child's process group, and waits for that.
func killGroup(pgid int) {
	for range int(killTime / killPoll) {
		if err := unix.Kill(-pgid, unix.SIGKILL); errors.Is(err, unix.ESRCH) {
			return
		}
		time.Sleep(killPoll)
	}
}

const killPoll = 20 * time.Millisecond

// lastWords lends a child a standard error that goes to con and is remembered;
// wait ends when all its writers have.
func lastWords(con *os.File, keep bool) (errw *os.File, words func() string, wait func(), err error) {
	if !keep {
		return con, func() string { return "" }, func() {}, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, err
	}
	var t tail
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.Close()
		io.Copy(io.MultiWriter(&t, con), r)
	}()
	wait = func() {
		w.Close()
		select {
		case <-done:
		case <-time.After(time.Second): // somebody has escaped with the pipe
			r.SetReadDeadline(time.Unix(1, 0))
			<-done
		}
	}
	return w, t.text, wait, nil
}

// tail remembers the beginning and the end of what is written: a Go crash says
// why at its beginning.
type tail struct{ head, rest []byte }

func (t *tail) Write(p []byte) (int, error) {
	n := min(len(p), wordsSize/4-len(t.head))
	t.head = append(t.head, p[:n]...)
	t.rest = append(t.rest, p[n:]...)
	if over := len(t.rest) - 3*wordsSize/4; over > 0 {
		t.rest = slices.Delete(t.rest, 0, over)
	}
	return len(p), nil
}

func (t *tail) text() string {
	return strings.TrimSpace(string(t.head) + string(t.rest))
}
