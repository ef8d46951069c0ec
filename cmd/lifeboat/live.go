package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/clone/live"
)

// liveOptions are for a source that is in use.
type liveOptions struct {
	longFreeze   bool
	beforeFreeze func(ctx context.Context) error // live.Options
	afterThaw    func()
}

func (o *liveOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.longFreeze, "allow-long-freeze", false,
		"running system without tracing: let writers wait while all used blocks are read")
}

// watchdogCommand is the word behind which the process that thaws hides.
const watchdogCommand = "live-watchdog"

func mayFreeze() error {
	if os.Geteuid() != 0 {
		return &clone.Refusal{Err: errors.New("only root may freeze the running system"), Hint: "call it with sudo"}
	}
	return nil
}

// withLive gives a disk that is in use to be saved.
func (e *env) withLive(ctx context.Context, path string, o backupOptions, save func(*origin, backupOptions) error) error {
	src, err := live.Open(ctx, e.sys, path, live.Options{
		Survey:          surveyDisk,
		Watchdog:        func() *exec.Cmd { return exec.Command("/proc/self/exe", watchdogCommand) },
		Destination:     o.to,
		AllowLongFreeze: o.live.longFreeze,
		BeforeFreeze:    o.live.beforeFreeze,
		AfterThaw:       o.live.afterThaw,
		Logf:            e.logf,
	})
	if err != nil {
		return refusal(err)
	}
	facts := src.Facts()
	running := &origin{Source: src, place: "/", head: src.Head(), disk: &facts, running: src}
	if err = running.diskAreas(e.sys, facts.Disk); err == nil {
		err = save(running, o)
	}
	notes := src.Notes()
	var reserved reservedError
	if errors.As(err, &reserved) {
		notes, err = append(notes, reserved.reservations...), nil
	}
	if err := errors.Join(err, src.Close()); err != nil {
		return err
	}
	if len(notes) == 0 {
		return nil
	}
	if !e.json {
		for _, text := range notes {
			fmt.Fprintf(e.stdout, "  but: %s\n", text)
		}
	}
	return reservedError{notes}
}

// refusal turns a no of package live into one of ours.
func refusal(err error) error {
	var no *live.RefusedError
	if errors.As(err, &no) {
		return &clone.Refusal{Err: err, Hint: no.Hint}
	}
	return err
}

// surveyDisk is the engine's look at a disk that holds still.
func surveyDisk(r io.ReaderAt, size, sector int64) (live.Surveyed, error) {
	blocks, err := clone.NewBlocks(r, size, sector)
	if err != nil {
		return live.Surveyed{}, err
	}
	return live.Surveyed{Head: blocks.Head(), Used: blocks.Used(), Void: blocks.Void()}, nil
}

// newLiveWatchdog is the process that thaws the running system should the one
// that froze it not come to it.
func newLiveWatchdog(e *env) *cobra.Command {
	return &cobra.Command{
		Use:    watchdogCommand,
		Short:  "Thaw what a backup that died left frozen",
		Hidden: true,
		Args:   args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			// Who ends the backup must not end it: it ends by itself.
			outlive(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
			return live.RunWatchdog(e.stdin, e.stdout)
		},
	}
}
