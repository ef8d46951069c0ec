// Command lifeboat clones, saves and restores the root disks of Raspberry Pis
// and boards like them: offline, over the network, and while they run. The same
// binary is the rescue system's /init.
//
// Only this package knows the process: its arguments, streams, terminal,
// signals and exit code.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"lifeboat/initramfs/uinit"
)

func main() {
	// The kernel hands words that it does not know to init as arguments, so the
	// role is found before any command line is read.
	switch uinit.RoleOf(os.Getpid(), os.Args[0]) {
	case uinit.Init:
		os.Exit(runInit(context.Background()))
	case uinit.Modprobe:
		os.Exit(uinit.RunModprobe(context.Background(), os.Args[1:]))
	}
	os.Exit(run(os.Args[1:]))
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

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, e *env, args []string) int {
	root := newRoot(e)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintf(e.stderr, "lifeboat: %v\n", err)
		if hint := hintOf(err); hint != "" {
			fmt.Fprintf(e.stderr, "  %s\n", hint)
		}
	}
	return exitCode(err)
}
