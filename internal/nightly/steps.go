package nightly

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// there is what is done while the destination is.
func (r *Run) there(ctx context.Context) (err error) {
	state, err := ReadState(r.Host.StateDir)
	if err != nil {
		r.reserve(err)
	}
	pruned, known := state.Pruned[r.Settings.repositoryKey()]
	shelf, err := r.Backup.Open(ctx, r.Host, r.Settings, r.place.folder, known)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shelf.Close()) }()
	all, err := shelf.List(ctx)
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
	if err := r.hooks.call(ctx, "ready", r.Settings.Ready, r.facts); err != nil {
		return err
	}
	if err := r.save(ctx, shelf, stopper); err != nil {
		return err
	}
	r.reserve(r.forget(ctx, shelf))
	if tended, ok := shelf.(Tended); ok {
		r.tend(ctx, tended, pruned)
	}
	return nil
}

// lately is how many snapshots tell what the next one will add.
const lately = 7

// mayFit asks for the size and compares it with the room.
func (r *Run) mayFit(ctx context.Context, all []Snapshot) error {
	e, err := r.Backup.Estimate(ctx, r.Settings, r.place.folder)
	if err != nil {
		return err
	}
	before := slices.Clone(all)
	if r.Settings.Type != SnapshotType { // in a repository all lie upon each other
		before = slices.DeleteFunc(before, func(s Snapshot) bool { return s.Type != r.Settings.Type || s.Schedule != r.Schedule })
	}
	slices.SortFunc(before, newestFirst)
	for i, s := range before {
		if i == 0 || r.Settings.Type == SnapshotType && i < lately {
			e.Last = max(e.Last, s.Size, 1)
		}
	}
	free, err := r.place.free()
	if err != nil {
		return err
	}
	r.Log.Debugf("%d bytes in use of %d, %d free at the destination (%s)", e.Used, e.Size, free, r.place.fstype)
	if r.place.remote {
		return nil
	}
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

func (r *Run) save(ctx context.Context, shelf Shelf, s *stopper) error {
	request := Request{
		Settings: r.Settings, Schedule: r.Schedule, Pinned: r.Pinned, Time: r.start, Full: r.Full, Logf: r.Log.Infof,
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
	saved, err := shelf.Save(ctx, request)
	if err != nil {
		return err
	}
	r.facts.File, r.facts.Size, r.facts.Added = saved.Name, saved.Size, saved.Added
	r.facts.Read, r.facts.FrozenMS = saved.Read, saved.FrozenMS
	for _, text := range saved.Reservations {
		r.reserve(errors.New(text))
	}
	return nil
}

// forget removes what the policy does not keep.
func (r *Run) forget(ctx context.Context, shelf Shelf) error {
	all, err := shelf.List(ctx)
	if err != nil {
		return err
	}
	mine := slices.DeleteFunc(all, func(s Snapshot) bool { return s.Schedule != r.Schedule })
	r.kept = 0
	var gone []Snapshot
	for _, v := range Retain(mine, r.Settings.Keep, r.Host.Clock(), r.Host.Zone) {
		if v.Type == SnapshotType && FromFuture(v.Time, r.Host.Clock()) {
			r.reserve(fmt.Errorf("%s is from the future, for a clock was wrong: until then it is the latest one, and each backup reads all; lifeboat repo forget takes it away", v.Called()))
		}
		if v.Keep {
			r.kept++
			r.Log.Debugf("%s stays: %s", v.Called(), v.Why)
			continue
		}
		r.Log.Infof("remove %s: %s", v.Called(), v.Why)
		gone = append(gone, v.Snapshot)
	}
	if r.facts.Removed, err = shelf.Remove(ctx, gone); err != nil {
		return fmt.Errorf("remove old snapshots: %w", err)
	}
	return nil
}

// pruneEvery is how long a repository is left as it is.
func pruneEvery(word string) time.Duration {
	return map[string]time.Duration{"daily": 20 * time.Hour, "weekly": 6*24*time.Hour + 12*time.Hour}[word]
}

// tend prunes a repository when it is time for it, and reads a sample of it.
// Neither keeps the run from its snapshot.
func (r *Run) tend(ctx context.Context, shelf Tended, pruned time.Time) {
	r.pruned = pruned
	if every := pruneEvery(r.Settings.Repository.Prune); pruned.IsZero() || pruned.After(r.start) {
		r.pruned = r.start // there is nothing yet, or a clock was wrong
	} else if every > 0 && r.start.Sub(pruned) >= every {
		freed, err := shelf.Prune(ctx)
		if r.facts.Freed = freed; err != nil {
			r.reserve(fmt.Errorf("prune the repository: %w", err))
		} else {
			r.pruned = r.start
		}
	}
	part := r.Settings.Repository.VerifySample
	if part <= 0 {
		return
	}
	read, bad, err := shelf.Verify(ctx, part)
	if r.facts.Checked = read; err != nil {
		r.reserve(fmt.Errorf("read a sample of the repository: %w", err))
	}
	for _, text := range bad {
		r.reserve(fmt.Errorf("THE REPOSITORY IS DAMAGED: %s", text))
	}
}
