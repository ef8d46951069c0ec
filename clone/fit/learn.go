package fit

import (
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
	fs, err := ext4.Open(paddedReader(head), size)
	if err != nil {
		return nil, refusal(err)
	}
	f, err := newFacts(fs)
	if err != nil {
		return nil, err
	}
	if fs.Super().Errors {
		return nil, &RefusedError{Damaged, "the kernel found errors in it"}
	}
	if f.geo.Descriptors().Bounds().End() > int64(len(head)) {
		return nil, &RefusedError{Scattered, "its group descriptors do not all lie at its start, and this source can be read only once"}
	}
	if err := f.learnGroups(fs); err != nil {
		return nil, refusal(err)
	}
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
	inside := extent.Extent{Off: g.First * g.Block, Len: (d.room - g.First) * g.Block}
	used := p.tables.Clip(inside)
	for i := range g.GroupsOf(d.room) {
		set, known, err := p.groupUsed(i, now)
		if err != nil {
			return err
		}
		if !known && len(set) == 0 {
			set = extent.Of(g.Extent(i))
		}
		used = used.Union(set)
		if known && !p.o.Facts.Dirty {
			d.eachBlock(extent.Of(g.Extent(i)).Clip(inside).Subtract(set), func(r run) {
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
	if i := max(0, v-g.First) / g.GroupBlocks; !l.known || l.group != i {
		var err error
		l.group = i
		if l.used, l.known, err = p.groupUsed(i, v); err != nil {
			return nil, err
		}
	}
	here := extent.Extent{Off: v * g.Block, Len: n * g.Block}
	set := l.used.Union(p.tables).Clip(here)
	if b == nil || l.known && !p.o.Facts.Dirty {
		return set, nil
	}
	var data extent.Set
	err := p.dev.eachData(v, b, func(v int64, b []byte) error {
		data = data.Append(extent.Extent{Off: v * g.Block, Len: int64(len(b))})
		return nil
	})
	return set.Union(data), err
}

// groupUsed is what the bitmap of group i says, if it lies before block now and
// is right.
func (p *Parker) groupUsed(i, now int64) (extent.Set, bool, error) {
	f := p.o.Facts
	x := f.groups[i]
	if x.Unwritten {
		return p.tables.Clip(f.geo.Extent(i)), true, nil
	}
	if x.BlockBitmap >= now {
		return nil, false, nil
	}
	bitmap := make([]byte, f.Block)
	if err := p.dev.readBlocks(x.BlockBitmap, bitmap); err != nil {
		return nil, false, err
	}
	set, known := f.geo.Used(i, x, bitmap)
	return set, known, nil
}
