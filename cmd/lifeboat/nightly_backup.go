package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/image"
	"lifeboat/clone/live"
	"lifeboat/internal/nightly"
)

// imageBackup makes the snapshots of a nightly run: an image file each.
type imageBackup struct{ e *env }

var _ nightly.Backup = imageBackup{}

// Estimate sums up what the mounted parts have in use; other parts count whole.
func (b imageBackup) Estimate(ctx context.Context, s nightly.Settings, folder string) (nightly.Estimate, error) {
	if s.From != "/" {
		return b.estimateStill(ctx, s)
	}
	if os.Geteuid() != 0 {
		return nightly.Estimate{}, &clone.Refusal{Err: errors.New("only root may freeze the running system"), Hint: "call it with sudo"}
	}
	node, err := live.RootDisk(b.e.sys)
	if err == nil {
		err = live.Check(b.e.sys, node, folder)
	}
	if err != nil {
		return nightly.Estimate{}, refusal(err)
	}
	facts, err := b.e.sys.Look(node)
	if err != nil {
		return nightly.Estimate{}, err
	}
	used, err := b.e.usedBy(facts.Disk)
	return nightly.Estimate{Used: used, Size: facts.Disk.Size}, err
}

// estimateStill looks at a disk that nobody uses.
func (b imageBackup) estimateStill(ctx context.Context, s nightly.Settings) (nightly.Estimate, error) {
	src, err := b.e.openOrigin(ctx, s.From, image.Options{})
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

// Save makes an image. It is read back before it gets its name.
func (b imageBackup) Save(ctx context.Context, r nightly.Request) (nightly.Saved, error) {
	var saved nightly.Saved
	o := backupOptions{from: r.Settings.From, to: r.File, level: r.Settings.Level}
	o.live.beforeFreeze, o.live.afterThaw = r.BeforeFreeze, r.AfterThaw
	b.e.divert = r.Logf
	defer func() { b.e.divert = nil }()
	save := func(src *origin) error {
		sink, err := b.e.openSink(src, o)
		if err != nil {
			return err
		}
		tail, err := clone.Save(ctx, pacedSource{src.Source, r.Pace}, src.head, sink, b.e.meter)
		if err == nil && tail.Live != nil {
			saved.FrozenMS = tail.Live.FrozenMS
		}
		return err
	}
	err := b.from(ctx, o, r, save)
	var reserved reservedError
	if errors.As(err, &reserved) {
		saved.Reservations, err = reserved.reservations, nil
	}
	if err != nil {
		err = fmt.Errorf("%s → %s: %w", o.from, o.to, err)
	}
	return saved, err
}

// from opens what is saved. A disk that nobody uses has no freeze, so what is to
// be stopped for it is stopped for the whole copy.
func (b imageBackup) from(ctx context.Context, o backupOptions, r nightly.Request, save func(*origin) error) error {
	if o.from == "/" {
		return b.e.withRunning(ctx, o.to, o.live, save)
	}
	if r.BeforeFreeze != nil {
		defer r.AfterThaw()
		if err := r.BeforeFreeze(ctx); err != nil {
			return err
		}
	}
	src, err := b.e.openOrigin(ctx, o.from, image.Options{})
	if err != nil {
		return err
	}
	return errors.Join(save(src), src.Close())
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
