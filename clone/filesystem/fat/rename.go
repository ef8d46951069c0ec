package fat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Rename gives a file or folder another name, which may lie in another folder.
// A file under the new name is replaced, a folder is not. Where names of a file
// cannot change places in one write, its content is copied, so that fsck.vfat
// never finds two files with the same clusters; but if there is no room for
// that, and for folders, an interruption may leave both names for them.
func (e *Editor) Rename(from, to string) error {
	if err := e.rename(from, to); err != nil {
		return fmt.Errorf("rename %s to %s: %w", from, to, err)
	}
	return nil
}

func (e *Editor) rename(from, to string) error {
	m := move{name: path.Base(to)}
	var err error
	if m.src, m.old, err = e.place(from); err != nil {
		return err
	}
	if m.old == nil {
		return fs.ErrNotExist
	}
	if m.dst, m.there, err = e.place(to); err != nil {
		return err
	}
	if m.dst.start == m.src.start {
		m.dst = m.src
		if m.there != nil && m.there.last == m.old.last {
			m.there = nil // another case, or the long name for the short
		}
	}
	if m.there != nil && (m.there.dir() || m.old.dir()) {
		return fs.ErrExist
	}
	if m.old.dir() {
		inside, err := e.inside(path.Dir(to), m.old.start)
		if err != nil {
			return err
		}
		if inside {
			return errors.New("a folder cannot lie in itself")
		}
	}
	return e.move(&m)
}

// inside tells whether the folder name is, or lies in, the one that begins at
// start.
func (e *Editor) inside(name string, start uint32) (bool, error) {
	if name == "." {
		return false, nil
	}
	parts := strings.Split(name, "/")
	for i := range parts {
		_, at, err := e.v.walk(strings.Join(parts[:i+1], "/"), nil)
		if err != nil {
			return false, err
		}
		if at.start == start {
			return true, nil
		}
	}
	return false, nil
}

// A move takes an entry from src to dst, which may be the same directory.
type move struct {
	src, dst *dir
	old      *entry
	there    *entry // what is replaced, nil = nothing
	name     string

	add    addition // where nothing is replaced
	atOnce bool     // one write does it
	copied bool     // the content gets clusters of its own
}

// plan finds out how the move can be made, and how many clusters it needs.
func (e *Editor) plan(m *move) (need int64, err error) {
	if m.there == nil {
		var own []alias
		if m.src == m.dst {
			own = []alias{m.old.alias}
		}
		if err := e.prepare(m.dst, m.name, &m.add, own...); err != nil {
			return 0, err
		}
		m.atOnce = m.src == m.dst && m.oneSector(int(e.v.sector/slotSize))
	}
	if m.atOnce {
		return 0, nil
	}
	need = m.add.grow
	if size := e.v.count(m.old.size); !m.old.dir() && need+size <= e.room {
		m.copied = true
		need += size
	}
	return need, nil
}

// oneSector tells whether the old name and the new one lie in one sector of so
// many slots. A new name that is no longer takes the old one's place.
func (m *move) oneSector(slots int) bool {
	d, n := m.dst, len(m.add.long)+1
	sector := m.old.first / slots
	if m.old.last/slots != sector {
		return false
	}
	if n <= m.old.last-m.old.first+1 {
		m.add.pos, m.add.grow = m.old.last+1-n, 0
		return true
	}
	last := m.add.pos + n - 1
	if last+1 > d.end && last+1 < d.slots() && d.slot(last + 1)[0] != slotEnd {
		last++ // put writes there too
	}
	return m.add.grow == 0 && min(m.add.pos, d.end)/slots == sector && last/slots == sector
}

func (e *Editor) move(m *move) error {
	need, err := e.plan(m)
	if err != nil {
		return err
	}
	if err := e.begin(need); err != nil {
		return err
	}
	slot := slices.Clone(m.src.slot(m.old.last))
	if m.copied {
		start, err := e.duplicate(m.old)
		if err != nil {
			return err
		}
		putContent(slot, start, m.old.size)
	}
	if m.add.grow > 0 {
		if err := e.grow(m.dst, m.add.grow); err != nil {
			return err
		}
	}
	if err := e.barrier(); err != nil {
		return err
	}
	if m.atOnce {
		e.wipe(m.src, m.old)
		return e.store(m.dst, e.appear(m, slot))
	}
	if err := e.store(m.dst, e.appear(m, slot)); err != nil {
		return err
	}
	if err := e.barrier(); err != nil {
		return err
	}
	if err := e.store(m.src, e.wipe(m.src, m.old)); err != nil {
		return err
	}
	return e.tidy(m)
}

// duplicate copies the content of a file to clusters of its own.
func (e *Editor) duplicate(old *entry) (start uint32, err error) {
	from, err := e.v.content(old)
	if err != nil {
		return 0, err
	}
	pieces := e.alloc(e.v.count(old.size))
	if err := e.fill(pieces, old.size, io.NewSectionReader(&content{e.rw, from}, 0, old.size)); err != nil {
		e.giveBack(pieces)
		return 0, err
	}
	return e.link(pieces)
}

// appear makes the new name stand for what slot says, in memory, and returns
// the sectors to store.
func (e *Editor) appear(m *move, slot []byte) []int {
	at := m.add.pos + len(m.add.long)
	var order []int
	if m.there != nil {
		at = m.there.last
		order = m.dst.sectors(at, at+1, e.v.sector)
	} else {
		order = e.put(m.dst, m.add)
	}
	b := m.dst.slot(at)
	flags := b[offCase]
	if m.there == nil {
		flags = 0
	}
	copy(b[offAttr:], slot[offAttr:])
	b[offCase] = flags
	return order
}

// tidy frees what nothing names any more, and tells a folder where it lies.
func (e *Editor) tidy(m *move) error {
	if m.copied {
		if err := e.release(m.old.start); err != nil {
			return err
		}
	}
	if m.there != nil {
		return e.release(m.there.start)
	}
	if !m.old.dir() || m.src == m.dst {
		return nil
	}
	d, err := e.v.readDir(m.old.start)
	if err != nil {
		return err
	}
	if d.slots() < 2 || !bytes.Equal(d.slot(1)[:11], []byte("..         ")) {
		return nil
	}
	putContent(d.slot(1), m.dst.start, 0)
	return e.store(d, d.sectors(1, 2, e.v.sector))
}
