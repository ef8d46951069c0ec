package main

import (
	"errors"

	"lifeboat/clone/manifest"
	"lifeboat/clone/repo"
	"lifeboat/internal/speech"
)

// snapshotsOn splits a backup into two snapshots: of one time, in two series, and
// each names the other. The one of the disk that boots comes first, so that a
// root's snapshot never names what is yet to come.
func (e *env) snapshotsOn(r *repo.Repo) splitter {
	return func(o backupOptions, boot, root manifest.Pair, at *origin) (two [2]backupOptions, err error) {
		now := e.clock()
		first := o
		for _, half := range []*backupOptions{&first, &o} {
			half.snapshot.time = now
			if half.snapshot.id, err = r.NewID(now); err != nil {
				return two, err
			}
		}
		who, host := e.runningIdentity(root.ID)
		if at != nil {
			who, host = e.whose(at, false)
		}
		if o.snapshot.series == "" {
			o.snapshot.series = who.Series()
		}
		if o.snapshot.series == "" {
			return two, noSeries(repo.ErrSeries)
		}
		first.snapshot.series, first.snapshot.host = repo.BootSeries(o.snapshot.series), host
		boot.File, root.File = first.snapshot.series+"/"+first.snapshot.id, o.snapshot.series+"/"+o.snapshot.id
		first.pair, o.pair = &root, &boot
		return [2]backupOptions{first, o}, nil
	}
}

// halfWords says of a snapshot of one of two disks that the other is missing, or
// cannot be read.
func halfWords(s *repo.Snapshot, why error) speech.Text {
	if !errors.Is(why, repo.ErrHalf) {
		return speech.New("what belongs to it, %s, cannot be read: %v", s.Pair.File, why)
	}
	lacks := speech.New("what lies on the other disk of its system")
	if !s.OfBoot() {
		lacks = speech.New("the disk that boots its system")
	}
	return speech.New("it is half of a backup, without %s (%s): %v", lacks, s.Pair.File, why)
}

// pairWords end the line of a snapshot in a list: what belongs to it.
func pairWords(all []*repo.Snapshot, s *repo.Snapshot) string {
	if s.Pair == nil {
		return ""
	}
	if other := repo.OtherOf(all, s); other != nil {
		return "  with " + other.Label()
	}
	return "  HALF: " + s.Pair.File + " is missing"
}
