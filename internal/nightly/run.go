package nightly

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"lifeboat/internal/atomicfile"
	"lifeboat/internal/speech"
)

// A Backup is made by whoever knows how.
type Backup interface {
	// Estimate tells how much there is, and refuses what cannot work, such as a
	// folder on the disk that is to be frozen. Nothing is written.
	Estimate(ctx context.Context, s Settings, folder string) (Estimate, error)
	// Save makes the snapshot.
	Save(ctx context.Context, r Request) (Saved, error)
}

// A Request is for one snapshot.
type Request struct {
	Settings Settings
	File     string // that is to be made
	// BeforeFreeze stops services, AfterThaw starts them again: live.Options. Both
	// are nil where there are none.
	BeforeFreeze func(ctx context.Context) error
	AfterThaw    func()
	Pace         func(ctx context.Context) // before each step: memory may be short
	Logf         func(format string, args ...any)
}

// Saved is what came of a request that succeeded.
type Saved struct {
	FrozenMS     int64
	Reservations []string
}

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
	Guard     func() *exec.Cmd // runs Recover when this process has ended; nil: none
	Pauses    []time.Duration  // between tries for a destination
}

// A Run is one of a schedule.
type Run struct {
	Host     Host
	Schedule string
	Settings Settings
	Pinned   string // a name: such a snapshot never expires
	DryRun   bool
	Backup   Backup
	Crier    *Crier
	Rescuer  Rescuer
	Log      *Log
	Language speech.Language

	// state
	facts  Facts
	start  time.Time
	rec    record
	place  *place
	hooks  hooks
	kept   int
	listed []Verdict
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
	r.facts = Facts{Kind: Started, Host: r.Host.Name, Schedule: r.Schedule, Type: r.Settings.Type, To: r.Settings.To, DryRun: r.DryRun, Log: r.Log.Path()}
	l, err := takeLock(ctx, r.Host.RunDir, r.Settings.LockWait)
	if err != nil {
		return r.end(ctx, err)
	}
	defer l.release()
	if _, err := r.Rescuer.locked(ctx); err != nil {
		r.reserve(fmt.Errorf("after a run that died: %w", err))
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
		err = errors.Join(err, removeRecord(r.Host.RunDir), endGuard())
	}
	return facts, err
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
	r.facts.Folder = r.place.folder
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

// there is what is done while the destination is.
func (r *Run) there(ctx context.Context) error {
	folder := Folder{filepath.Join(r.place.folder, r.Host.SeriesName(r.Settings))}
	all, err := folder.List()
	if err != nil {
		return err
	}
	if err := r.mayFit(ctx, all); err != nil {
		return err
	}
	stopper, err := r.stopper(ctx)
	if err != nil {
		return err
	}
	defer stopper.units.Close()
	if err := stopper.check(ctx); err != nil {
		return err
	}
	if r.DryRun {
		r.listed = Retain(all, r.Settings.Keep, r.start, r.Host.Zone)
		return nil
	}
	if err := os.MkdirAll(folder.Path, 0o755); err != nil {
		return err
	}
	if err := folder.Sweep(r.Schedule, r.Log.Infof); err != nil {
		r.reserve(err)
	}
	if err := r.hooks.call(ctx, "ready", r.Settings.Ready, r.facts); err != nil {
		return err
	}
	if err := r.save(ctx, folder, stopper); err != nil {
		return err
	}
	r.reserve(r.forget(folder))
	return nil
}

// mayFit asks for the size and compares it with the room.
func (r *Run) mayFit(ctx context.Context, all []Snapshot) error {
	e, err := r.Backup.Estimate(ctx, r.Settings, r.place.folder)
	if err != nil {
		return err
	}
	var newest time.Time
	for _, s := range all {
		if s.Type == r.Settings.Type && s.Schedule == r.Schedule && s.Time.After(newest) {
			newest, e.Last = s.Time, s.Size
		}
	}
	free, err := r.place.free()
	if err != nil {
		return err
	}
	r.Log.Debugf("%d bytes in use of %d, %d free at the destination (%s)", e.Used, e.Size, free, r.place.fstype)
	return e.fits(r.place.fstype, r.Settings.Type, free, r.Settings.MinFree)
}

func (r *Run) stopper(ctx context.Context) (*stopper, error) {
	var units Units = noUnits{}
	if len(r.Settings.Services) > 0 {
		var err error
		if units, err = r.Host.Units(ctx); err != nil {
			return nil, err
		}
	}
	return &stopper{
		units: units, run: r.Host.Run, patience: r.Settings.Patience, logf: r.Log.Infof,
		services: r.Settings.Services, stop: r.Settings.Stop, start: r.Settings.Start,
		record: func(units, commands []string) error {
			r.rec.Units, r.rec.Commands = units, commands
			return r.rec.write(r.Host.RunDir)
		},
	}, nil
}

func (r *Run) save(ctx context.Context, folder Folder, s *stopper) error {
	name := FileName(r.Schedule, r.Settings.Type, r.Pinned, r.start)
	request := Request{
		Settings: r.Settings, File: filepath.Join(folder.Path, name), Logf: r.Log.Infof,
		Pace: newPacer(r.Host.Proc, r.Settings.LowMemory, r.Log.Infof).Pace,
	}
	if len(s.services)+len(s.stop)+len(s.start) > 0 {
		request.BeforeFreeze = s.down
		request.AfterThaw = func() {
			if err := s.up(ctx); err != nil {
				r.reserve(fmt.Errorf("NOT STARTED AGAIN: %w", err))
			}
		}
	}
	saved, err := r.Backup.Save(ctx, request)
	if err != nil {
		return err
	}
	r.facts.File, r.facts.FrozenMS = name, saved.FrozenMS
	if info, err := os.Stat(request.File); err == nil {
		r.facts.Size = info.Size()
	}
	for _, text := range saved.Reservations {
		r.reserve(errors.New(text))
	}
	return nil
}

// forget removes what the policy does not keep.
func (r *Run) forget(folder Folder) error {
	all, err := folder.List()
	if err != nil {
		return err
	}
	mine := slices.DeleteFunc(all, func(s Snapshot) bool { return s.Schedule != r.Schedule })
	var errs []error
	r.kept = 0
	for _, v := range Retain(mine, r.Settings.Keep, r.Host.Clock(), r.Host.Zone) {
		if v.Keep {
			r.kept++
			r.Log.Debugf("%s stays: %s", v.Name, v.Why)
			continue
		}
		r.Log.Infof("remove %s: %s", v.Name, v.Why)
		if err := folder.Remove(v.Snapshot); err != nil {
			errs = append(errs, fmt.Errorf("remove an old snapshot: %w", err))
			continue
		}
		r.facts.Removed++
	}
	return errors.Join(errs...)
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
	ctx = context.WithoutCancel(ctx)
	r.facts.Seconds = r.Host.Clock().Sub(r.start).Seconds()
	err = r.Log.vault.CleanError(err)
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
	errs := []error{s.Write(r.Host.StateDir)}
	if r.Settings.Metrics != "" {
		errs = append(errs, atomicfile.Write(r.Settings.Metrics, s.Metrics(), 0o644))
	}
	return errors.Join(errs...)
}

// Listed is what a dry run would keep and remove of what is there.
func (r *Run) Listed() []Verdict { return r.listed }
