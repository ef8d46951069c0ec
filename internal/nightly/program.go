package nightly

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A Runner starts a program and returns what it printed, both streams in one.
// An error carries the program's last words.
type Runner func(ctx context.Context, env []string, name string, args ...string) (string, error)

// patience after a program was killed: what it started may hold its output.
const killDelay = 2 * time.Second

// lastWords is what an error cites of a program's output, in bytes.
const lastWords = 500

// Exec is the Runner that starts programs, each as leader of a process group,
// which goes when ctx does. env is added to the environment.
func Exec(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killDelay
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil && err != nil {
		err = ctx.Err()
	}
	if err != nil {
		words := strings.TrimSpace(tail(out, lastWords))
		if words != "" {
			words = ": " + words
		}
		return string(out), fmt.Errorf("%s: %w%s", strings.Join(append([]string{name}, args...), " "), err, words)
	}
	return string(out), nil
}
