// Command lifeboat clones, saves and restores the root disks of Raspberry Pis
// and boards like them: offline, over the network, and while they run. The same
// binary is the rescue system's /init.
//
// Only this package knows the process: its arguments, streams, terminal,
// signals and exit code.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	_ "golang.org/x/crypto/x509roots/fallback" // the rescue system has no CA roots of its own

	"lifeboat/initramfs/uinit"
)

func main() {
	// The kernel hands words that it does not know to init as arguments, so the
	// role is found before any command line is read.
	switch uinit.RoleOf(os.Getpid(), os.Args[0]) {
	case uinit.RoleInit:
		runInit(context.Background())
	case uinit.RoleModprobe:
		os.Exit(uinit.Modprobe(os.Args[1:], nil))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(eagerGC)
	}
	os.Exit(run(os.Args[1:]))
}

// eagerGC is for boards with little memory: nearly all of ours are buffers, which
// cost next to nothing to collect. A fifth less was resident, and nothing slower.
const eagerGC = 50

// runInit is lifeboat as PID 1. It does not return.
func runInit(ctx context.Context) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, uinit.Signals()...)
	var built time.Time
	if info, err := readInfo(); err == nil {
		built, _ = time.Parse(time.RFC3339, info.Date) // the zero time holds no clock back
	}
	uinit.Init(ctx, uinit.Config{Rescue: []string{"rescue"}, Shell: []string{"rescue", "shell"}, Built: built, Signals: signals})
}

// run is lifeboat as a tool. The first signal cancels what is under way, the
// second kills.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop)
	e := hostEnv()
	defer e.close()
	return execute(ctx, e, args)
}

// outlive has signals do nothing to this process. They are not ignored: what it
// starts would ignore them too, as a service that is started again.
func outlive(signals ...os.Signal) {
	signal.Notify(make(chan os.Signal, 1), signals...)
}

// strayWord refuses a word behind a command that only has others below it: cobra
// would print the help, as if that were what was asked for.
func strayWord(root *cobra.Command, args []string) error {
	cmd, rest, err := root.Find(args)
	if err != nil || cmd.Runnable() || slices.Contains(rest, "--help") || slices.Contains(rest, "-h") {
		return nil // cobra's to say
	}
	for _, word := range rest {
		if !strings.HasPrefix(word, "-") {
			return usage("unknown command %q for %q: lifeboat %s --help lists them", word, cmd.CommandPath(), cmd.Name())
		}
	}
	return nil
}

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, e *env, args []string) int {
	root := newRoot(e)
	root.SetArgs(args)
	root.InitDefaultCompletionCmd(args...)
	err := strayWord(root, args)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if _, _, unknown := root.Find(args); err != nil && unknown != nil {
		err = usageError{unknown}
	}
	var exit exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	if err != nil {
		text := err.Error()
		if cause := context.Cause(ctx); cause != nil { // "interrupt signal received"
			text = strings.ReplaceAll(text, context.Canceled.Error(), cause.Error())
		}
		fmt.Fprintf(e.stderr, "lifeboat: %s\n", text)
		if hint := hintOf(err); hint != "" {
			fmt.Fprintf(e.stderr, "  %s\n", hint)
		}
	}
	return exitCode(err)
}
