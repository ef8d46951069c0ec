package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"lifeboat/clone"
	"lifeboat/clone/extent"
	"lifeboat/clone/image"
	"lifeboat/internal/atomicfile"
	"lifeboat/internal/nightly"
)

// An imageShelf is the folder of a Pi's images.
type imageShelf struct {
	nightly.Folder
	e *env
}

var _ nightly.Shelf = imageShelf{}

// Close has nothing to do.
func (imageShelf) Close() error { return nil }

// Save makes an image, or two of a system that lies on two disks. Each is read
// back before it gets its name.
func (s imageShelf) Save(ctx context.Context, r nightly.Request) (nightly.Saved, error) {
	saved := nightly.Saved{Name: nightly.FileName(r.Schedule, r.Settings.Type, r.Pinned, r.Time)}
	if err := atomicfile.MkdirAll(s.Path, 0o755); err != nil {
		return saved, err
	}
	if err := s.Sweep(r.Schedule, r.Logf); err != nil {
		saved.Reservations = append(saved.Reservations, err.Error())
	}
	o := backupOptions{from: r.Settings.From, to: filepath.Join(s.Path, saved.Name), level: r.Settings.Level, pace: r.Pace}
	reserved, err := s.e.forNightly(ctx, r, o, imagesOf, func(src *origin, o backupOptions) error {
		sink, err := s.e.openSink(src, o)
		if err != nil {
			return err
		}
		tail, err := clone.Save(ctx, o.paced(src.Source), src.head, sink, s.e.meter)
		if err == nil && tail.Live != nil {
			saved.FrozenMS = max(saved.FrozenMS, tail.Live.FrozenMS)
		}
		return err
	})
	if err != nil {
		return saved, err
	}
	saved.Reservations = append(saved.Reservations, reserved...)
	for _, path := range []string{o.to, bootName(o.to)} {
		if info, err := os.Stat(path); err == nil {
			saved.Size, saved.Added = saved.Size+info.Size(), saved.Added+info.Size()
		}
	}
	return saved, nil
}

// forNightly opens what a run saves, and gives it to save: each of two disks, as
// split tells. Reservations are returned as such.
func (e *env) forNightly(ctx context.Context, r nightly.Request, o backupOptions, split splitter, save func(*origin, backupOptions) error) ([]string, error) {
	o.live = liveOptions{longFreeze: r.Settings.LongFreeze, beforeFreeze: r.BeforeFreeze, afterThaw: r.AfterThaw}
	e.divert = r.Logf
	defer func() { e.divert = nil }()
	err := e.openForNightly(ctx, r, o, split, save)
	var reserved reservedError
	if errors.As(err, &reserved) {
		return reserved.reservations, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s → %s: %w", shown(o.from), shown(o.to), err)
	}
	return nil, nil
}

// openForNightly opens what is saved. A disk that nobody uses has no freeze, so
// what is to be stopped for it is stopped for the whole copy.
func (e *env) openForNightly(ctx context.Context, r nightly.Request, o backupOptions, split splitter, save func(*origin, backupOptions) error) error {
	if o.from == "/" {
		return e.withRunning(ctx, o, split, save)
	}
	if r.BeforeFreeze != nil {
		defer r.AfterThaw()
		if err := r.BeforeFreeze(ctx); err != nil {
			return err
		}
	}
	src, err := e.openOrigin(ctx, o.from, image.Options{UsedOnly: true})
	if err != nil {
		return err
	}
	return errors.Join(save(src, o), src.Close())
}

// paced is the source at the pace that the options ask for.
func (o backupOptions) paced(src clone.Source) clone.Source {
	if o.pace == nil {
		return src
	}
	return pacedSource{src, o.pace}
}

// A pacedSource asks before each record whether it may go on. It never waits
// within a freeze: that begins and ends in one call of the source's Next.
type pacedSource struct {
	clone.Source
	pace func(ctx context.Context)
}

func (s pacedSource) Open(ctx context.Context, want extent.Set) (clone.Pass, error) {
	pass, err := s.Source.Open(ctx, want)
	if err != nil {
		return nil, err
	}
	return pacedPass{pass, s.pace}, nil
}

type pacedPass struct {
	clone.Pass
	pace func(ctx context.Context)
}

func (p pacedPass) Next(ctx context.Context) (extent.Record, error) {
	p.pace(ctx)
	return p.Pass.Next(ctx)
}
