package nightly

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"lifeboat/internal/atomicfile"
	"lifeboat/internal/speech"
)

// Host is the system that runs are made on.
type Host struct {
	RunDir    string // lock, record, mounts: gone after a reboot
	StateDir  string
	Fstab     string
	Proc      fs.FS
	Name      string
	MachineID string
	Zone      *time.Location
	Clock     func() time.Time
	Run       Runner
	Have      func(program string) bool
	Units     func(ctx context.Context) (Units, error)
	Reach     func(ctx context.Context, s Settings) error // whether the address of s answers
	Guard     func() *exec.Cmd                            // runs Recover when this process has ended; nil: none
	Pauses    []time.Duration                             // between tries for a destination
}

// A Run is one of a schedule.
type Run struct {
	Host     Host
	Schedule string
	Settings Settings
	Pinned   string // a name: such a snapshot never expires
	Full     bool   // read all, also what cannot have changed
	DryRun   bool
	Backup   Backup
	Crier    *Crier
	Rescuer  Rescuer
	Log      *Log
	Language speech.Language
	Doubt    error // a reservation that there is before it begins
	Broken   error // why nothing can be done; it is told as that of any other run

	// state
	facts  Facts
	start  time.Time
	rec    record
	place  *place
	hooks  hooks
	kept   int
	listed []Verdict
	pruned time.Time // when the repository was pruned last; zero: none was written to
}

// SeriesName is the folder of this Pi at the destination.
func (h Host) SeriesName(s Settings) string {
	if s.Folder != "" {
		return s.Folder
	}
	return h.Name + "-" + h.MachineID[:min(8, len(h.MachineID))]
}

// Do makes the run, and tells people. The error is why there is no snapshot;
// the facts have the reservations of one that there is.
func (r *Run) Do(ctx context.Context) (Facts, error) {
	r.start = r.Host.Clock()
	r.facts = Facts{Kind: Started, Host: r.Host.Name, Schedule: r.Schedule, Type: r.Settings.Type, To: shownTo(r.Settings), DryRun: r.DryRun, Log: r.Log.Path()}
	r.reserve(r.Doubt)
	if r.Broken != nil {
		return r.end(ctx, r.Broken)
	}
	l, err := takeLock(ctx, r.Host.RunDir, r.Settings.LockWait)
	if err != nil {
		return r.end(ctx, err)
	}
	defer l.release()
	if _, err := r.Rescuer.locked(ctx); err != nil {
		r.reserve(fmt.Errorf("what an earlier run left: %w", err))
	}
	if r.DryRun {
		return r.end(ctx, r.body(ctx))
	}
	endGuard, err := r.begin()
	if err != nil {
		return r.end(ctx, err)
	}
	if r.Crier.Wants(Started) {
		r.reserve(r.Crier.Tell(ctx, Say(r.Language, r.facts, nil)))
	}
	err = r.body(ctx)
	facts, err := r.end(ctx, err)
	if len(r.rec.Units)+len(r.rec.Commands) == 0 {
		return facts, errors.Join(err, removeRecord(r.Host.RunDir), endGuard())
	}
	r.rec.Ended = true // the guard tries once more
	return facts, errors.Join(err, r.rec.write(r.Host.RunDir))
}

// begin writes the record and starts the guard that watches over it.
func (r *Run) begin() (end func() error, err error) {
	r.rec = record{Schedule: r.Schedule, Started: r.start, PID: os.Getpid(), Log: r.Log.Path()}
	if err := r.rec.write(r.Host.RunDir); err != nil {
		return nil, err
	}
	if r.Host.Guard == nil {
		return func() error { return nil }, nil
	}
	return StartGuard(r.Host.Guard())
}

