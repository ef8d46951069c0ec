package fit

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"lifeboat/clone/extent"
)

// A device shows a file system at its full size and keeps it in a smaller
// target. Each of its blocks is a hole, on the target at home (under its own
// number) or elsewhere, in memory, or still in the source.
//
// A place on the target is written only when nothing uses it, or by its only
// user. So nothing is lost as long as the different contents are not more than
// the places.
type device struct {
	// config
	block     int64 // size of a block, bytes
	blocks    int64 // that it shows
	room      int64 // blocks of the target
	headBlock int64 // holds the superblock: in memory until the very end
	maxSlots  int
	to        Target
	from      io.ReaderAt

	mu sync.Mutex
	// state
	table  runs // where blocks are
	users  runs // how many blocks use each place of the target
	taken  int64
	cursor int64 // places are searched downwards from here
	head   []byte
	slots  [][]byte
	idle   []int64 // slots
	dead   []run   // blocks whose content moved away, and changed there
	source runs    // of a block that was moved, where it came from
	moves  moves
	part   *partial
	stats  Stats
	fault  error // what went wrong first below the device
}

func newDevice(o Options, room int64) *device {
	bs := o.Facts.Block
	return &device{
		block: bs, blocks: o.Facts.Size / bs, room: room, headBlock: superBlock(bs),
		maxSlots: int(o.Memory / 2 / bs), to: o.To, from: o.From,
		cursor: room, head: make([]byte, bs), moves: newMoves(bs),
	}
}

// showSource makes the device show the source's blocks.
func (d *device) showSource() error {
	d.table.set(0, d.blocks, original)
	return extent.ReadFull(d.from, d.head, d.headBlock*d.block)
}

// point puts n blocks from v on in the place to, and lets go of where they were.
func (d *device) point(v, n int64, to place) {
	if to.kind() == physical {
		d.use(to.num(), n, 1)
	}
	d.table.each(v, v+n, func(r run) error {
		switch r.to.kind() {
		case physical:
			d.use(r.to.num(), r.n, -1)
		case memory:
			for i := range r.n {
				d.idle = append(d.idle, r.to.num()+i)
			}
		}
		return nil
	})
	d.table.set(v, n, to)
}

// use counts users of n places from p on.
func (d *device) use(p, n, change int64) {
	d.users.each(p, p+n, func(r run) error {
		now := r.to.num() + change
		switch {
		case now < 0:
			panic(fmt.Sprintf("BUG: place %d is used by %d", r.at, now))
		case now == 0:
			d.taken -= r.n
			d.users.set(r.at, r.n, hole)
			return nil
		case now == change:
			d.taken += r.n
		}
		d.users.set(r.at, r.n, users+place(now))
		return nil
	})
}

func (d *device) usersOf(p int64) int64 { return d.users.at(p, p+1).to.num() }

// vacant finds a free place.
func (d *device) vacant() (int64, bool) {
	if d.taken >= d.room-1 { // the head's place stays free
		return 0, false
	}
	return d.emptyPlace(func(int64) bool { return false })
}

// emptyPlace is the next place downwards that nothing uses and avoid lets pass:
// from the top, where parking comes last.
func (d *device) emptyPlace(avoid func(int64) bool) (int64, bool) {
	for from := d.cursor; ; from = d.room {
		for p := d.users.holeBelow(from); p >= 0; p = d.users.holeBelow(p) {
			if p != d.headBlock && !avoid(p) {
				d.cursor = p
				return p, true
			}
		}
		if from == d.room {
			return 0, false
		}
	}
}

// store finds a new place for the content b of block v.
func (d *device) store(v int64, b []byte, wrote *int64) error {
	if v < d.room && d.usersOf(v) == 0 {
		return d.storeAt(v, v, b, wrote)
	}
	if len(d.idle) > 0 || len(d.slots) < d.maxSlots {
		d.keep(v, b)
		return nil
	}
	p, ok := d.vacant()
	if !ok {
		p, ok = d.giveUp()
	}
	if !ok {
		return errNoRoom
	}
	return d.storeAt(v, p, b, wrote)
}

// storeAt writes the content of block v to the place p, which nothing uses.
func (d *device) storeAt(v, p int64, b []byte, wrote *int64) error {
	if err := d.write(p, b, wrote); err != nil {
		return err
	}
	d.point(v, int64(len(b))/d.block, physical+place(p))
	return nil
}

// keep takes the content of block v to memory.
func (d *device) keep(v int64, b []byte) {
	slot := int64(len(d.slots))
	if n := len(d.idle); n > 0 {
		slot, d.idle = d.idle[n-1], d.idle[:n-1]
	} else {
		d.slots = append(d.slots, make([]byte, d.block))
		d.stats.Homeless = int64(len(d.slots)) * d.block
	}
	copy(d.slots[slot], b)
	d.point(v, 1, memory+place(slot))
}

// giveUp drops the old content of a block that was moved, and whose new copy
// has changed since: nobody will read it, and who does gets an error.
func (d *device) giveUp() (int64, bool) {
	for len(d.dead) > 0 {
		r := &d.dead[0]
		v := r.at
		if r.at, r.n = r.at+1, r.n-1; r.n == 0 {
			d.dead = d.dead[1:]
		}
		if to := d.table.at(v, v+1).to; to.kind() == physical && d.usersOf(to.num()) == 1 {
			d.point(v, 1, lost)
			d.stats.GivenUp += d.block
			return to.num(), true
		}
	}
	return 0, false
}

// bury notes that the content of block v is dead.
func (d *device) bury(v int64) {
	if n := len(d.dead); n > 0 && d.dead[n-1].end() == v {
		d.dead[n-1].n++
		return
	}
	d.dead = append(d.dead, run{at: v, n: 1})
}

// write writes to the target.
func (d *device) write(p int64, b []byte, wrote *int64) error {
	if _, err := d.to.WriteAt(b, p*d.block); err != nil {
		return fmt.Errorf("write %d bytes at %d: %w", len(b), p*d.block, err)
	}
	*wrote += int64(len(b))
	return nil
}

// fetch reads the content at a place, into b.
func (d *device) fetch(to place, b []byte) error {
	var r io.ReaderAt = d.to
	switch to.kind() {
	case hole:
		clear(b)
		return nil
	case memory:
		for i := int64(0); int64(len(b)) > i*d.block; i++ {
			copy(b[i*d.block:], d.slots[to.num()+i])
		}
		return nil
	case lost:
		return errors.New("a block that was given up is read")
	case original:
		r = d.from
	}
	return extent.ReadFull(r, b, to.num()*d.block)
}

// homeless are the pieces of set that must be moved or written yet: not at home
// and not in the source.
func (d *device) homeless(set extent.Set) []run {
	var rs []run
	d.eachBlock(set, func(r run) {
		if r.to != physical+place(r.at) && r.to.kind() != original {
			rs = append(rs, r)
		}
	})
	return rs
}

// eachBlock yields the runs of a set of bytes, without the head.
func (d *device) eachBlock(set extent.Set, do func(run)) {
	for _, e := range set {
		from, end := e.Off/d.block, (e.End()+d.block-1)/d.block
		d.table.each(from, min(end, d.blocks), func(r run) error {
			for _, r := range []run{r.cut(r.at, min(r.end(), d.headBlock)), r.cut(max(r.at, d.headBlock+1), r.end())} {
				if r.n > 0 {
					do(r)
				}
			}
			return nil
		})
	}
}
