package fat

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Rename gives a file or folder another name, which may lie in another folder.
// A file under the new name is replaced, a folder is not. An interruption
// leaves the old name, the new one, or both with the same clusters: then Rename
// again, with the old name removed by fsck.vfat or by hand.
func (e *Editor) Rename(from, to string) error {
	if err := e.rename(from, to); err != nil {
		return fmt.Errorf("rename %s to %s: %w", from, to, err)
	}
	return nil
}

func (e *Editor) rename(from, to string) error {
	src, old, err := e.place(from)
	if err != nil {
		return err
	}
	if old == nil {
		return fs.ErrNotExist
	}
	dst, there, err := e.place(to)
	if err != nil {
		return err
	}
	if dst.start == src.start {
		dst = src
	}
	if there != nil && there.last == old.last && dst == src {
		there = nil // another case, or the long name for the short
	}
	if there != nil && (there.dir() || old.dir()) {
		return fs.ErrExist
	}
	if old.dir() {
		inside, err := e.inside(path.Dir(to), old.start)
		if err != nil {
			return err
		}
		if inside {
			return errors.New("a folder cannot lie in itself")
		}
	}
	if there != nil {
		return e.renameOver(src, old, dst, there)
	}
	return e.renameTo(src, old, dst, path.Base(to))
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

// renameOver lets the entry there have what old has, and removes old.
func (e *Editor) renameOver(src *dir, old *entry, dst *dir, there *entry) error {
	if err := e.begin(0); err != nil {
		return err
	}
	from, to := src.slot(old.last), dst.slot(there.last)
	copy(to[offAttr+2:], from[offAttr+2:]) // all but name, attributes, case
	to[offAttr] = from[offAttr]
	order := dst.sectors(there.last, there.last+1, e.v.sector)
	if err := e.swap(dst, order, src, old); err != nil {
		return err
	}
	return e.release(there.start)
}

// renameTo makes a new entry with what old has, and removes old.
func (e *Editor) renameTo(src *dir, old *entry, dst *dir, name string) error {
	var add addition
	var own []alias
	if src == dst {
		own = []alias{old.alias}
	}
	if err := e.prepare(dst, name, &add, own...); err != nil {
		return err
	}
	if err := e.begin(add.grow); err != nil {
		return err
	}
	if add.grow > 0 {
		if err := e.grow(dst, add.grow); err != nil {
			return err
		}
	}
	from := src.slot(old.last)
	order := e.put(dst, add)
	copy(dst.slot(add.pos + len(add.long))[offAttr:], from[offAttr:])
	dst.slot(add.pos + len(add.long))[offCase] = 0
	if err := e.swap(dst, order, src, old); err != nil {
		return err
	}
	if old.dir() && src != dst {
		return e.reparent(old.start, dst.start)
	}
	return nil
}

// swap stores changed sectors of dst and then removes old from src; both at
// once where they are one sector.
func (e *Editor) swap(dst *dir, order []int, src *dir, old *entry) error {
	if err := e.barrier(); err != nil {
		return err
	}
	gone := src.sectors(old.first, old.last+1, e.v.sector)
	if src == dst && len(order) == 1 && len(gone) == 1 && order[0] == gone[0] {
		e.wipe(src, old)
		return e.store(dst, order)
	}
	if err := e.store(dst, order); err != nil {
		return err
	}
	if err := e.barrier(); err != nil {
		return err
	}
	return e.store(src, e.wipe(src, old))
}

// reparent tells a folder which one it lies in.
func (e *Editor) reparent(start, parent uint32) error {
	d, err := e.v.readDir(start)
	if err != nil {
		return err
	}
	if d.slots() < 2 || string(d.slot(1)[:11]) != "..         " {
		return nil
	}
	putContent(d.slot(1), parent, 0)
	return e.store(d, d.sectors(1, 2, e.v.sector))
}
