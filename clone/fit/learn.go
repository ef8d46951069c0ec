package fit

import (
	"errors"
	"io"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/ext4"
)

// HeadSize is how many bytes from the start of a part Learn wants: superblock
// and descriptors of 8 TiB with 4 KiB blocks lie in them.
const HeadSize = 4 << 20

// Learn reads the facts from the first bytes of a part of size bytes, for a
// stream: what is in use is learned from the bitmaps as they come. The stream
// may then bring all bytes, or those in use.
func Learn(head []byte, size int64) (*Facts, error) {
	r := paddedReader(head)
	fs, err := ext4.Open(r, size)
	var doubt *ext4.UnsureError
	switch {
	case errors.As(err, &doubt):
		return nil, &RefusedError{Damaged, doubt.Why}
	case errors.Is(err, ext4.ErrNotExt):
		return nil, &RefusedError{Damaged, err.Error()}
	case err != nil:
		return nil, err
	}
	s := fs.Super()
	f := &Facts{Block: s.Block, Size: s.Size, Dirty: s.Dirty, super: make([]byte, superSize), free: s.Free, usedInodes: s.Inodes - s.FreeInodes}
	copy(f.super, head[superOff:])
	if err := refuse(f.super); err != nil {
		return nil, err
	}
	switch {
	case s.Errors:
		return nil, &RefusedError{Damaged, "the kernel found errors in it"}
	case s.Size > size:
		return nil, &RefusedError{Damaged, "it is larger than its part"}
	}
	if f.geo, err = parseGeometry(f.super, s.Size); err != nil {
		return nil, err
	}
	g := &f.geo
	if n := g.descBlocks(g.groupCount(g.blocks)); n > g.metaBG || g.descBlock(n)*g.block > int64(len(head)) {
		return nil, &RefusedError{Scattered, "its group descriptors do not all lie at its start, and this source can be read only once"}
	}
	if err := g.readGroups(r); err != nil {
		return nil, err
	}
	f.Tables = g.tables()
	return f, nil
}

// A paddedReader is the start of something; zeros follow.
type paddedReader []byte

func (p paddedReader) ReadAt(b []byte, off int64) (int, error) {
	clear(b)
	if off < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	if off < int64(len(p)) {
		copy(b, p[off:])
	}
	return len(b), nil
}

// A lesson is what the stream has told so far of what is in use.
type lesson struct {
	inside bool       // the groups below the target's end were looked at
	group  int64      // the last group that was looked at
	used   extent.Set // its bytes in use
	known  bool       // its bitmap came, and is right
}

// learnInside looks at the bitmaps below the target's end, once: where parking
// will be, and what came there that is not in use.
func (p *Parker) learnInside(now int64) error {
	if p.lesson.inside {
		return nil
	}
	p.lesson.inside = true
	g, d := &p.o.Facts.geo, p.dev
	inside := extent.Extent{Off: g.first * g.block, Len: (d.room - g.first) * g.block}
	used := p.tables.Clip(inside)
	for i := range g.groupCount(d.room) {
		set, known, err := p.groupUsed(i, now)
		if err != nil {
			return err
		}
		if !known && len(set) == 0 {
			set = extent.Of(g.extent(i))
		}
		used = used.Union(set)
		if known && !p.o.Facts.Dirty {
			d.eachBlock(extent.Of(g.extent(i)).Clip(inside).Subtract(set), func(r run) {
				if r.to != hole {
					d.point(r.at, r.n, hole)
				}
			})
		}
	}
	p.free = extent.Of(inside).Subtract(used)
	return nil
}

// learned is what of the n blocks from v on is in use, all in one group. Where the
// stream has not told it, it is what is not zero.
func (p *Parker) learned(v, n int64, b []byte) (extent.Set, error) {
	g, l := &p.o.Facts.geo, &p.lesson
	if i := max(0, v-g.first) / g.perGroup; !l.known || l.group != i {
		var err error
		l.group = i
		if l.used, l.known, err = p.groupUsed(i, v); err != nil {
			return nil, err
		}
	}
	here := extent.Extent{Off: v * g.block, Len: n * g.block}
	set := l.used.Union(p.tables).Clip(here)
	if b == nil || l.known && !p.o.Facts.Dirty {
		return set, nil
	}
	var data extent.Set
	err := p.dev.eachData(v, b, func(v int64, b []byte) error {
		data = data.Append(extent.Extent{Off: v * g.block, Len: int64(len(b))})
		return nil
	})
	return set.Union(data), err
}

// groupUsed is what the bitmap of group i says, if it lies before block now and
// is right.
func (p *Parker) groupUsed(i, now int64) (extent.Set, bool, error) {
	g := &p.o.Facts.geo
	x := g.groups[i]
	if x.bitmapUninit {
		return p.tables.Clip(g.extent(i)), true, nil
	}
	if x.blockBitmap >= now {
		return nil, false, nil
	}
	bitmap := make([]byte, g.block)
	if err := p.dev.readBlocks(x.blockBitmap, bitmap); err != nil {
		return nil, false, err
	}
	set, ok := g.bitmapRuns(i, bitmap)
	return set, ok, nil
}

// extent are the bytes of group i.
func (g *geometry) extent(i int64) extent.Extent {
	from := g.first + i*g.perGroup
	return extent.Extent{Off: from * g.block, Len: min(g.perGroup, g.blocks-from) * g.block}
}

// bitmapRuns are the bytes that the bitmap of group i says are in use; false
// where it contradicts the group's descriptor.
func (g *geometry) bitmapRuns(i int64, bitmap []byte) (extent.Set, bool) {
	x, all := g.groups[i], g.extent(i)
	unit := g.cluster * g.block
	clusters := (all.Len + unit - 1) / unit
	full := g.perGroup / g.cluster / 8
	if full > int64(len(bitmap)) || clusters > 8*full {
		return nil, false
	}
	if sum := crc32c(g.seed, bitmap[:full]); g.ro&roMetadataCsum != 0 && sum&x.csumMask != x.bitmapCsum {
		return nil, false
	}
	var set extent.Set
	free := clusters
	for c := range clusters {
		if bitmap[c/8]>>(c%8)&1 != 0 {
			set = set.Append(extent.Extent{Off: all.Off + c*unit, Len: min(unit, all.Len-c*unit)})
			free--
		}
	}
	return set, free == x.freeClusters
}
