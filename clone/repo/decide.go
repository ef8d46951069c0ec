package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// A decision is what is in use, as read in the order that makes it safe: the
// records, the intents, the records again.
type decision struct {
	chunks map[ID]struct{}
	snaps  map[key]struct{}
	read   map[string]struct{} // intents
	dead   []string            // intents that are over
	alive  []string            // IDs of backups under way, or that ended within the grace
	done   map[string]bool     // IDs of snapshots that have a record
	at     time.Time           // by our clock, before the intents were read
}

// decide reads all that says what is in use. An index that cannot be read is an
// error: nothing may be removed by a half-known set. Time is the store's now. What
// was in use by an earlier decision of the run stays so, and is not read again.
func (r *Repo) decide(ctx context.Context, now time.Time, before *decision) (*decision, error) {
	d := &decision{chunks: map[ID]struct{}{}, snaps: map[key]struct{}{}, read: map[string]struct{}{}, done: map[string]bool{}}
	if before != nil {
		d.chunks, d.snaps, d.read = before.chunks, before.snaps, before.read
	}
	if err := d.records(ctx, r); err != nil {
		return nil, err
	}
	d.at = r.o.Clock()
	if err := d.intents(ctx, r, now); err != nil {
		return nil, err
	}
	if err := d.records(ctx, r); err != nil {
		return nil, err
	}
	return d, nil
}

// records takes all chunks of all snapshots that are not known yet.
func (d *decision) records(ctx context.Context, r *Repo) error {
	for info, err := range r.s.List(ctx, snapshotsDir) {
		if err != nil {
			return fmt.Errorf("list snapshots: %w", err)
		}
		series, id, ok := parseStem(info.Name, recordExt)
		if !ok || info.Size == 0 {
			continue
		}
		d.done[id] = true
		if err := d.snapshot(ctx, r, key{series, id}, true); err != nil {
			return err
		}
	}
	return nil
}

// snapshot takes the chunks of one: of a complete one as its record says.
func (d *decision) snapshot(ctx context.Context, r *Repo, k key, complete bool) error {
	if _, done := d.snaps[k]; done {
		return nil
	}
	x, err := r.indexOf(ctx, k, complete)
	if errors.Is(err, fs.ErrNotExist) {
		if !complete {
			return nil // the base of a backup that was dead before it began
		}
		if _, err := r.stat(ctx, k.stem()+recordExt); errors.Is(err, fs.ErrNotExist) {
			return nil // forgotten a moment ago
		}
	}
	if err != nil {
		return fmt.Errorf("nothing is removed, because it cannot be known what snapshot %s of series %s needs; forget it, if it cannot be mended: %w", k.id, k.series, err)
	}
	d.snaps[k] = struct{}{}
	for _, id := range x.ids {
		d.chunks[id] = struct{}{}
	}
	return nil
}

// indexOf reads the index of a snapshot. A forgotten one has no record that
// vouches for it: then it is taken as it is.
func (r *Repo) indexOf(ctx context.Context, k key, complete bool) (*index, error) {
	if complete {
		rec, _, err := r.record(ctx, k)
		if err != nil {
			return nil, err
		}
		return r.readIndex(ctx, rec)
	}
	data, err := r.read(ctx, k.stem()+indexExt, maxIndexFile)
	if err != nil {
		return nil, err
	}
	return decodeIndex(data)
}

// intents takes what backups under way count on. A backup is under way while
// its newest intent is younger than the grace.
func (d *decision) intents(ctx context.Context, r *Repo, now time.Time) error {
	files, newest := map[string][]string{}, map[string]time.Time{}
	for info, err := range r.s.List(ctx, intentsDir) {
		if err != nil {
			return fmt.Errorf("list backups under way: %w", err)
		}
		id, ok := parseIntentName(info.Name)
		if !ok {
			continue
		}
		files[id] = append(files[id], info.Name)
		if info.Time.After(newest[id]) {
			newest[id] = info.Time
		}
	}
	for id, names := range files {
		if !newest[id].IsZero() && now.Sub(newest[id]) > r.Grace() {
			d.dead = append(d.dead, names...)
			continue
		}
		d.alive = append(d.alive, id)
		for _, name := range names {
			if err := d.intent(ctx, r, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *decision) intent(ctx context.Context, r *Repo, name string) error {
	if _, done := d.read[name]; done {
		return nil
	}
	data, err := r.read(ctx, name, maxIntent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the backup ended, and its record is read next
	}
	if err != nil {
		return err
	}
	i, err := decodeIntent(data)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	d.read[name] = struct{}{}
	eachID(i.Chunks, func(id ID) { d.chunks[id] = struct{}{} })
	if series, id, ok := parseStem(snapshotsDir+i.Base, ""); ok {
		return d.snapshot(ctx, r, key{series, id}, false)
	}
	return nil
}

// underWay counts the backups that have no record yet.
func (d *decision) underWay() int {
	n := 0
	for _, id := range d.alive {
		if !d.done[id] {
			n++
		}
	}
	return n
}

// live tells whether a file may not be removed.
func (d *decision) live(name string) bool {
	if id, ok := parseChunkName(name); ok {
		_, live := d.chunks[id]
		return live
	}
	if k, ok := snapshotFileOf(name); ok {
		_, live := d.snaps[k]
		return live
	}
	return true
}
