package main

import (
	"context"
	"time"

	"lifeboat/clone/disk"
)

// watchEvery is how often the rescue system looks for disks that came or went.
const watchEvery = 2 * time.Second

// watch tells of disks that are plugged in and pulled, until ctx ends. It waits
// while a menu is being drawn, and tells afterwards.
func (d *desk) watch(ctx context.Context) {
	before, err := d.disks()
	if err != nil {
		d.sayf("lifeboat: disks are not watched: %v", err)
		return
	}
	for ctx.Err() == nil {
		pause(ctx, watchEvery)
		now, err := d.disks()
		if err != nil {
			continue
		}
		came, went := compareDisks(before, now)
		before = now
		if len(came)+len(went) > 0 {
			d.drawing.Lock()
			d.tellDisks(came, went)
			d.drawing.Unlock()
		}
	}
}

func (d *desk) tellDisks(came, went []disk.Disk) {
	for _, one := range went {
		d.say("gone: %s", diskWords(one))
	}
	for _, one := range came {
		d.say("new: %s", diskWords(one))
	}
}

// compareDisks tells which disks, or cards in readers, are there now and were
// not before, and the other way round.
func compareDisks(before, now []disk.Disk) (came, went []disk.Disk) {
	type key struct {
		name string
		seq  uint64
		size int64
	}
	keyOf := func(d disk.Disk) key { return key{d.Name, d.Seq, d.Size} }
	had, has := map[key]bool{}, map[key]bool{}
	for _, d := range before {
		had[keyOf(d)] = true
	}
	for _, d := range now {
		has[keyOf(d)] = true
		if !had[keyOf(d)] {
			came = append(came, d)
		}
	}
	for _, d := range before {
		if !has[keyOf(d)] {
			went = append(went, d)
		}
	}
	return came, went
}
