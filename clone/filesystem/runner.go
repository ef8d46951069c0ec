package filesystem

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const (
	// keepOutput is how much of a program's output is kept, from its end: e2fsck
	// can print a line a block.
	keepOutput = 64 << 10
	// stopTime is what a program gets to come to an end by itself. e2fsck writes
	// what it has in hand.
	stopTime = 10 * time.Second
)

// Exec is the Run of real Tools. It looks also where only root's PATH would,
// sets the C locale, and gives the program no standard input. When ctx is
// cancelled the program is asked to end, and after ten seconds is made to.
func Exec(ctx context.Context, name string, args ...string) (output []byte, code int, err error) {
	return run(ctx, nil, name, args)
}

// ExecBound is Exec for a program that works on a device which this process
// serves: it is killed when this process dies, however it does.
func ExecBound(ctx context.Context, name string, args ...string) (output []byte, code int, err error) {
	// The signal comes when the thread ends that started the program.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return run(ctx, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}, name, args)
}

func run(ctx context.Context, attr *syscall.SysProcAttr, name string, args []string) (output []byte, code int, err error) {
	path, err := find(name)
	if err != nil {
		return nil, 0, err
	}
	var out tail
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.SysProcAttr = attr
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTime
	err = cmd.Run()
	if ctx.Err() != nil {
		return out.b, 0, ctx.Err()
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return out.b, 0, err
	}
	if !exit.Exited() {
		return out.b, 0, fmt.Errorf("it was ended by %s", exit.String())
	}
	return out.b, exit.ExitCode(), nil
}

// Have tells whether Exec would find a program.
func Have(name string) bool {
	_, err := find(name)
	return err == nil
}

func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", err
}

// A tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if len(t.b) > 2*keepOutput {
		t.b = append(t.b[:0], t.b[len(t.b)-keepOutput:]...)
	}
	return len(p), nil
}
