package uinit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/core"
	"github.com/u-root/u-root/pkg/core/base64"
	"github.com/u-root/u-root/pkg/core/cat"
	"github.com/u-root/u-root/pkg/core/chmod"
	"github.com/u-root/u-root/pkg/core/cp"
	"github.com/u-root/u-root/pkg/core/find"
	"github.com/u-root/u-root/pkg/core/ls"
	"github.com/u-root/u-root/pkg/core/mkdir"
	"github.com/u-root/u-root/pkg/core/mktemp"
	"github.com/u-root/u-root/pkg/core/mv"
	"github.com/u-root/u-root/pkg/core/rm"
	"github.com/u-root/u-root/pkg/core/shasum"
	"github.com/u-root/u-root/pkg/core/touch"
	"github.com/u-root/u-root/pkg/core/xargs"
	"mvdan.cc/sh/v3/interp"
)

// coreCommands are u-root's.
func coreCommands() []struct {
	name string
	make func() core.Command
} {
	return []struct {
		name string
		make func() core.Command
	}{
		{"base64", func() core.Command { return base64.New() }},
		{"cat", func() core.Command { return cat.New() }},
		{"chmod", func() core.Command { return chmod.New() }},
		{"cp", func() core.Command { return cp.New() }},
		{"find", func() core.Command { return find.New() }},
		{"ls", func() core.Command { return ls.New() }},
		{"mkdir", func() core.Command { return mkdir.New() }},
		{"mktemp", func() core.Command { return mktemp.New() }},
		{"mv", func() core.Command { return mv.New() }},
		{"rm", func() core.Command { return rm.New() }},
		{"shasum", func() core.Command { return shasum.New() }},
		{"touch", func() core.Command { return touch.New() }},
		{"xargs", func() core.Command { return xargs.New() }},
	}
}

// An ownCommand is what a rescuer needs besides.
type ownCommand struct {
	name, help string
	run        func(ctx context.Context, hc interp.HandlerContext, args []string) error
}

func ownCommands() []ownCommand {
	return []ownCommand{
		{"help", "help: lists the commands of this shell", runHelp},
		{"lifeboat", "lifeboat COMMAND …: the tool itself", runTool()},
		{"disks", "disks: which disks are there, and what is on them", runTool("disks")},
		{"mount", "mount [-t TYPE] [-o OPTIONS] [DEVICE FOLDER]: without arguments, what is mounted", runMount},
		{"umount", "umount [-l] FOLDER …: -l unhooks one that is in use", runUmount},
		{"tar", "tar -c|-x|-t [-zv] [-f FILE] [-C FOLDER] [NAME …]", runTar},
		{"gzip", "gzip [-cdk] [-1 … -9] [FILE …]", runGzip(false)},
		{"gunzip", "gunzip [-ck] [FILE …]", runGzip(true)},
		{"dmesg", "dmesg: what the kernel says", runDmesg},
		{"ip", "ip [address|link|route]: the network's state", runIP},
		{"sync", "sync: writes everything out", runSync},
		{"sleep", "sleep SECONDS", runSleep},
		{"reboot", "reboot: starts the machine again", runEnd(reasonReboot)},
		{"poweroff", "poweroff: switches the machine off", runEnd(reasonPoweroff)},
	}
}

// commandNames are all names that run in this process, sorted.
func commandNames() []string {
	var out []string
	for _, c := range ownCommands() {
		out = append(out, c.name)
	}
	for _, c := range coreCommands() {
		out = append(out, c.name)
	}
	slices.Sort(out)
	return out
}

func runHelp(_ context.Context, hc interp.HandlerContext, _ []string) error {
	for _, c := range ownCommands() {
		fmt.Fprintf(hc.Stdout, "  %s\n", c.help)
	}
	var names []string
	for _, c := range coreCommands() {
		names = append(names, c.name)
	}
	fmt.Fprintf(hc.Stdout, "And: %s, the usual words of a shell, and the programs in $PATH.\n", strings.Join(names, " "))
	return nil
}

const selfPath = "/proc/self/exe"

// runTool starts this program itself.
func runTool(words ...string) func(context.Context, interp.HandlerContext, []string) error {
	return func(ctx context.Context, hc interp.HandlerContext, args []string) error {
		cmd := exec.CommandContext(ctx, selfPath, append(slices.Clone(words), args...)...)
		cmd.Args[0] = "lifeboat"
		cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = hc.Stdin, hc.Stdout, hc.Stderr, hc.Dir
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = killAfter
		err := cmd.Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() > 0 {
			return interp.NewExitStatus(uint8(exit.ExitCode()))
		}
		return err
	}
}

func runDmesg(_ context.Context, hc interp.HandlerContext, _ []string) error {
	text, err := kernelLog()
	if err != nil {
		return err
	}
	_, err = hc.Stdout.Write(text)
	return err
}

func runSync(context.Context, interp.HandlerContext, []string) error {
	syncAll()
	return nil
}

func runSleep(ctx context.Context, _ interp.HandlerContext, args []string) error {
	if len(args) != 1 {
		return errors.New("want a number of seconds")
	}
	d, err := time.ParseDuration(strings.TrimSuffix(args[0], "s") + "s")
	if err != nil {
		return err
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return interp.NewExitStatus(130)
	}
}

// runEnd asks PID 1 for the machine's end; only a PID 1 that is this program
// knows how that is asked.
func runEnd(r reason) func(context.Context, interp.HandlerContext, []string) error {
	return func(_ context.Context, hc interp.HandlerContext, _ []string) error {
		one, err := os.Stat("/proc/1/exe")
		self, serr := os.Stat(selfPath)
		if err != nil || serr != nil || !os.SameFile(one, self) {
			return errors.New("this is not the rescue system: use the system's own command")
		}
		fmt.Fprintln(hc.Stdout, r.Error())
		return signalInit(r)
	}
}

// resolve makes a command's path absolute: the shell's folder is not the
// process's.
func resolve(hc interp.HandlerContext, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(hc.Dir, path)
}

// stdin is a command's input; without any it is empty.
func stdin(hc interp.HandlerContext) io.Reader {
	if f, ok := hc.Stdin.(*os.File); hc.Stdin == nil || ok && f == nil {
		return strings.NewReader("")
	}
	return hc.Stdin
}

func copyFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
