package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/initramfs"
	"lifeboat/initramfs/uinit"
	"lifeboat/internal/progress"
	"lifeboat/netboot"
)

func newRescue(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rescue",
		Short: "Make the rescue medium; as its PID 1's child, be the rescue system",
		Long: `The rescue system boots a Raspberry Pi (or a board like it) from a stick or from
the network, and restores, clones or saves disks there: by a menu on screen and
serial console, or unattended by a job (docs/BOOT.md).

Without a subcommand this is what the rescue system itself starts.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runRescue(cmd.Context(), e) },
	}
	cmd.AddCommand(newRescueBuild(e), newRescueWrite(e), newRescueShell(e))
	return cmd
}

func newRescueShell(e *env) *cobra.Command {
	return &cobra.Command{
		Use:    "shell",
		Short:  "The rescue system's shell",
		Hidden: true,
		Args:   args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if e.terminal {
				fmt.Fprintln(e.stdout, e.language.T("lifeboat's shell: help lists its commands, exit or ctrl-D leaves it."))
			}
			interrupts := make(chan os.Signal, 1) // they end a command, not the shell
			signal.Notify(interrupts, os.Interrupt)
			return uinit.Shell(context.WithoutCancel(cmd.Context()), e.stdin, e.stdout, e.stderr, interrupts)
		},
	}
}

// An exitError ends the process with a code that PID 1 understands.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("the rescue system ends with %d", e.code) }

// A rescuer is the rescue system as people and boards meet it.
type rescuer struct {
	// config
	env      *env
	consoles *uinit.Consoles
	info     initramfs.Info
	board    netboot.BoardFacts

	// state
	network network
	media   media
	drawing sync.Mutex // held while a menu stands on the screen: nobody writes over it
}

func runRescue(ctx context.Context, e *env) error {
	info, err := readInfo()
	if err != nil {
		return &clone.Refusal{Err: fmt.Errorf("this is not the rescue system: %w", err), Hint: "lifeboat rescue build makes one"}
	}
	consoles, err := uinit.OpenConsoles(uinit.ConsolePaths(e.sys.Sys))
	if err != nil {
		return err
	}
	defer consoles.Close()
	r := &rescuer{env: e, consoles: consoles, info: info, board: netboot.Board(e.sys.Proc, e.sys.Sys)}
	r.greet()
	err = r.run(ctx)
	r.network.close()
	return errors.Join(err, r.media.close())
}

// readInfo reads what the rescue image says of itself.
func readInfo() (initramfs.Info, error) {
	var info initramfs.Info
	b, err := os.ReadFile("/" + initramfs.InfoFile)
	if err != nil {
		return info, err
	}
	return info, json.Unmarshal(b, &info)
}

// red marks what must not be overlooked (ECMA-48, SGR 31).
const red, plain = "\x1b[1;31m", "\x1b[0m"

func (r *rescuer) greet() {
	r.say("lifeboat rescue %s, built %s", r.info.Version, r.info.Date)
	if r.board.Model != "" {
		r.say("this board: %s, serial %s", r.board.Model, r.board.Serial)
	}
	if r.info.TrustNetwork {
		r.say("%sThis medium obeys every job from the network, signed or not.%s", red, plain)
	}
}

// t says a text in the language of whoever sits there.
func (r *rescuer) t(text string, args ...any) string { return r.env.language.T(text, args...) }

// say tells people something at all consoles.
func (r *rescuer) say(text string, args ...any) { r.sayf("%s", r.t(text, args...)) }

// sayf logs something at all consoles.
func (r *rescuer) sayf(format string, args ...any) {
	fmt.Fprintf(r.consoles, format+"\n", args...)
}

// run looks for a job as long as nobody presses a key; who does gets the menu.
func (r *rescuer) run(ctx context.Context) error {
	r.settle(ctx)
	unattended, attended := context.WithCancel(ctx)
	defer attended()
	sessions := make(chan *uinit.Session, 1)
	gate := &gate{stop: attended}
	var claiming sync.WaitGroup
	claiming.Go(func() {
		if s, err := r.consoles.Claim(ctx); err == nil {
			sessions <- s
			gate.interrupt()
		}
	})
	r.say("Press Enter for the menu.")
	if err := r.work(unattended, gate); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			claiming.Wait()
			return ctx.Err()
		case s := <-sessions:
			err := r.menu(ctx, s)
			if !errors.Is(err, errNobody) {
				return err
			}
			r.say("Press Enter for the menu.")
			claiming.Go(func() {
				if s, err := r.consoles.Claim(ctx); err == nil {
					sessions <- s
				}
			})
		}
	}
}

// A gate lets a key press end the search for a job, but not a job that has
// begun to write.
type gate struct {
	mu      sync.Mutex
	closed  bool
	pressed bool
	stop    func()
}

func (g *gate) interrupt() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pressed = true
	if !g.closed {
		g.stop()
	}
}

// close makes later key presses wait until open.
func (g *gate) close(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	return ctx.Err()
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
	if g.pressed {
		g.stop()
	}
}

const (
	settleLimit = 20 * time.Second // for disks on USB
	retryAfter  = time.Minute      // the network was asked for a job in vain
	lastChance  = 5 * time.Second  // between the plan of a job and its first write
)

func (r *rescuer) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	if err := uinit.Settle(ctx, uinit.Settling{}); err != nil {
		r.sayf("%v", err)
	}
	disks, err := r.disks()
	if err != nil {
		r.sayf("%v", err)
	}
	for _, d := range disks {
		r.say("disk %s", diskWords(d))
	}
}

// loopBus is that of the devices that a restore itself lends to e2fsck.
const loopBus = "loop"

// disks are those that a person could plug in and pull.
func (r *rescuer) disks() ([]disk.Disk, error) {
	all, err := r.env.sys.Disks()
	return slices.DeleteFunc(all, func(d disk.Disk) bool { return d.Bus == loopBus }), err
}

func diskWords(d disk.Disk) string {
	name := d.Model
	if d.Serial != "" {
		name += " " + d.Serial
	}
	return fmt.Sprintf("%s: %s, %s, %s", d.Path, progress.Bytes(d.Size), d.Bus, name)
}

// at is the world of a command that runs within the rescue system: it talks to
// the consoles.
func (r *rescuer) at(out io.Writer, terminal bool) *env {
	e := *r.env
	e.stdout, e.stderr, e.terminal = out, out, terminal
	e.show = nil
	e.meter = progress.New(e.clock)
	return &e
}
