package fat

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
)

// An addition is an entry that is about to come into a directory.
type addition struct {
	attr  byte
	start uint32
	size  int64

	alias alias
	long  [][]byte // slots of the long name, if it needs one
	pos   int      // slot of the first
	grow  int64    // clusters that the directory must get for it
}

// prepare finds a name's alias and its place in the directory.
func (e *Editor) prepare(d *dir, name string, a *addition, without ...alias) error {
	if err := checkName(name); err != nil {
		return err
	}
	taken := map[alias]bool{}
	for i := range d.entries {
		taken[d.entries[i].alias] = true
	}
	for _, w := range without {
		delete(taken, w)
	}
	short, exact, err := uniqueAlias(name, taken)
	if err != nil {
		return err
	}
	a.alias = short
	if !exact {
		a.long = longSlots(name, short)
	}
	return e.findRoom(d, a)
}

// findRoom looks for slots in a row, in one sector if possible: they appear at
// once then.
func (e *Editor) findRoom(d *dir, a *addition) error {
	n := len(a.long) + 1
	if a.pos = d.gap(n, int(e.v.sector/slotSize)); a.pos >= 0 {
		return nil
	}
	if a.pos = d.gap(n, d.slots()); a.pos >= 0 {
		return nil
	}
	a.pos = d.slots()
	a.grow = e.v.count(int64(n) * slotSize)
	if d.start == 0 && e.v.bits != 32 {
		return fmt.Errorf("the root directory is full, with %d slots: %w", d.slots(), syscall.ENOSPC)
	}
	if int64(len(d.raw))+a.grow*e.v.cluster > maxDir {
		return fmt.Errorf("the folder is full, with %d slots: %w", d.slots(), syscall.ENOSPC)
	}
	return nil
}

// gap is the first slot of n free ones in a row that lie in one block of so
// many slots; -1 if there are none.
func (d *dir) gap(n, block int) int {
	run := 0
	for i := range d.slots() {
		if i%block == 0 {
			run = 0
		}
		if i < d.end && d.used[i] {
			run = 0
			continue
		}
		if run++; run == n {
			return i + 1 - n
		}
	}
	return -1
}

// insert puts a prepared entry into its directory. Slots of a long name come
// before the alias, which makes the file appear.
func (e *Editor) insert(d *dir, a addition) error {
	if a.grow > 0 {
		if err := e.grow(d, a.grow); err != nil {
			return err
		}
	}
	if err := e.barrier(); err != nil {
		return err
	}
	return e.store(d, e.put(d, a))
}

// put writes an entry into a directory in memory, and returns the sectors that
// have changed in the order in which they are to be stored. Slots that were
// never used and lie before the new ones become free ones first: what lies
// behind the end is seen by Linux and fsck.vfat, but not by others.
func (e *Editor) put(d *dir, a addition) []int {
	slots := append(a.long, newSlot(a.alias, a.attr, a.start, a.size, e.now()))
	after := a.pos + len(slots)
	var order []int
	if after > d.end && after < d.slots() && d.slot(after)[0] != slotEnd {
		d.slot(after)[0] = slotEnd // there may be anything
		order = append(order, d.sectors(after, after+1, e.v.sector)...)
	}
	if d.end < a.pos {
		for i := d.end; i < a.pos; i++ {
			d.slot(i)[0] = slotFree
		}
		order = append(order, d.sectors(d.end, a.pos, e.v.sector)...)
	}
	lost := d.sweep(e.v.sector)
	for i, s := range slots {
		copy(d.slot(a.pos+i), s)
	}
	order = append(order, d.sectors(a.pos, after, e.v.sector)...)
	d.end = max(d.end, after)
	return append(order, lost...)
}

// sweep frees the slots of long names that have no alias, as an interrupted
// change can leave them, and returns their sectors, last first.
func (d *dir) sweep(sector int64) []int {
	var order []int
	for i := d.end - 1; i >= 0; i-- {
		if i < len(d.used) && !d.used[i] && d.slot(i)[0] != slotFree {
			d.slot(i)[0] = slotFree
			order = append(order, d.sectors(i, i+1, sector)...)
		}
	}
	return order
}

// sectors are those that hold the slots from first to before.
func (d *dir) sectors(first, before int, sector int64) []int {
	per := int(sector / slotSize)
	var s []int
	for i := first / per; i <= (before-1)/per; i++ {
		s = append(s, i)
	}
	return s
}

