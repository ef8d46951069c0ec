package layout

import (
	"fmt"
	"math"
	"slices"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/internal/speech"
)

// A room is a part that holds data, or an empty extended part. A logical part
// has a head before it, for the record that holds its line.
type room struct {
	manifest.Entry
	old   extent.Extent
	head  int64 // bytes before the part that move with it
	slide bool
}

func (r *room) start() int64 { return r.Extent.Off - r.head }
func (r *room) end() int64   { return r.Extent.End() }

// moveTo takes head and line along.
func (r *room) moveTo(off int64) {
	if r.EBR != 0 {
		r.EBR += off - r.Extent.Off
	}
	r.Extent.Off = off
}

// A fitter lays rooms out, from the disk's start to its end.
type fitter struct {
	// config
	size, sector int64
	usable       int64 // end of what parts may use
	o            Options

	// state
	rooms []room // by place
	grow  int    // index of the part that grows; -1 = none
}

func newFitter(t manifest.Table, size, sector int64, o Options) *fitter {
	f := &fitter{size: size, sector: sector, usable: usableEnd(t, size, sector), o: o, grow: -1}
	ordered := inOrder(t)
	ext, first := extended(t)
	for _, e := range byPlace(t.Entries) {
		if e.Extended && len(logicals(t)) > 0 {
			continue // it follows
		}
		r := room{Entry: e, old: e.Extent, slide: slices.Contains(o.Slide, e.Num)}
		if e.EBR != 0 {
			// A chain whose records lie anywhere is left where it is.
			r.slide = r.slide && ordered
			switch {
			case first:
				r.head, first = e.Extent.Off-ext.Extent.Off, false
			case ordered:
				r.head = e.Extent.Off - e.EBR
			}
		}
		if _, asked := o.Sizes[e.Num]; e.Num == o.Grow && !asked {
			f.grow = len(f.rooms)
		}
		f.rooms = append(f.rooms, r)
	}
	return f
}

// usableEnd is the end of what parts may use. An MBR counts to 2³² sectors.
func usableEnd(t manifest.Table, size, sector int64) int64 {
	if t.Kind == manifest.GPT {
		return placeGPT(t, size, sector).usable.End()
	}
	return min(alignDown(size, sector), (math.MaxUint32+1)*sector)
}

// inOrder tells whether each record of the chain lies right before its part:
// as all tools make it, unless parts in the middle were removed and made anew.
func inOrder(t manifest.Table) bool {
	end := int64(0)
	for _, e := range logicals(t) {
		if e.EBR < end {
			return false
		}
		end = e.Extent.End()
	}
	return true
}

// layOut gives each part its size, and moves those that may move out of the way
// of those that became larger.
func (f *fitter) layOut() error {
	end := int64(0)
	for i := range f.rooms {
		r := &f.rooms[i]
		if err := f.resize(i); err != nil {
			return err
		}
		if r.start() < end {
			if !r.slide {
				return fmt.Errorf("part %d begins where part %d would end, and may not move", r.Num, f.rooms[i-1].Num)
			}
			r.moveTo(alignUp(end+r.head, moveAlign))
		}
		end = r.end()
	}
	return nil
}

// resize gives the part its asked size. The part that grows begins with the
// smallest that it may have.
func (f *fitter) resize(i int) error {
	r := &f.rooms[i]
	size, asked := f.o.Sizes[r.Num]
	if i == f.grow {
		size, asked = f.o.Min[r.Num]
		size = min(size, r.Extent.Len) // what it has is enough
	}
	if !asked {
		return nil
	}
	if size <= 0 || size > math.MaxInt64/4 {
		return fmt.Errorf("part %d cannot have a size of %d bytes", r.Num, size)
	}
	r.Extent.Len = alignUp(size, f.sector)
	return nil
}

// growAndSlide gives the room that is left to the part that grows, after moving
// to the end what may slide and lies behind it.
func (f *fitter) growAndSlide() error {
	last, limit := f.run()
	pos := limit
	for i := last; i > f.grow && i >= 0 && f.rooms[i].slide; i-- {
		r := &f.rooms[i]
		spare := pos - r.end()
		mayMove := f.grow >= 0 || spare < 0
		if mayMove && (spare < 0 || spare >= moveAlign) {
			r.moveTo(alignDown(pos-r.Extent.Len, moveAlign))
		}
		pos = r.start()
	}
	if f.grow >= 0 {
		f.growTo(pos)
	}
	return f.fits()
}

