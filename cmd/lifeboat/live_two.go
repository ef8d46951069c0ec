package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/image"
	"lifeboat/clone/live"
	"lifeboat/clone/manifest"
)

// A splitter makes the options of two backups, of the disk that boots and of the
// root's, of those of one. What is said of the two lacks the place; at is the
// root's disk, nil = of the running system.
type splitter func(o backupOptions, boot, root manifest.Pair, at *origin) (two [2]backupOptions, err error)

// imagesOf splits a backup into two images in one folder.
func imagesOf(o backupOptions, boot, root manifest.Pair, _ *origin) (two [2]backupOptions, err error) {
	if o.second == "" {
		o.second = bootName(o.to)
	}
	if err := o.checkSecond(); err != nil {
		return two, err
	}
	first := o
	first.to = o.second
	boot.File, root.File = path.Base(first.to), path.Base(o.to)
	first.pair, o.pair = &root, &boot
	return [2]backupOptions{first, o}, nil
}

// withRunning gives the running system to be saved: its root's disk, and before
// that the one that boots it, where that is another. What could not be held to one
// instant is a reservation.
func (e *env) withRunning(ctx context.Context, o backupOptions, split splitter, save func(*origin, backupOptions) error) error {
	d, err := e.runningDisks()
	if err == nil && d.boot == "" && o.second != "" {
		err = usage("the running system lies on one disk: there is no second one to be saved")
	}
	if err != nil {
		return err
	}
	if d.boot == "" {
		return e.withLive(ctx, d.root, o, save)
	}
	ofBoot, err := e.halfOf(d.boot, true)
	if err != nil {
		return err
	}
	ofRoot, err := e.halfOf(d.root, false)
	if err != nil {
		return err
	}
	two, err := split(o, ofBoot, ofRoot, nil)
	if err != nil {
		return err
	}
	for _, path := range d.nodes() { // before either is saved
		if err := live.Check(e.sys, path, o.to); err != nil {
			return refusal(err)
		}
	}
	e.logf("%s lies on %s, which boots this system: it is saved along, to %s", d.point, d.boot, shown(two[0].to)+two[0].behind())
	return e.saveRunningTwo(ctx, two, d, save)
}

// halfOf is what the other disk's backup says of a disk, but for its place.
func (e *env) halfOf(path string, boots bool) (manifest.Pair, error) {
	f, err := e.sys.Look(path)
	p := manifest.Pair{Size: f.Disk.Size, ID: diskID(f), Boots: boots}
	return p, err
}

// diskID is the ID of a disk's table; "" where there is none.
func diskID(f disk.Facts) string {
	if f.Holds == disk.Blank || f.Holds == disk.Untold {
		return ""
	}
	return f.Holds
}

// behind is what follows the output's name where what is made is to be read
// again: which snapshot it is.
func (o *backupOptions) behind() string {
	if o.snapshot.id == "" {
		return ""
	}
	return "@" + o.snapshot.series + "/" + o.snapshot.id
}

// A running is where the running system lies: on one disk or two.
type running struct {
	root  string
	boot  string // the disk that boots it; "" = the root's
	point string // where that one's part is mounted
}

// runningDisks tells where the running system lies, to who may freeze it.
func (e *env) runningDisks() (d running, err error) {
	if err := mayFreeze(); err != nil {
		return d, err
	}
	if d.root, err = live.RootDisk(e.sys); err == nil {
		d.boot, d.point, err = live.BootDisk(e.sys, d.root)
	}
	if err != nil {
		err = refusal(err)
	}
	return d, err
}

// nodes are the disks in the order in which they are saved.
func (d running) nodes() []string {
	if d.boot == "" {
		return []string{d.root}
	}
	return []string{d.boot, d.root}
}

// bootName is the name for the image of the disk that boots: "pi.img.zst" has
// "pi.boot.img.zst" beside it.
func bootName(name string) string {
	dir, base := path.Split(name)
	stem, ext, _ := strings.Cut(base, ".")
	return dir + stem + ".boot." + ext
}

