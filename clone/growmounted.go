package clone

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"lifeboat/clone/disk"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
)

// InUse makes a growth one of a disk that is in use: its part must be mounted,
// and nothing but its end may change. f is the look at the disk that the growth
// was planned from.
func (g *Growth) InUse(sys *disk.Sys, f disk.Facts) error {
	if len(g.Steps) == 0 {
		return nil
	}
	if g.Part == 0 {
		return refuse("unmount it first", "%s has no partition table", g.Target.Path)
	}
	for _, e := range g.Table.Entries {
		i := slices.IndexFunc(g.Head.Table.Entries, func(was manifest.Entry) bool { return was.Num == e.Num })
		was := g.Head.Table.Entries[i].Extent
		moved := e.Extent != was && e.Num != g.Part && !e.Extended || e.Extent.Off != was.Off
		if moved {
			return refuse("put the card into another computer, and give its disk",
				"part %d would have to move, which cannot be while the disk is in use", e.Num)
		}
	}
	part, ok := kernelPart(f.Disk, g.Part)
	if !ok {
		return refuse("", "the kernel does not know part %d of %s", g.Part, g.Target.Path)
	}
	point, _, ok := sys.MountPoint(part)
	if !ok {
		return refuse("mount it, or unmount all of the disk", "part %d of %s, which would grow, is not mounted, but the disk is in use", g.Part, g.Target.Path)
	}
	g.Mount = point
	return nil
}

func kernelPart(d disk.Disk, num int) (disk.Partition, bool) {
	i := slices.IndexFunc(d.Parts, func(p disk.Partition) bool { return p.Num == num })
	if i < 0 {
		return disk.Partition{}, false
	}
	return d.Parts[i], true
}

// GrowMounted carries out a growth of a disk in use, which InUse has passed. An
// error behind the first write is a *TouchedError; the disk boots even then, and
// the same again continues.
func (r Runner) GrowMounted(ctx context.Context, sys *disk.Sys, g *Growth, f disk.Facts, consent disk.Consent) error {
	src, err := disk.OpenSource(sys, f.Disk.Path)
	if err != nil {
		return err
	}
	defer src.Close()
	narrow, err := g.narrow(src, f.Disk)
	if err != nil {
		return err
	}
	if narrow.Is.Len > narrow.Was.Len {
		touched, err := disk.GrowPart(ctx, sys, f, narrow, consent)
		if err != nil && touched {
			err = &TouchedError{err, true}
		}
		if err != nil {
			return err
		}
	} else if err := consent(ctx, f); err != nil {
		return err
	}
	part, _ := g.Head.Part(g.Part)
	if err := filesystem.GrowMounted(g.Mount, part.FS, narrow.Is.Len); err != nil {
		return &TouchedError{err, true}
	}
	now, err := filesystem.Probe(io.NewSectionReader(src, narrow.Is.Off, narrow.Is.Len), narrow.Is.Len)
	if err == nil && now.Size < narrow.Is.Len-slack {
		err = fmt.Errorf("its file system has %d bytes in a part of %d", now.Size, narrow.Is.Len)
	}
	if err != nil {
		return &TouchedError{fmt.Errorf("part %d after it was grown: %w", g.Part, err), true}
	}
	return nil
}

// narrow makes of the new table what disk.GrowPart takes: only the sectors that
// change.
func (g *Growth) narrow(r io.ReaderAt, d disk.Disk) (disk.Growth, error) {
	is, _ := g.place(g.Part)
	shown, _ := kernelPart(d, g.Part)
	narrow := disk.Growth{Num: g.Part, Was: shown.Extent, Is: is}
	if is == g.was {
		return narrow, nil // the table says so already
	}
	rec := &recorder{r: r}
	if err := layout.Write(rec, g.Table, d.Size, d.Sector); err != nil {
		return narrow, err
	}
	for _, s := range rec.writes {
		if s.Off == 0 {
			keepLines(s.Was, s.Is)
		}
		if string(s.Was) != string(s.Is) {
			narrow.Writes = append(narrow.Writes, s)
		}
	}
	return narrow, nil
}

// A recorder takes what would be written, and writes nothing.
type recorder struct {
	r      io.ReaderAt
	writes []disk.Sectors
}

func (c *recorder) ReadAt(p []byte, off int64) (int, error) { return c.r.ReadAt(p, off) }

func (c *recorder) WriteAt(p []byte, off int64) (int, error) {
	was := make([]byte, len(p))
	if _, err := c.r.ReadAt(was, off); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	c.writes = append(c.writes, disk.Sectors{Off: off, Was: was, Is: slices.Clone(p)})
	return len(p), nil
}

// The lines of sector 0: UEFI 2.10, 5.2.1.
const (
	mbrLines, mbrLine  = 446, 16
	mbrEnd, mbrLength  = 5, 12 // in a line: the end in CHS, the number of sectors
	mbrStart, mbrMagic = 8, 510
)

// keepLines takes back all that is does not say of a later end: other programs
// fill the fields that nobody reads in other ways.
func keepLines(was, is []byte) {
	for at := mbrLines; at < mbrMagic; at += mbrLine {
		w, i := was[at:at+mbrLine], is[at:at+mbrLine]
		if binary.LittleEndian.Uint32(i[mbrLength:]) <= binary.LittleEndian.Uint32(w[mbrLength:]) {
			copy(i, w)
			continue
		}
		copy(i[:mbrEnd], w)
		copy(i[mbrStart:mbrLength], w[mbrStart:])
	}
	copy(is[:mbrLines], was)
	copy(is[mbrMagic:], was[mbrMagic:])
}
