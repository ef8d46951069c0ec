package uinit

import (
	"context"
	"io/fs"
	"os"
	"time"
)

var (
	Match        = match
	Normal       = normal
	Unmounts     = unmounts
	CutReport    = cutReport
	MixSeed      = mixSeed
	ReadIndex    = readIndex
	CommandNames = commandNames
)

type (
	Index  = index
	Ending = ending
	Answer = answer
	Reason = reason
)

const (
	Again, WantShell, WantReboot, WantPoweroff = again, wantShell, wantReboot, wantPoweroff
	ReasonReboot, ReasonPoweroff               = reasonReboot, reasonPoweroff
	WordsSize                                  = wordsSize
)

func (x *index) ByAlias(name string) []string              { return x.byAlias(name) }
func (x *index) Softdeps(name string) (pre, post []string) { return x.before[name], x.behind[name] }
func (x *index) Deps(name string) []string                 { return x.deps[name] }

// LoaderOf is a Loader whose modules are loaded by insert.
func LoaderOf(dir fs.FS, insert func(file, params string) error, params func(string) string, logf func(string, ...any)) (*Loader, error) {
	x, err := readIndex(dir)
	if err != nil {
		return nil, err
	}
	return newLoader(x, insert, params, logf), nil
}

func (l *Loader) Uevent(msg string)            { l.uevent([]byte(msg)) }
func (l *Loader) ModprobeArgs(a ...string) int { return l.modprobe(a) }

// Supervise runs a supervisor whose child and person are functions.
func Supervise(ctx context.Context, start func(shell bool, tty string) (Ending, string), ask func(text string, enter Answer, wait time.Duration) (Answer, string)) Reason {
	s := supervisor{
		start: func(_ context.Context, what program, tty string) (ending, string) {
			return start(what == theShell, tty)
		},
		ask: func(_ context.Context, text string, enter answer, wait time.Duration) (answer, string) {
			return ask(text, enter, wait)
		},
		pause: time.Second,
	}
	return s.run(ctx)
}

// StartOn starts a program as PID 1 does, with a reaper of its own.
func StartOn(ctx context.Context, path string, args []string, tty string) (Ending, string, error) {
	r := newReaper()
	go r.reap()
	return startOn(ctx, r, path, args, tty, true)
}

// Tail is what is kept of text.
func Tail(pieces ...string) string {
	var t tail
	for _, p := range pieces {
		t.Write([]byte(p))
	}
	return t.text()
}

// MountFlags are the kernel's flags and the rest of mount's options.
func MountFlags(args ...string) (flags uintptr, data string, err error) {
	m, err := parseMount(args)
	if err != nil {
		return 0, "", err
	}
	flags, data = m.flags()
	return flags, data, nil
}

// SetSysctls writes the rescue system's values below root.
func SetSysctls(root string, logf func(string, ...any)) { setSysctls(root, sysctls(), logf) }

// WatchSignals tells how signals end the machine.
func WatchSignals(ctx context.Context, signals <-chan os.Signal) error {
	ctx, stop := context.WithCancelCause(ctx)
	watchSignals(ctx, signals, stop)
	return context.Cause(ctx)
}
