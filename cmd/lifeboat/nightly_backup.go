package main

import (
	"context"
	"io/fs"
	"path"

	"golang.org/x/sys/unix"

	"lifeboat/clone/disk"
	"lifeboat/clone/image"
	"lifeboat/clone/live"
	"lifeboat/internal/nightly"
)

// nightlyBackup makes the snapshots of nightly runs.
type nightlyBackup struct {
	e     *env
	vault *nightly.Vault
}

var _ nightly.Backup = nightlyBackup{}

// Open opens the folder of this Pi's images, or the repository.
func (b nightlyBackup) Open(ctx context.Context, h nightly.Host, s nightly.Settings, place string, known bool) (nightly.Shelf, error) {
	if s.Type == nightly.SnapshotType {
		return b.openRepo(ctx, s, nightly.Below(place, s.Folder), known)
	}
	return imageShelf{nightly.Folder{Path: nightly.Below(place, h.SeriesName(s))}, b.e}, nil
}

// Estimate sums up what the mounted parts have in use; other parts count whole.
func (b nightlyBackup) Estimate(ctx context.Context, s nightly.Settings, place string) (nightly.Estimate, error) {
	if s.From != "/" {
		return b.estimateStill(ctx, s)
	}
	var all nightly.Estimate
	d, err := b.e.runningDisks()
	if err != nil {
		return all, err
	}
	for _, node := range d.nodes() {
		if err := live.Check(b.e.sys, node, place); err != nil {
			return all, refusal(err)
		}
		facts, err := b.e.sys.Look(node)
		if err != nil {
			return all, err
		}
		used, err := b.e.usedBy(facts.Disk)
		if err != nil {
			return all, err
		}
		all.Used, all.Size = all.Used+used, all.Size+facts.Disk.Size
	}
	return all, nil
}

// estimateStill looks at a disk that nobody uses.
func (b nightlyBackup) estimateStill(ctx context.Context, s nightly.Settings) (nightly.Estimate, error) {
	src, err := b.e.openOrigin(ctx, s.From, image.Options{UsedOnly: true})
	if err != nil {
		return nightly.Estimate{}, err
	}
	return nightly.Estimate{Used: src.head.Used(), Size: src.head.Size}, src.Close()
}

// usedBy is how many bytes a disk's parts have in use, as the kernel counts.
func (e *env) usedBy(d disk.Disk) (int64, error) {
	text, err := fs.ReadFile(e.sys.Proc, "self/mountinfo")
	if err != nil {
		return 0, err
	}
	mounts, err := disk.ParseMounts(string(text))
	if err != nil {
		return 0, err
	}
	used := int64(0)
	for _, p := range d.Parts {
		number, err := fs.ReadFile(e.sys.Sys, path.Join("class/block", p.Name, "dev"))
		if err != nil {
			return 0, err
		}
		no, err := disk.ParseNumber(string(number))
		if err != nil {
			return 0, err
		}
		used += usedPart(p, no, mounts)
	}
	if len(d.Parts) == 0 {
		used = d.Size
	}
	return used, nil
}

func usedPart(p disk.Partition, no disk.Number, mounts []disk.Mount) int64 {
	for _, m := range mounts {
		var st unix.Statfs_t
		if m.Number == no && unix.Statfs(m.Point, &st) == nil {
			return int64(st.Blocks-st.Bfree) * int64(st.Bsize)
		}
	}
	return p.Extent.Len
}
