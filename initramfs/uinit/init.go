package uinit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/u-root/u-root/pkg/cmdline"
	"github.com/u-root/u-root/pkg/libinit"
	"golang.org/x/sys/unix"

	"lifeboat/internal/speech"
)

// Config of Init.
type Config struct {
	Self    string           // path of this program; "" is /proc/self/exe
	Rescue  []string         // its arguments that start the rescue system
	Shell   []string         // its arguments that start a shell on a terminal: see Shell
	Built   time.Time        // when this program was built: the clock is never before it
	Signals <-chan os.Signal // what arrives of Signals()
}

// Signals are what main has to catch for Init: a Go program that does not
// leaves PID 1 on one of them, and the kernel panics. SIGINT is ctrl-alt-del.
func Signals() []os.Signal {
	return []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE}
}

// environment of everything that PID 1 starts.
func environment() []string {
	return []string{"PATH=/sbin:/usr/sbin:/bin:/usr/bin", "HOME=/root", "TERM=linux", "LANG=" + locale()}
}

// locale is how the kernel's command line says that people are to be met:
// lifeboat.lang=de.
func locale() string {
	value, _ := cmdline.NewCmdLine().Flag("lifeboat.lang")
	return cmp.Or(value, "C")
}

// Init is PID 1: it makes the name space, loads modules, and runs the rescue
// command for as long as the machine runs. It does not return: its end is a
// reboot or a power-off.
func Init(ctx context.Context, c Config) {
	var log kmsg
	guard(log.logf, "name space", func() { create(Mounts(), log.logf) })
	guard(log.logf, "machine", func() { prepare(c, log.logf) })

	ctx, stop := context.WithCancelCause(ctx)
	go guard(log.logf, "signals", func() { watchSignals(ctx, c.Signals, stop) })
	dog := newWatchdog(log.logf)
	if !watchdogOff() {
		go guard(log.logf, "watchdog", func() { dog.feed(ctx) })
	}
	children := newReaper()
	go children.reap()
	guard(log.logf, "modules", func() { loadModules(ctx, log.logf) })

	end := reasonReboot
	guard(log.logf, "rescue", func() {
		s := supervisor{start: starter(c, children, log.logf), ask: askOnConsoles, language: speech.Named(locale()), log: log.logf, pause: 10 * time.Second}
		end = s.run(ctx)
	})
	stop(end)
	guard(log.logf, "end", func() { halt(end, children, dog.stop, log.logf) })
	for { // reboot(2) came back: nothing is left to do, and PID 1 must not end
		time.Sleep(time.Hour)
	}
}

// guard keeps a bug in one of PID 1's duties from ending all of them.
func guard(log logger, duty string, f func()) {
	defer func() {
		if r := recover(); r != nil {
			log.logf("BUG: %s: %v", duty, r)
		}
	}()
	f()
}

// prepare sets what a fresh kernel leaves open. Nothing here is worth not to
// start for: errors are told.
func prepare(c Config, log logger) {
	setSysctls("/proc/sys", sysctls(), log)
	if err := seedEntropy(); err != nil {
		log.logf("random numbers: %v", err)
	}
	if time.Now().Before(c.Built) {
		if err := setTime(c.Built); err != nil {
			log.logf("set the clock: %v", err)
		}
	}
	if err := reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != nil { // ctrl-alt-del becomes SIGINT
		log.logf("ctrl-alt-del: %v", err)
	}
	libinit.NetInit() // the loopback link
}

// loadModules loads what /etc/modules names and what the devices ask for, until
// nothing new comes, and leaves a watcher behind for devices that come later.
func loadModules(ctx context.Context, log logger) {
	l, err := NewLoader(log)
	if err != nil {
		log.logf("%v", err)
		return
	}
	sys := os.DirFS("/sys")
	listening := make(chan struct{})
	go guard(log, "new devices", func() {
		var once bool
		if err := l.Watch(ctx, sys, func() { once = true; close(listening) }); err != nil {
			log.logf("%v", err)
		}
		if !once {
			close(listening)
		}
	})
	<-listening
	list, err := os.ReadFile("/etc/modules")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		log.logf("%v", err)
	}
	l.List(string(list))
	for range maxPasses {
		if l.ColdPlug(sys) == 0 {
			break
		}
	}
	log.logf("%d modules asked for", l.Loaded())
}

// maxPasses bounds the looks at all devices; a chain of them (controller, hub,
// reader, disk) needs four.
const maxPasses = 20

// kmsg writes into the kernel's log, where dmesg shows it.
type kmsg struct{}

func (kmsg) logf(format string, args ...any) {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
	fmt.Fprintf(f, "<6>lifeboat: %s\n", text)
}

// watchSignals turns a signal into the end of the machine: as with other inits,
// SIGINT and SIGTERM reboot, SIGUSR1 and SIGUSR2 switch off. The others are only
// caught.
func watchSignals(ctx context.Context, signals <-chan os.Signal, stop context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-signals:
			switch s {
			case syscall.SIGINT, syscall.SIGTERM:
				stop(reasonReboot)
			case syscall.SIGUSR1, syscall.SIGUSR2:
				stop(reasonPoweroff)
			}
		}
	}
}

// reason is how the machine's run ends.
type reason int

const (
	reasonReboot reason = iota
	reasonPoweroff
)

func (r reason) Error() string {
	if r == reasonPoweroff {
		return "the machine is switched off"
	}
	return "the machine starts again"
}

// reasonOf is why ctx ended; without a word of ours it is a reboot.
func reasonOf(ctx context.Context) reason {
	var r reason
	if errors.As(context.Cause(ctx), &r) {
		return r
	}
	return reasonReboot
}
