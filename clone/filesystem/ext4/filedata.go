package ext4

import (
	"fmt"
	"slices"

	"lifeboat/clone/extent"
)

// FileData are the bytes from byte from on that hold what regular files hold: who
// lays the file system out anew moves them, and need not look at them. Left out is
// what lies in inodes, what belongs to no name, and the file system's own files.
// *UnsureError means that it cannot be told; memory grows with the pieces.
func (f *FS) FileData(from int64) (extent.Set, error) {
	if err := f.doubt(); err != nil {
		return nil, err
	}
	buf := extent.Buffer()
	defer extent.Release(buf)
	w := &dataWalk{v: &f.now, from: from}
	for g := range w.v.sb.groups {
		if err := w.v.eachInode(g, buf[:], w.inode); err != nil {
			return nil, err
		}
	}
	return extent.Of(w.found...), nil
}

// A dataWalk collects where the data of regular files lie.
type dataWalk struct {
	// config
	v    *view
	from int64 // bytes

	// state
	found []extent.Extent
	taken int64 // blocks that the maps so far must have at least
}

// inode adds the data of a regular file, nothing of all others.
func (w *dataWalk) inode(in *inode) error {
	sb := w.v.sb
	if sb.owns(in.num) || !in.isRegular() || in.links() == 0 {
		return nil
	}
	if err := sb.parseInode(in); err != nil || in.flags&(flagInlineData|flagEAInode) != 0 {
		return err
	}
	m, err := w.v.mapping(in)
	if err != nil {
		return err
	}
	if w.taken += int64(len(m.nodes) + len(m.runs)); w.taken > sb.blocks {
		return unsure("its files have more blocks than it has itself")
	}
	for _, r := range m.runs {
		w.add(sb.bytes(extent.Extent{Off: r.disk, Len: r.count}))
	}
	return nil
}

// owns tells whether an inode is none of a user's: a journal, a quota.
func (s *super) owns(num uint32) bool {
	return int64(num) < s.firstInode || slices.Contains(s.ownInodes[:], num)
}

func (w *dataWalk) add(e extent.Extent) {
	cut := max(0, w.from-e.Off)
	if e.Off, e.Len = e.Off+cut, e.Len-cut; e.Len <= 0 {
		return
	}
	if n := len(w.found); n > 0 && w.found[n-1].End() == e.Off {
		w.found[n-1].Len += e.Len
		return
	}
	w.found = append(w.found, e)
}

// eachInode yields the inodes of a group that its table was written for, as they
// lie there, read through buf. They are only good until do returns.
func (v *view) eachInode(g int64, buf []byte, do func(in *inode) error) error {
	s, x := v.sb, v.group(g)
	for i := int64(0); i < x.inodes; {
		off := x.InodeTable*s.block + i*s.inodeSize
		table := buf[:min(int64(len(buf)), (x.inodes-i)*s.inodeSize)]
		if err := readAt(v.r, table, off); err != nil {
			return fmt.Errorf("inodes of group %d: %w", g, err)
		}
		for ; len(table) > 0; table = table[s.inodeSize:] {
			i++
			in := &inode{num: uint32(g*s.inodesPerGroup + i), raw: table[:s.inodeSize], off: off}
			if err := do(in); err != nil {
				return err
			}
			off += s.inodeSize
		}
	}
	return nil
}
