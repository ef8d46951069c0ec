package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"lifeboat/clone/extent"
	"lifeboat/clone/increment"
	"lifeboat/clone/live"
	"lifeboat/clone/manifest"
	"lifeboat/clone/repo"
	"lifeboat/internal/progress"
)

// A sinceLast joins a live source to the snapshot that goes before.
type sinceLast struct {
	e      *env
	run    *increment.Run
	src    *live.Source
	repo   *repo.Repo
	base   *repo.Source // nil = none
	made   *repo.Source // nil = not opened
	damage error        // of the base: all was read; nil = there was none
}

// useless tells whether an attempt failed for a damaged base. The next one reads
// all.
func (s *sinceLast) useless(err error) bool {
	var damage *repo.BaseError
	if s == nil || s.damage != nil || errors.Is(err, context.Canceled) || !errors.As(err, &damage) {
		return false
	}
	s.damage = damage
	s.e.logf("%v: once more, and all is read", damage)
	return true
}

// sinceLast has a live source read only what may have changed since the base. The
// caller closes it.
func (e *env) sinceLast(ctx context.Context, src *origin, r *repo.Repo, opts repo.SaveOptions, o snapshotOptions) (*sinceLast, error) {
	s := &sinceLast{e: e, src: src.running, repo: r}
	with := increment.Options{
		File:       filepath.Join(e.stateDir, "increments", r.ID()+"-"+opts.Series),
		Repository: r.ID(), Series: opts.Series, Full: o.full, Every: o.every, Near: r.Near(),
		Clock: increment.Clock{Proc: e.sys.Proc}, Logf: e.logf,
	}
	if opts.Base != nil {
		base, err := r.Source(ctx, opts.Base)
		if err != nil {
			return nil, err
		}
		s.base, with.Base, with.BaseID = base, base, opts.Base.ID
	}
	s.run = increment.New(with)
	src.running.Since(func(ctx context.Context, l live.Look) (extent.Set, error) { return s.run.Since(ctx, increment.Look(l)) })
	return s, nil
}

// ended makes up the balance. That the next backup has to read all is no error of
// this one.
func (s *sinceLast) ended(ctx context.Context, made *repo.Snapshot) increment.Report {
	if s.damage != nil {
		return increment.Report{Full: s.damage.Error()}
	}
	open := func() (_ increment.Snapshot, err error) {
		s.made, err = s.repo.Source(ctx, made)
		return s.made, err
	}
	news := s.src.News()
	report, err := s.run.Ended(made.ID, open, news.Late, news.Signs)
	if err != nil {
		s.e.logf("the next backup will read all: %v", err)
	}
	return report
}

func (s *sinceLast) close() {
	for _, src := range []*repo.Source{s.base, s.made} {
		if src != nil {
			src.Close()
		}
	}
}

// alarms are sentences about a damaged base, and about what an increment would
// have missed.
func (s *sinceLast) alarms(r increment.Report, h *manifest.Head) []string {
	if s.damage != nil {
		return []string{fmt.Sprintf("the repository is damaged (%v): this snapshot is whole, and what it has of earlier ones was mended; repo verify tells what else is hit", s.damage)}
	}
	if len(r.Wrong) == 0 {
		return nil
	}
	where := "outside of parts"
	for _, p := range h.Parts {
		if p.Extent.Intersect(r.Wrong[0]).Len > 0 {
			where = p.Title()
		}
	}
	return []string{fmt.Sprintf("%s had changed though nothing in the metadata says so, the first at byte %d (%s): "+
		"increments since the last full backup may lack it; the next backup reads all as well (docs/LIVE.md, section 5)",
		progress.Bytes(r.Wrong.Bytes()), r.Wrong[0].Off, where)}
}
