package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"lifeboat/clone/extent"
)

// A Growth is a part of a disk in use that is to end later, and the sectors of
// the partition table that say so.
type Growth struct {
	Num    int
	Was    extent.Extent // as the kernel sees it
	Is     extent.Extent // the same start, a later end
	Writes []Sectors     // in their order, sector 0 last; none where the table says so already
}

// Sectors are whole ones of the table, as they are and as they will be.
type Sectors struct {
	Off     int64
	Was, Is []byte
}

// GrowPart is the one way to write to a disk that is in use, and a narrow one: a
// running system whose disk became larger has no other. It lets one part, which
// has nothing behind it, end later.
//
// What it holds, whatever its caller says: each sector that it writes lies
// outside of all parts, as they are and as they will be; it holds now what it
// is said to hold; in sector 0 nothing changes but lengths, which become larger,
// and what CHS says of the ends. Consent is asked as by Claim. The kernel is
// told at the end; its file system is as large as before.
//
// touched tells whether something was written. Files are refused: they can be
// claimed.
func GrowPart(ctx context.Context, sys *Sys, f Facts, g Growth, consent Consent) (touched bool, err error) {
	what := func(err error) error { return fmt.Errorf("grow part %d of %s: %w", g.Num, f.Disk.Path, err) }
	if err := sys.mayGrow(f, g); err != nil {
		return false, what(err)
	}
	h, err := openHandle(f.Disk.Path, os.O_RDWR)
	if err != nil {
		return false, what(err)
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	t := &Target{handle: h, sys: sys, facts: f}
	err = pin(h, f)
	if err == nil {
		err = ask(ctx, consent, f)
	}
	if err == nil {
		err = errors.Join(t.holdsStill(), h.holdsSectors(g.Writes))
	}
	if err != nil {
		return false, what(err)
	}
	for _, s := range g.Writes {
		if err := h.writeSectors(s); err != nil {
			return true, what(err)
		}
	}
	arg := &blkpgPartition{Num: int32(g.Num), Start: g.Is.Off, Length: g.Is.Len}
	if err := blockPartition(h.cached, unix.BLKPG_RESIZE_PARTITION, arg); err != nil {
		return len(g.Writes) > 0, what(fmt.Errorf("tell the kernel: %w", err))
	}
	return true, nil
}

// mayGrow looks again, and holds the growth against what the kernel knows.
func (s *Sys) mayGrow(f Facts, g Growth) error {
	now, err := s.Look(f.Disk.Path)
	if err != nil {
		return err
	}
	if err := compare(f, now); err != nil {
		return err
	}
	switch {
	case f.File:
		return errors.New("it is a file, which is nobody's disk")
	case now.Disk.Size == 0:
		return &NoMediumError{f.Disk.Path}
	case now.Disk.ReadOnly:
		return &ReadOnlyError{f.Disk.Path}
	case g.Is.Off != g.Was.Off || g.Is.Len <= g.Was.Len || g.Is.End() > now.Disk.Size:
		return fmt.Errorf("from %v to %v it would not become larger at its end alone", g.Was, g.Is)
	}
	if err := growsAlone(now.Disk, g); err != nil {
		return err
	}
	if err := onlyTable(now.Disk, g); err != nil {
		return err
	}
	return s.oneWord(now)
}

// growsAlone: the part is the one that is meant, and has nothing behind it.
func growsAlone(d Disk, g Growth) error {
	var found bool
	for _, p := range d.Parts {
		if p.Num == g.Num {
			if found = p.Extent == g.Was; !found {
				return &ChangedError{d.Path, "part " + strconv.Itoa(p.Num), fmt.Sprint(g.Was), fmt.Sprint(p.Extent)}
			}
			continue
		}
		if p.Extent.Intersect(g.Is).Len > 0 {
			return fmt.Errorf("it would lie over part %d", p.Num)
		}
	}
	if !found {
		return errors.New("the kernel knows no such part")
	}
	return nil
}

// onlyTable holds that no byte of a part is written.
func onlyTable(d Disk, g Growth) error {
	for _, s := range g.Writes {
		e := extent.Extent{Off: s.Off, Len: int64(len(s.Is))}
		switch {
		case len(s.Is) != len(s.Was) || e.Len == 0 || e.Off%d.Sector != 0 || e.Len%d.Sector != 0 || e.Off < 0 || e.End() > d.Size:
			return fmt.Errorf("%v is no run of whole sectors", e)
		case e.Intersect(g.Is).Len > 0:
			return fmt.Errorf("%v lies in the part itself", e)
		}
		for _, p := range d.Parts {
			// Of an extended part the kernel shows the first sectors: a table.
			shown := p.Extent.Len <= max(1024, d.Sector)
			if !shown && e.Intersect(p.Extent).Len > 0 {
				return fmt.Errorf("%v lies in part %d", e, p.Num)
			}
		}
		if s.Off == 0 {
			if err := onlyEnds(s.Was, s.Is); err != nil {
				return err
			}
		}
	}
	return nil
}

// Within an entry of an MBR: flag, start in CHS, type; then its end in CHS.
const entryOffEnd = 5

// onlyEnds holds that in sector 0 nothing changes but where parts end, and that
// they end later.
func onlyEnds(was, is []byte) error {
	clip := func(b []byte) []byte {
		c := bytes.Clone(b)
		for i := range mbrEntries {
			e := c[mbrOffEntry+i*mbrEntrySize:][:mbrEntrySize]
			clear(e[entryOffEnd:entryOffStart])
			clear(e[entryOffCount:])
		}
		return c
	}
	if !bytes.Equal(clip(was), clip(is)) {
		return errors.New("sector 0 would change in more than the ends of parts")
	}
	for i := range mbrEntries {
		at := mbrOffEntry + i*mbrEntrySize + entryOffCount
		if binary.LittleEndian.Uint32(is[at:]) < binary.LittleEndian.Uint32(was[at:]) {
			return fmt.Errorf("in sector 0 entry %d would become smaller", i+1)
		}
	}
	return nil
}

// holdsSectors looks whether the table is still what the growth was made from.
func (h *handle) holdsSectors(writes []Sectors) error {
	for _, s := range writes {
		now := make([]byte, len(s.Was))
		if _, err := h.ReadAt(now, s.Off); err != nil {
			return err
		}
		if !bytes.Equal(now, s.Was) {
			return &ChangedError{h.path, fmt.Sprintf("partition table at byte %d", s.Off), "what was read", "another"}
		}
	}
	return nil
}

// writeSectors writes, waits until it is on the medium, and reads back.
func (h *handle) writeSectors(s Sectors) error {
	if _, err := h.WriteAt(s.Is, s.Off); err != nil {
		return err
	}
	if err := h.cached.Sync(); err != nil {
		return fmt.Errorf("sync: %w", cause(err))
	}
	now := make([]byte, len(s.Is))
	if err := h.readWide(now, s.Off); err != nil {
		return fmt.Errorf("read back the table at byte %d: %w", s.Off, err)
	}
	if !bytes.Equal(now, s.Is) {
		return fmt.Errorf("the table at byte %d reads back differently than it was written", s.Off)
	}
	return nil
}

// MountPoint is where a part is mounted, and the type of its file system: the
// root before all others. ok is false where it is not mounted.
func (s *Sys) MountPoint(p Partition) (point, fstype string, ok bool) {
	no, err := s.number(path.Join("class/block", p.Name))
	if err != nil {
		return "", "", false
	}
	mounts, err := s.mounts()
	if err != nil {
		return "", "", false
	}
	for _, m := range mounts {
		if m.Number == no && (!ok || m.Point == "/") {
			point, fstype, ok = m.Point, m.Type, true
		}
	}
	return point, fstype, ok
}