// saveRunningTwo saves the disk that boots, then the root's, and then looks
// whether the first one has held still meanwhile: if so, both are of the instant
// at which the root was frozen. Services are stopped for that one.
func (e *env) saveRunningTwo(ctx context.Context, two [2]backupOptions, d running, save func(*origin, backupOptions) error) error {
	first := two[0]
	first.live.beforeFreeze, first.live.afterThaw = nil, nil
	return e.inOrder(
		func() error { return e.withLive(ctx, d.boot, first, save) },
		func() error { return e.withLive(ctx, d.root, two[1], save) },
		func() error { return e.heldStill(ctx, first.to+first.behind(), d.boot) },
	)
}

// inOrder does one step after the other, to the first that fails. What each has
// reservations about is one error in the end.
func (e *env) inOrder(steps ...func() error) error {
	var all reservedError
	for _, step := range steps {
		e.show = nil
		err := step()
		var reserved reservedError
		if errors.As(err, &reserved) {
			all.reservations, err = append(all.reservations, reserved.reservations...), nil
		}
		if err != nil {
			return err
		}
	}
	if len(all.reservations) > 0 {
		return all
	}
	return nil
}

// withRunningMerged gives the running system to be saved as one disk: where it
// lies on two, the one that boots it is in front.
func (e *env) withRunningMerged(ctx context.Context, o backupOptions, save func(*origin) error) error {
	d, err := e.runningDisks()
	if err != nil {
		return err
	}
	if d.boot == "" {
		return e.withLive(ctx, d.root, o, func(src *origin, _ backupOptions) error { return save(src) })
	}
	e.logf("%s lies on %s, which boots this system: its parts come before those of %s", d.point, d.boot, d.root)
	return e.withLive(ctx, d.boot, o, func(boot *origin, _ backupOptions) error {
		return e.withLive(ctx, d.root, o, func(root *origin, _ backupOptions) error {
			before, err := boot.running.Written()
			if err != nil {
				return err
			}
			boot.place = d.boot // / is the root's disk
			both, err := e.merge(boot, root)
			if err != nil {
				return err
			}
			return e.inOrder(
				func() error { return save(both) },
				func() error { return e.unwritten(boot, before, d.boot) },
			)
		})
	})
}

// unwritten is a reservation where the disk that boots was written to since.
func (e *env) unwritten(boot *origin, before int64, name string) error {
	if e.dry {
		return nil
	}
	unix.Sync() // what is still in memory is younger than what was saved, too
	now, err := boot.running.Written()
	if err != nil || now == before {
		return err
	}
	return e.reserve(fmt.Sprintf("%s was written to meanwhile: what boots may be older than the root, and a kernel may not fit its modules; clone once more", name))
}

// reserve says what is not as it should be.
func (e *env) reserve(text string) error {
	if !e.json {
		fmt.Fprintf(e.stdout, "  but: %s\n", text)
	}
	return reservedError{[]string{text}}
}

// heldStill compares what was saved of the disk that boots with that disk.
func (e *env) heldStill(ctx context.Context, place, boot string) error {
	if e.dry {
		return nil
	}
	src, err := e.openOrigin(ctx, place, image.Options{Logf: e.logf})
	if err != nil {
		return err
	}
	unix.Sync() // what is still in memory is younger than what was saved, too
	c, err := e.compareTo(ctx, src, boot)
	if err = errors.Join(err, src.Close()); err != nil || len(c.Differing) == 0 {
		return err
	}
	return e.reserve(fmt.Sprintf("%s was written to while the root was saved: its backup is older, and a kernel may not fit its modules; back up once more", boot))
}

// compareTo compares a backup with a disk. What lies on a server is not fetched
// where the disk has it.
func (e *env) compareTo(ctx context.Context, src *origin, path string) (*clone.Comparison, error) {
	facts, err := e.sys.Look(path)
	if err != nil {
		return nil, err
	}
	seed, err := e.seed(src, facts)
	if err != nil {
		return nil, err
	}
	if seed != nil {
		defer seed.Close()
	}
	now, err := disk.OpenSource(e.sys, path)
	if err != nil {
		return nil, err
	}
	if e.divert == nil {
		e.showProgress()
	}
	c, err := clone.Compare(ctx, src.Source, src.head, now, e.meter)
	e.show.stop()
	return c, errors.Join(err, now.Close())
}