// body is all between the first notice and the last.
func (r *Run) body(ctx context.Context) error {
	r.hooks = hooks{run: r.Host.Run, patience: r.Settings.Patience, state: filepath.Join(r.Host.RunDir, "hooks"), logf: r.Log.Infof}
	if !r.DryRun {
		if err := errors.Join(os.RemoveAll(r.hooks.state), os.MkdirAll(r.hooks.state, 0o700)); err != nil {
			return err
		}
		if err := r.hooks.call(ctx, "before", r.Settings.Before, r.facts); err != nil {
			return err
		}
	}
	m := r.Host.mounter(r.Log.Infof)
	m.note = r.noteMounts
	var err error
	if r.place, err = m.open(ctx, r.Settings); err != nil {
		return err
	}
	if !r.place.remote { // an address can hold a password
		r.facts.Folder = r.place.folder
	}
	err = r.there(ctx)
	if r.facts.Free, _ = r.place.free(); err == nil && !r.DryRun {
		r.reserve(r.hooksAfter(ctx, Done, nil))
	} else if !r.DryRun {
		r.reserve(r.hooksAfter(ctx, Failed, err))
	}
	if closeErr := r.place.close(context.WithoutCancel(ctx)); closeErr != nil {
		r.reserve(fmt.Errorf("unmount the destination: %w", closeErr))
	}
	return err
}

func (r *Run) noteMounts(folders []string) error {
	r.rec.Mounted = folders
	if r.DryRun {
		return nil
	}
	return r.rec.write(r.Host.RunDir)
}

func (r *Run) hooksAfter(ctx context.Context, k Kind, err error) error {
	f := r.facts
	f.Kind, f.Seconds = k, r.Host.Clock().Sub(r.start).Seconds()
	if err != nil {
		f.Error = err.Error()
	}
	return r.hooks.call(context.WithoutCancel(ctx), "after", r.Settings.After, f)
}

// reserve notes what did not keep the run from its snapshot. nil is nothing.
func (r *Run) reserve(err error) {
	if err == nil {
		return
	}
	err = r.Log.vault.CleanError(err)
	r.Log.Errorf("%v", err)
	r.facts.Reservations = append(r.facts.Reservations, err.Error())
}

// end tells what came of it.
func (r *Run) end(ctx context.Context, err error) (Facts, error) {
	if cause := context.Cause(ctx); err != nil && cause != nil && cause != context.Canceled {
		err = fmt.Errorf("%w: %w", cause, err) // which signal
	}
	ctx = context.WithoutCancel(ctx)
	r.facts.Seconds = r.Host.Clock().Sub(r.start).Seconds()
	err = r.Log.vault.CleanError(err)
	r.reserve(r.Log.trouble())
	switch {
	case err != nil:
		r.facts.Kind, r.facts.Error = Failed, err.Error()
		r.Log.Errorf("%v", err)
	case len(r.facts.Reservations) > 0:
		r.facts.Kind = Reserved
	default:
		r.facts.Kind = Done
	}
	if !r.DryRun {
		r.reserve(r.remember())
	}
	if r.DryRun && err == nil {
		r.facts.Kind = Test
	}
	if r.Crier.Wants(r.facts.Kind) || r.facts.Reminder {
		if tellErr := r.Crier.Tell(ctx, Say(r.Language, r.facts, r.Log.Text())); tellErr != nil {
			r.reserve(tellErr)
		}
	}
	return r.facts, err
}

// remember keeps the state, and writes the metrics.
func (r *Run) remember() error {
	s, err := ReadState(r.Host.StateDir)
	if err != nil {
		r.reserve(err)
	}
	now := r.Host.Clock()
	r.facts.Reminder = s.remind(r.Settings.Remind, now)
	last := Last{Time: now, Success: s.Last[r.Schedule].Success, Facts: r.facts, Snapshots: s.Last[r.Schedule].Snapshots}
	if r.facts.Kind != Failed {
		last.Success, last.Snapshots = now, r.kept
	}
	s.Last[r.Schedule] = last
	if !r.pruned.IsZero() {
		s.Pruned[r.Settings.repositoryKey()] = r.pruned
	}
	errs := []error{s.Write(r.Host.StateDir)}
	if r.Settings.Metrics != "" {
		errs = append(errs, atomicfile.Write(r.Settings.Metrics, s.Metrics(), 0o644))
	}
	return errors.Join(errs...)
}

// Listed is what a dry run would keep and remove of what is there.
func (r *Run) Listed() []Verdict { return r.listed }
