package clone

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/filesystem/swap"
	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
)

// wipe destroys the old table, for good: nothing behind this finds the old disk.
// Of a part that stays, no byte is written, though a GPT's backup could lie there.
func (e *execution) wipe(ctx context.Context) error {
	e.Meter.Phase("wipe", -1)
	if hold := e.fill.hold; hold.Len > 0 {
		if err := errors.Join(e.target.WriteZeros(ctx, hold), e.target.Sync(ctx)); err != nil {
			return err
		}
	}
	return layout.Wipe(sparing{synced{ctx, e.target}, e.plan.kept()}, e.plan.Target.Size, e.plan.Target.Sector)
}

func (e *execution) makeSwap(s Step) error {
	part, _ := e.plan.Head.Part(s.Part)
	info := swap.Info{UUID: part.FS.UUID, Label: part.FS.Label, PageSize: part.FS.Block}
	if to, ok := e.plan.newID(s.Part); ok {
		info.UUID = to
	}
	return swap.Make(e.target.Window(s.Dst), s.Dst.Len, info)
}

// check runs the file system's own checker. It replays the journal of a card
// that lost power. What is clean and stays as it is, is not written to: the
// target can be compared with the image later.
func (e *execution) check(ctx context.Context, s Step) error {
	e.Meter.Phase(describe(s), -1)
	if err := e.writeHeld(ctx); err != nil {
		return err
	}
	fs, err := filesystem.Probe(e.target.Window(s.Dst), s.Dst.Len)
	if err != nil {
		return err
	}
	part, _ := e.plan.Head.Part(s.Part)
	return e.onDevice(ctx, s, "not checked", func(path string) error {
		clean, err := e.Tools.Clean(ctx, fs, path)
		if err != nil || clean && !e.plan.alters(s.Part) {
			return err
		}
		err = e.Tools.Check(ctx, fs, path)
		if err == nil && !clean && e.mapsLied(part, fs) {
			e.reserve("part %d: its file system is damaged on the source too, and was repaired here: what files had there that its maps call free was not copied; "+
				"e2fsck on the source, and then a new copy, brings it", s.Part)
		}
		if lost := e.report.Unreadable.Clip(part.Extent); err != nil && ctx.Err() == nil && len(lost) > 0 {
			e.reserve("part %d has lost too much for its checker to repair: %v", s.Part, err)
			return nil
		}
		if err != nil && ctx.Err() == nil && part.Why != "" {
			// All its bytes were copied because it is not understood: no wonder.
			e.reserve("part %d is a copy of all bytes, but its checker does not approve of them: %v", s.Part, err)
			return nil
		}
		return err
	})
}

// mapsLied tells whether a copy of used blocks that e2fsck found damage in may
// lack some: its journal explains nothing, and nothing here has changed it.
func (e *execution) mapsLied(part *manifest.Part, fs manifest.FS) bool {
	return filesystem.IsExt(fs.Type) && !fs.Dirty && part.Why == "" && e.fill.squeeze == nil
}

// alters tells whether a part's file system is changed behind its check: by
// programs that want it dated.
func (p *Plan) alters(part int) bool {
	_, renamed := p.newID(part)
	return renamed || slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Op == Resize && s.Part == part })
}

// writeHeld writes the front of a disk without a table, which was held back until
// everything else was read back: superblock or boot sector last. Programs may
// change it from then on.
func (e *execution) writeHeld(ctx context.Context) error {
	hold := e.fill.hold
	if hold.Len == 0 || !e.copied {
		return nil
	}
	e.fill.hold = extent.Extent{}
	last := min(heldLast, hold.Len)
	for _, cut := range []extent.Extent{{Off: last, Len: hold.Len - last}, {Off: 0, Len: last}} {
		if _, err := e.target.WriteAt(e.fill.held[cut.Off:cut.End()], hold.Off+cut.Off); err != nil {
			return err
		}
		if err := e.target.Sync(ctx); err != nil {
			return err
		}
	}
	if err := e.target.DropCache(); err != nil {
		return err
	}
	got := make([]byte, hold.Len)
	if _, err := e.target.ReadAt(got, hold.Off); err != nil {
		return fmt.Errorf("read back %d bytes at %d: %w", hold.Len, hold.Off, noEOF(err))
	}
	if !bytes.Equal(got, e.fill.held) {
		return errors.New("its first bytes read back differently than they were written: the card or its reader is faulty")
	}
	return nil
}

