package repo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"lifeboat/clone/store"
)

// PruneOptions say how far a prune goes.
type PruneOptions struct {
	// Now removes without grace: nobody else may write to the repository
	// meanwhile. It is refused where an intent says that somebody does.
	Now    bool
	DryRun bool
}

// A PruneReport says what a prune did, or would do.
type PruneReport struct {
	Snapshots int   `json:"snapshots"`
	Live      int64 `json:"live"`      // chunks in use
	Removed   int64 `json:"removed"`   // files
	Freed     int64 `json:"freed"`     // bytes
	Condemned int64 `json:"condemned"` // files that a later run removes
	Waiting   int64 `json:"waiting"`   // bytes of what is condemned or too young to be
	Kept      int64 `json:"kept"`      // bytes that stay
}

// ErrPruning says that another prune is under way, or died a moment ago.
var ErrPruning = errors.New("another prune is under way, or broke off a moment ago: try again in ten minutes")

// A BusyError refuses a prune without grace.
type BusyError struct{ Backups int }

func (e *BusyError) Error() string {
	return fmt.Sprintf("%d backups are under way, or broke off within the grace: what they count on cannot be removed at once", e.Backups)
}

// A pruner is one run.
type pruner struct {
	// config
	r *Repo
	o PruneOptions

	// state
	id       string
	now      time.Time // by the store's clock, when the run began
	files    map[string]store.Info
	decision *decision
	listed   map[string]struct{} // on a list that stays
	empty    []store.Info        // records that a power loss has left
	report   PruneReport
}

// Prune removes what no snapshot needs, in two phases: what is found useless is
// condemned, and removed by a run after the grace. Forgotten backups' leftovers
// go the same way.
func (r *Repo) Prune(ctx context.Context, o PruneOptions) (*PruneReport, error) {
	id, err := randomHex(r.o.Random, 4)
	if err != nil {
		return nil, err
	}
	p := &pruner{r: r, o: o, id: r.o.Clock().UTC().Format(idTime) + "-" + id, files: map[string]store.Info{}, listed: map[string]struct{}{}}
	if err := p.begin(ctx); err != nil {
		return nil, err
	}
	err = p.list(ctx)
	if err == nil {
		err = p.decide(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, p.unmark(ctx))
	}
	if n := p.decision.underWay(); o.Now && n > 0 {
		return nil, errors.Join(&BusyError{n}, p.end(ctx))
	}
	if err := p.sweepAll(ctx); err != nil {
		return &p.report, err
	}
	if err := p.condemn(ctx); err != nil {
		return &p.report, err
	}
	return &p.report, p.end(ctx)
}