// store writes sectors of a directory in the order given.
func (e *Editor) store(d *dir, sectors []int) error {
	for i, s := range sectors {
		if slices.Contains(sectors[:i], s) {
			continue
		}
		at := int64(s) * e.v.sector
		k := slices.IndexFunc(d.pieces, func(p piece) bool { return at < p.At+p.Len })
		p := d.pieces[k]
		if err := e.writeAt(d.raw[at:at+e.v.sector], p.Off+at-p.At); err != nil {
			return err
		}
	}
	return nil
}

// grow gives a directory n more clusters.
func (e *Editor) grow(d *dir, n int64) error {
	pieces := e.alloc(n)
	if err := e.fill(pieces, 0, nil); err != nil {
		return err
	}
	start, err := e.link(pieces)
	if err != nil {
		return err
	}
	if err := e.barrier(); err != nil {
		return err
	}
	tail := d.pieces[len(d.pieces)-1]
	if err := e.v.table.set(e.v.at(tail.End()-1), start); err != nil {
		return e.fail(err)
	}
	if err := e.v.table.flush(); err != nil {
		return e.fail(err)
	}
	for _, p := range pieces {
		d.pieces = addPiece(d.pieces, p.Off, p.Len)
		d.raw = append(d.raw, make([]byte, p.Len)...)
	}
	return nil
}

// Mkdir makes a folder. The error wraps fs.ErrExist where there is something
// under the name.
func (e *Editor) Mkdir(name string) error {
	if err := e.mkdir(name); err != nil {
		return fmt.Errorf("make folder %s: %w", name, err)
	}
	return nil
}

func (e *Editor) mkdir(name string) error {
	d, old, err := e.place(name)
	if err != nil {
		return err
	}
	if old != nil {
		return fs.ErrExist
	}
	add := addition{attr: attrDir}
	if err := e.prepare(d, path.Base(name), &add); err != nil {
		return err
	}
	if err := e.begin(1 + add.grow); err != nil {
		return err
	}
	pieces := e.alloc(1)
	self := e.v.at(pieces[0].Off)
	b := make([]byte, e.v.cluster)
	copy(b, newSlot(alias([]byte(".          ")), attrDir, self, 0, e.now()))
	copy(b[slotSize:], newSlot(alias([]byte("..         ")), attrDir, d.start, 0, e.now()))
	if err := e.writeAt(b, pieces[0].Off); err != nil {
		return err
	}
	if add.start, err = e.link(pieces); err != nil {
		return err
	}
	return e.insert(d, add)
}

// MkdirAll makes a folder and those above it, as far as they are missing.
func (e *Editor) MkdirAll(name string) error {
	if !fs.ValidPath(name) {
		return fmt.Errorf("make folder %s: %w", name, fs.ErrInvalid)
	}
	if name == "." {
		return e.err
	}
	parts := strings.Split(name, "/")
	for i := range parts {
		at := strings.Join(parts[:i+1], "/")
		st, err := e.FS().Stat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = e.Mkdir(at)
		case err == nil && !st.IsDir():
			err = fmt.Errorf("make folder %s: %s is a file", name, at)
		}
		if err != nil {
			return err
		}
	}
	return e.err
}

// Remove removes a file or an empty folder.
func (e *Editor) Remove(name string) error {
	if err := e.remove(name); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

func (e *Editor) remove(name string) error {
	d, old, err := e.place(name)
	if err != nil {
		return err
	}
	if old == nil {
		return fs.ErrNotExist
	}
	if old.dir() {
		sub, err := e.v.enter(d, old, nil)
		if err != nil {
			return err
		}
		if len(sub.entries) > 0 {
			return fmt.Errorf("the folder holds %d entries: %w", len(sub.entries), syscall.ENOTEMPTY)
		}
	}
	if err := e.begin(0); err != nil {
		return err
	}
	if err := e.store(d, e.wipe(d, old)); err != nil {
		return err
	}
	return e.release(old.start)
}

// wipe frees an entry's slots in memory, and returns their sectors, the one with
// the alias first: without that, the others are nobody's.
func (e *Editor) wipe(d *dir, old *entry) []int {
	for i := old.first; i <= old.last; i++ {
		d.slot(i)[0] = slotFree
	}
	order := d.sectors(old.first, old.last+1, e.v.sector)
	slices.Reverse(order)
	return order
}