// heldLast is where the superblock of ext and the boot sector of FAT lie.
const heldLast = 4096

func (e *execution) resize(ctx context.Context, s Step) error {
	e.Meter.Phase(describe(s), -1)
	fs, err := filesystem.Probe(e.target.Window(s.Dst), s.Dst.Len)
	if err != nil {
		return err
	}
	if !filesystem.CanGrow(fs) {
		e.reserve("part %d has a larger place now, but its file system (%s) cannot grow here", s.Part, fs.Type)
		return nil
	}
	return e.onDevice(ctx, s, "not grown to its part", func(path string) error {
		err := e.Tools.Grow(ctx, fs, path, s.Dst.Len)
		if errors.Is(err, filesystem.ErrNotGrown) {
			e.reserve("part %d has a larger place now, and its file system the size that it had: %v", s.Part, err)
			return nil
		}
		return err
	})
}

// onDevice lends a part to a program as a block device. Where the kernel gives
// no loop device, which is so for an ordinary user with an image file, the work
// is left out and told.
func (e *execution) onDevice(ctx context.Context, s Step, without string, do func(path string) error) error {
	dev, err := e.target.Window(s.Dst).Device(ctx)
	if errors.Is(err, disk.ErrNoLoop) {
		e.reserve("part %d was %s: that needs a loop device, which only root gets", s.Part, without)
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(do(dev.Path()), dev.Close())
}

// writeTable makes the target whole: the table, its first sector last, and one
// more look at what is there now.
func (e *execution) writeTable(ctx context.Context) error {
	e.Meter.Phase("table", -1)
	if err := e.writeHeld(ctx); err != nil {
		return err
	}
	if err := e.target.Sync(ctx); err != nil {
		return err
	}
	size, sector := e.plan.Target.Size, e.plan.Target.Sector
	if e.plan.Table.Kind != manifest.NoTable {
		if err := layout.Write(synced{ctx, e.target}, e.plan.Table, size, sector); err != nil {
			return err
		}
	}
	if err := errors.Join(e.target.Sync(ctx), e.target.DropCache()); err != nil {
		return err
	}
	if err := readsBack(e.target, e.plan.Table, size, sector); err != nil {
		return err
	}
	if err := e.target.Reread(ctx, kernelParts(e.plan.Table)); err != nil {
		e.logf("the kernel does not take the new table yet: %v", err)
	}
	return nil
}

// kernelParts are the parts of a table as the kernel is to see them.
func kernelParts(t manifest.Table) []disk.Partition {
	var parts []disk.Partition
	for _, e := range t.Entries {
		parts = append(parts, disk.Partition{Num: e.Num, Extent: e.Extent})
	}
	return parts
}

// readsBack reads the table and compares.
func readsBack(r io.ReaderAt, want manifest.Table, size, sector int64) error {
	if want.Kind == manifest.NoTable {
		return nil
	}
	got, err := layout.Read(r, size, sector)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if !sameTable(got, want) {
		return errors.New("it reads back differently than it was written: the card is worn or fake, or its reader is faulty")
	}
	return nil
}

func sameTable(a, b manifest.Table) bool {
	return a.Kind == b.Kind && a.ID == b.ID && reflect.DeepEqual(a.Entries, b.Entries)
}

// synced lets layout sync between its writes.
type synced struct {
	ctx context.Context
	*disk.Target
}

func (s synced) Sync() error { return s.Target.Sync(s.ctx) }