// begin asks the store for the time, and minds another prune.
func (p *pruner) begin(ctx context.Context) error {
	r := p.r
	if p.o.DryRun {
		p.now = r.o.Clock()
		return nil
	}
	other, err := store.Stat(ctx, r.s, pruningName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	there := err == nil
	probe := condemnedDir + p.id + ".clock"
	if err := putBytes(ctx, r.s, probe, nil); err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	info, err := store.Stat(ctx, r.s, probe)
	if err = errors.Join(err, r.s.Remove(ctx, probe)); err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	if info.Time.IsZero() {
		return errors.New("prune: the store does not tell when a file was put, and without that nothing can be removed safely")
	}
	if there && info.Time.Sub(other.Time) < 2*r.o.delay {
		return ErrPruning
	}
	p.now = info.Time
	return p.mark(ctx)
}

// mark tells others that a prune is under way.
func (p *pruner) mark(ctx context.Context) error {
	if p.o.DryRun {
		return nil
	}
	return putBytes(ctx, p.r.s, pruningName, encodeJSON(map[string]string{"id": p.id}))
}

func (p *pruner) end(ctx context.Context) error {
	if p.o.DryRun {
		return nil
	}
	return errors.Join(p.r.writeCatalog(ctx), p.unmark(ctx))
}

// unmark tells that nothing is on its way any more: behind a sweep that failed
// something may be.
func (p *pruner) unmark(ctx context.Context) error {
	if p.o.DryRun {
		return nil
	}
	return gone(p.r.s.Remove(ctx, pruningName))
}

// gone takes a file that is not there for one that was removed.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// list finds all that may be removed, before anything is decided.
func (p *pruner) list(ctx context.Context) error {
	for _, prefix := range []string{p.r.chunkPrefix(), snapshotsDir} {
		for info, err := range p.r.s.List(ctx, prefix) {
			if err != nil {
				return fmt.Errorf("list %s: %w", prefix, err)
			}
			if _, chunk := parseChunkName(info.Name); chunk || isSnapshotFile(info.Name) {
				p.files[info.Name] = info
			} else if _, _, record := parseStem(info.Name, recordExt); record && info.Size == 0 {
				p.empty = append(p.empty, info)
			}
		}
	}
	return nil
}

func (p *pruner) decide(ctx context.Context) error {
	if err := p.mark(ctx); err != nil {
		return err
	}
	var err error
	if p.decision, err = p.r.decide(ctx, p.now, p.decision); err != nil {
		return err
	}
	p.report.Live, p.report.Snapshots = int64(len(p.decision.chunks)), len(p.decision.done) // not what a backup under way counts on
	if s, ok := p.r.s.(syncer); ok && !p.o.DryRun {
		return s.Sync(ctx) // or a power loss could bring a forgotten record back, and not its chunks
	}
	return nil
}

// sweepAll sweeps each list that is old enough, and removes it.
func (p *pruner) sweepAll(ctx context.Context) error {
	var lists []store.Info
	for info, err := range p.r.s.List(ctx, condemnedDir) {
		if err != nil {
			return fmt.Errorf("list what is condemned: %w", err)
		}
		if strings.HasSuffix(info.Name, ".json") && info.Size != 0 {
			lists = append(lists, info)
		} else if p.now.Sub(info.Time) > p.r.Grace() && !p.o.DryRun {
			if err := gone(p.r.s.Remove(ctx, info.Name)); err != nil { // of a prune that died
				return err
			}
		}
	}
	for _, info := range lists {
		list, err := p.r.readCondemned(ctx, info.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) && !p.o.DryRun {
			if err := gone(p.r.s.Remove(ctx, info.Name)); err != nil { // what it named is found again
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		names := p.names(list)
		if !p.o.Now && p.now.Sub(info.Time) < p.r.Grace() {
			for _, name := range names {
				p.listed[name] = struct{}{}
			}
			continue
		}
		if err := p.sweep(ctx, names, info.Time); err != nil {
			return err
		}
		if !p.o.DryRun {
			if err := gone(p.r.s.Remove(ctx, info.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pruner) names(list condemned) []string {
	var names []string
	eachID(list.Chunks, func(id ID) { names = append(names, p.r.chunkName(id)) })
	return append(names, list.Files...)
}

// sweep removes what is still of no use, and not younger than its list.
func (p *pruner) sweep(ctx context.Context, names []string, listed time.Time) error {
	for _, name := range names {
		info, there := p.files[name]
		if !there || !p.o.Now && !info.Time.Before(listed) {
			continue
		}
		if err := p.renew(ctx); err != nil {
			return err
		}
		if p.decision.live(name) {
			continue
		}
		if err := p.remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// ErrSlow says that the store answers too slowly for anything to be removed safely.
var ErrSlow = errors.New("the store answers too slowly: before it had told what is in use, that was out of date")

// decideTries is how often a decision may be out of date when it is made. The
// first one reads all, the others only what is new.
const decideTries = 3

// renew decides anew where what was decided is too old to act on.
func (p *pruner) renew(ctx context.Context) error {
	for range decideTries {
		if !p.stale() {
			return nil
		}
		if err := p.decide(ctx); err != nil {
			return err
		}
	}
	if p.stale() {
		return ErrSlow
	}
	return nil
}

// stale tells whether what was decided is too old to act on.
func (p *pruner) stale() bool {
	now := p.r.o.Clock()
	age := max(now.Sub(p.decision.at), now.Round(0).Sub(p.decision.at.Round(0))) // a machine that slept
	return age > p.r.o.delay/2
}

// remove removes a file while what was decided still holds.
func (p *pruner) remove(ctx context.Context, name string) error {
	if !p.o.DryRun {
		ctx, stop := context.WithTimeout(ctx, p.r.o.delay/2)
		defer stop()
		if err := gone(p.r.s.Remove(ctx, name)); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	p.report.Removed++
	p.report.Freed += max(0, p.files[name].Size)
	delete(p.files, name)
	return nil
}

// condemn lists what is of no use, and old enough that no backup under way can
// have put it and not named it yet. Without grace it is removed.
func (p *pruner) condemn(ctx context.Context) error {
	var useless []string
	for name, info := range p.files {
		_, listed := p.listed[name]
		switch {
		case p.decision.live(name):
			p.report.Kept += max(0, info.Size)
			continue
		case p.o.Now:
			useless = append(useless, name)
			continue
		}
		p.report.Waiting += max(0, info.Size)
		if !listed && p.now.Sub(info.Time) >= p.r.Grace() {
			useless = append(useless, name)
		}
	}
	slices.Sort(useless)
	if p.o.Now {
		if err := p.sweep(ctx, useless, p.now); err != nil {
			return err
		}
	} else if err := p.publish(ctx, useless); err != nil {
		return err
	}
	if p.o.DryRun {
		return nil
	}
	over := slices.Clone(p.decision.dead)
	for _, info := range p.empty {
		if p.now.Sub(info.Time) > p.r.Grace() {
			over = append(over, info.Name)
		}
	}
	for _, name := range over {
		if err := gone(p.r.s.Remove(ctx, name)); err != nil {
			return err
		}
	}
	if s, ok := p.r.s.(cleaner); ok {
		bytes, err := s.Clean(ctx, p.now.Add(-p.r.Grace()))
		p.report.Freed += bytes
		return err
	}
	return nil
}

// cleaner is a store that can be left with files in the making.
type cleaner interface {
	Clean(ctx context.Context, before time.Time) (bytes int64, err error)
}

// syncer is a store in which a removal may be undone by a power loss.
type syncer interface {
	Sync(ctx context.Context) error
}

// publish puts the list of what was condemned.
func (p *pruner) publish(ctx context.Context, names []string) error {
	p.report.Condemned = int64(len(names))
	if len(names) == 0 || p.o.DryRun {
		return nil
	}
	list := condemned{Version: configVersion}
	var ids []ID
	for _, name := range names {
		if id, ok := parseChunkName(name); ok {
			ids = append(ids, id)
		} else {
			list.Files = append(list.Files, name)
		}
	}
	list.Chunks = joinIDs(ids)
	return putBytes(ctx, p.r.s, condemnedDir+p.id+".json", encodeJSON(list))
}
