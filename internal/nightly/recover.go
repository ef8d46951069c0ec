package nightly

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"
)

// A Rescuer undoes what a run that died has left: it starts services,
// unmounts, and tells.
type Rescuer struct {
	Dir      string // of lock and record: Host.RunDir
	Units    func(ctx context.Context) (Units, error)
	Run      Runner
	Patience time.Duration
	// Tell says that the run of a schedule died; log is the path of its log.
	Tell func(ctx context.Context, schedule, log string) error
	Logf func(format string, args ...any)
}

// Recover waits up to wait for the lock, which a run that died has given back.
// Where another run has it, that one does this first. It returns whether
// anything was left behind.
func (r Rescuer) Recover(ctx context.Context, wait time.Duration) (bool, error) {
	l, err := takeLock(ctx, r.Dir, wait)
	if errors.Is(err, errLocked) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	left, err := r.locked(ctx)
	return left, errors.Join(err, l.release())
}

// locked is Recover by who holds the lock.
func (r Rescuer) locked(ctx context.Context) (bool, error) {
	rec, err := readRecord(r.Dir)
	if err != nil || rec == nil {
		return false, err
	}
	if rec.Ended {
		r.Logf("what the run of schedule %s could not start again is tried once more", rec.Schedule)
		return true, errors.Join(r.start(ctx, rec), removeRecord(r.Dir))
	}
	r.Logf("the run of schedule %s that began at %s died: its services are started again", rec.Schedule, rec.Started.Format(time.DateTime))
	errs := []error{r.start(ctx, rec)}
	for _, folder := range rec.Mounted {
		errs = append(errs, unmount(ctx, r.Run, folder))
	}
	errs = append(errs, r.Tell(ctx, rec.Schedule, rec.Log), removeRecord(r.Dir))
	return true, errors.Join(errs...)
}

func (r Rescuer) start(ctx context.Context, rec *record) error {
	var units Units = noUnits{}
	if len(rec.Units) > 0 {
		var err error
		if units, err = r.Units(ctx); err != nil {
			return err
		}
	}
	defer units.Close()
	s := stopper{
		units: units, run: r.Run, patience: r.Patience, logf: r.Logf, start: rec.Commands,
		record: func([]string, []string) error { return nil },
	}
	s.stopped, s.commands = rec.Units, len(rec.Commands) > 0
	return s.up(ctx)
}

// StartGuard starts a process that runs Recover when this one has ended,
// however: it waits for the end of its standard input. The returned function
// ends it.
func StartGuard(cmd *exec.Cmd) (end func() error, err error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// A session of its own: what ends the run by its terminal or its process
	// group does not end the guard.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	return func() error {
		_, err := in.Write([]byte{guardDone})
		return errors.Join(err, in.Close(), cmd.Wait())
	}, nil
}

// guardDone is what a run writes to its guard when there is nothing to undo.
const guardDone = '.'

// WaitAsGuard waits for the end of the run that in comes from, and tells whether
// it ended without a word.
func WaitAsGuard(in io.Reader) bool {
	b, err := io.ReadAll(in)
	return err != nil || len(b) == 0 || b[len(b)-1] != guardDone
}
