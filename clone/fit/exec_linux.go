package fit

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

	"golang.org/x/sys/unix"
)

const (
	keepOutput = 64 << 10         // of a program's words, from their end
	stopTime   = 10 * time.Second // what a program gets to come to an end by itself
)

// Exec is the Run of real programs. Unlike that of package filesystem the
// program dies with this process: it works on a device that this process serves.
func Exec(ctx context.Context, name string, args ...string) (output []byte, code int, err error) {
	path, err := findProgram(name)
	if err != nil {
		return nil, 0, err
	}
	// The signal comes when the thread ends that started the program.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var out tail
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
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

// findProgram looks also where only root's PATH would.
func findProgram(name string) (string, error) {
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

// memoryFile makes a file that lies in memory only.
func memoryFile(name string) (fd int, err error) {
	return unix.MemfdCreate(name, unix.MFD_CLOEXEC)
}