// growTo lets the part that grows end at limit, or a little before it.
func (f *fitter) growTo(limit int64) {
	r := &f.rooms[f.grow]
	end := alignDown(limit, growAlign)
	if r.old.End() <= limit {
		end = max(end, r.old.End()) // an odd end that it had before it may keep
	}
	r.Extent.Len = max(r.Extent.Len, alignDown(end-r.Extent.Off, f.sector))
}

// fits tells whether all lies on the disk now, and nothing over another.
func (f *fitter) fits() error {
	var missing, end int64
	for i := range f.rooms {
		r := &f.rooms[i]
		if over := end - r.start(); over > 0 {
			missing = max(missing, alignUp(over, moveAlign))
		}
		end = r.end()
	}
	missing = max(missing, end-f.usable)
	switch {
	case missing <= 0:
		return nil
	case f.capped():
		return fmt.Errorf("the parts would end at byte %d; an MBR with sectors of %d bytes ends at %d", f.usable+missing, f.sector, f.usable)
	}
	return &TooSmallError{missing}
}

// capped tells whether the disk is larger than an MBR can say.
func (f *fitter) capped() bool { return f.usable == (math.MaxUint32+1)*f.sector && f.size > f.usable }

// run finds the last part of those that slide behind the one that grows, and
// where they have to end.
func (f *fitter) run() (last int, limit int64) {
	limit = f.usable
	last = len(f.rooms) - 1
	if f.grow < 0 {
		return last, limit
	}
	for i := f.grow + 1; i < len(f.rooms); i++ {
		if !f.rooms[i].slide {
			return i - 1, f.rooms[i].start()
		}
	}
	return last, limit
}

// table is t with the rooms as its parts.
func (f *fitter) table(t manifest.Table) (manifest.Table, error) {
	was := t.Entries
	t.Entries, t.Notes = slices.Clone(was), nil
	for i := range t.Entries {
		e := &t.Entries[i]
		if j := slices.IndexFunc(f.rooms, func(r room) bool { return r.Num == e.Num }); j >= 0 {
			*e = f.rooms[j].Entry
		} else {
			e.Extent = f.follow(e.Extent)
		}
	}
	switch t.Kind {
	case manifest.MBR:
		t.Own = ownMBR(t, f.sector)
		if f.capped() {
			t.Notes = []speech.Text{speech.New("the disk has an MBR, which ends at 2³² sectors: the last %d bytes stay unused", f.size-f.usable)}
		}
	case manifest.GPT:
		t.Own = placeGPT(t, f.size, f.sector).own(f.sector)
		t.Hybrid = followHybrid(t.Hybrid, was, t.Entries, alignDown(f.size, f.sector))
	}
	return t, check(t, f.size, f.sector)
}

// follow gives the extended part the place of what it holds.
func (f *fitter) follow(ext extent.Extent) extent.Extent {
	off, oldLast, last, limit := int64(-1), int64(0), int64(0), f.usable
	for i := range f.rooms {
		r := &f.rooms[i]
		switch {
		case r.EBR != 0:
			if off < 0 {
				off = r.start()
			}
			oldLast, last = r.old.End(), r.end()
		case off >= 0:
			limit = min(limit, r.start()) // the primary part behind it
		}
	}
	end := last
	if last == oldLast {
		end = max(last, min(ext.End(), limit))
	}
	return extent.Extent{Off: off, Len: end - off}
}

// followHybrid gives each line of a hybrid MBR the place of the part that it
// stands for.
func followHybrid(lines, was, is []manifest.Entry, size int64) []manifest.Entry {
	lines = slices.Clone(lines)
	for i := range lines {
		x := &lines[i].Extent
		for j := range was {
			if was[j].Extent == *x {
				*x = is[j].Extent
				break
			}
		}
		x.Len = max(0, min(x.Len, size-x.Off))
	}
	return lines
}
