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
)

// saveRunning saves the running system: its root's disk, and the disk that boots
// it, where that is another one.
func (e *env) saveRunning(ctx context.Context, o backupOptions) error {
	if err := mayFreeze(); err != nil {
		return err
	}
	root, err := live.RootDisk(e.sys)
	if err != nil {
		return refusal(err)
	}
	boot, point, err := live.BootDisk(e.sys, root)
	if err != nil {
		return refusal(err)
	}
	if boot == "" {
		if o.second != "" {
			return usage("the running system lies on one disk: there is no second one to be saved")
		}
		return e.withRunning(ctx, o.to, o.live, func(src *origin) error { return e.save(ctx, src, o) })
	}
	if o.second == "" {
		o.second = bootName(o.to)
	}
	if err := o.checkSecond(); err != nil {
		return err
	}
	e.logf("%s lies on %s, which boots this system: it is saved along, to %s", point, boot, o.second)
	return e.saveRunningTwo(ctx, o, root, boot)
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
// at which the root was frozen.
func (e *env) saveRunningTwo(ctx context.Context, o backupOptions, root, boot string) error {
	rootFacts, err := e.sys.Look(root)
	if err != nil {
		return err
	}
	bootFacts, err := e.sys.Look(boot)
	if err != nil {
		return err
	}
	first := o
	first.to, first.pair = o.second, pairOf(o.to, rootFacts, false)
	o.pair = pairOf(o.second, bootFacts, true)
	var all reservedError
	for _, step := range []func() error{
		func() error {
			return e.withLive(ctx, boot, first.to, o.live, func(src *origin) error { return e.save(ctx, src, first) })
		},
		func() error {
			return e.withLive(ctx, root, o.to, o.live, func(src *origin) error { return e.save(ctx, src, o) })
		},
		func() error { return e.heldStill(ctx, first, boot) },
	} {
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

func pairOf(file string, f disk.Facts, boots bool) *image.Pair {
	p := &image.Pair{File: path.Base(file), Size: f.Disk.Size, ID: f.Holds, Boots: boots}
	if p.ID == disk.Blank || p.ID == disk.Untold {
		p.ID = ""
	}
	return p
}

// heldStill compares the image of the disk that boots with that disk.
func (e *env) heldStill(ctx context.Context, o backupOptions, boot string) error {
	if e.dry {
		return nil
	}
	src, err := e.openOrigin(ctx, o.to, image.Options{Logf: e.logf})
	if err != nil {
		return err
	}
	unix.Sync() // what is still in memory is younger than the image, too
	now, err := disk.OpenSource(e.sys, boot)
	if err != nil {
		return errors.Join(err, src.Close())
	}
	e.showProgress()
	c, err := clone.Compare(ctx, src.Source, src.head, now, e.meter)
	e.show.stop()
	if err = errors.Join(err, now.Close(), src.Close()); err != nil {
		return err
	}
	if len(c.Differing) == 0 {
		return nil
	}
	text := fmt.Sprintf("%s was written to while the root was saved: its image is older, and a kernel may not fit its modules; back up once more", boot)
	if !e.json {
		fmt.Fprintf(e.stdout, "  but: %s\n", text)
	}
	return reservedError{[]string{text}}
}
