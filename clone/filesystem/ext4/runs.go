package ext4

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Extent tree: Linux v6.12, fs/ext4/ext4_extents.h.
const (
	extentMagic    = 0xf30a
	extentEntry    = 12      // bytes of a header and of an entry
	extentMaxDepth = 5       // EXT4_MAX_EXTENT_DEPTH
	extentMaxLen   = 1 << 15 // longer: not yet written to, length beyond this

	directBlocks = 12 // of an inode without extents; three levels follow

	// maxRuns bounds what a damaged file may cost; a real file of that many
	// pieces would be a curiosity.
	maxRuns  = 1 << 21
	maxNodes = 1 << 20
)

// A run maps count blocks of a file from block at on to blocks of the file
// system from disk on. Where unwritten is set they read as zeros; so does what
// no run maps.
type run struct {
	at, disk, count int64
	unwritten       bool
}

// A mapping is where a file's bytes lie: runs in ascending order, and the blocks
// of the tree that says so.
type mapping struct {
	runs  []run
	nodes []int64

	v *view
}

// mapping reads where the blocks of a file lie.
func (v *view) mapping(in *inode) (*mapping, error) {
	m := &mapping{v: v}
	var err error
	if in.flags&flagExtents != 0 {
		err = m.extents(in.iblock(), -1, 1<<32)
	} else {
		err = m.pointers(in)
	}
	if err != nil {
		return nil, fmt.Errorf("inode %d: %w", in.num, err)
	}
	return m, nil
}

// add appends a run, and joins it with the last one where it continues that.
func (m *mapping) add(r run) error {
	if !m.v.sb.holds(r.disk, r.count) {
		return fmt.Errorf("block %d lies outside of the file system", r.disk)
	}
	if n := len(m.runs); n > 0 {
		last := &m.runs[n-1]
		if r.at < last.at+last.count {
			return fmt.Errorf("its blocks are mapped twice from block %d on", r.at)
		}
		if r.at == last.at+last.count && r.disk == last.disk+last.count && r.unwritten == last.unwritten {
			last.count += r.count
			return nil
		}
		if n >= maxRuns {
			return fmt.Errorf("it lies in more than %d pieces", maxRuns)
		}
	}
	m.runs = append(m.runs, r)
	return nil
}

// node reads one block of the tree.
func (m *mapping) node(block int64) ([]byte, error) {
	if !m.v.sb.holds(block, 1) {
		return nil, fmt.Errorf("block %d lies outside of the file system", block)
	}
	if n := int64(len(m.nodes)); n >= maxNodes || n >= m.v.sb.blocks {
		return nil, fmt.Errorf("its map has more than %d blocks", n)
	}
	m.nodes = append(m.nodes, block)
	b := make([]byte, m.v.sb.block)
	return b, readAt(m.v.r, b, block*m.v.sb.block)
}

// extents walks a node of the extent tree; depth is what its header must say,
// -1 for the root. Blocks of the file from end on belong to the next node.
func (m *mapping) extents(b []byte, depth int, end int64) error {
	le := binary.LittleEndian
	n, d := int(le.Uint16(b[2:])), int(le.Uint16(b[6:]))
	if le.Uint16(b) != extentMagic || (n+1)*extentEntry > len(b) || d > extentMaxDepth || depth >= 0 && d != depth {
		return fmt.Errorf("its extent tree is damaged")
	}
	for i := range n {
		e := b[extentEntry*(i+1):][:extentEntry]
		at := int64(le.Uint32(e))
		if d == 0 {
			r := run{at: at, count: int64(le.Uint16(e[4:])), disk: int64(le.Uint16(e[6:]))<<32 | int64(le.Uint32(e[8:]))}
			if r.unwritten = r.count > extentMaxLen; r.unwritten {
				r.count -= extentMaxLen
			}
			if r.count == 0 || r.at+r.count > end {
				return fmt.Errorf("its extent tree is damaged at block %d", at)
			}
			if err := m.add(r); err != nil {
				return err
			}
			continue
		}
		next := end
		if i+1 < n {
			next = min(end, int64(le.Uint32(b[extentEntry*(i+2):])))
		}
		child, err := m.node(int64(le.Uint16(e[8:]))<<32 | int64(le.Uint32(e[4:])))
		if err != nil {
			return err
		}
		if err := m.extents(child, d-1, next); err != nil {
			return err
		}
	}
	return nil
}

// pointers walks the block pointers of ext2 and ext3.
func (m *mapping) pointers(in *inode) error {
	per := m.v.sb.block / 4
	blocks := (in.size + m.v.sb.block - 1) / m.v.sb.block
	at, le := int64(0), binary.LittleEndian
	for i := range 15 {
		level := max(0, i-directBlocks+1)
		if err := m.pointer(int64(le.Uint32(in.iblock()[4*i:])), level, at, blocks); err != nil {
			return err
		}
		span := int64(1)
		for range level {
			span *= per
		}
		at += span
	}
	return nil
}

// pointer walks the tree of the given level below one pointer, which maps the
// file from block at on.
func (m *mapping) pointer(block int64, level int, at, blocks int64) error {
	if block == 0 || at >= blocks {
		return nil
	}
	if level == 0 {
		return m.add(run{at: at, disk: block, count: 1})
	}
	b, err := m.node(block)
	if err != nil {
		return err
	}
	per, span := m.v.sb.block/4, int64(1)
	for range level - 1 {
		span *= per
	}
	for i := range per {
		p := int64(binary.LittleEndian.Uint32(b[4*i:]))
		if err := m.pointer(p, level-1, at+i*span, blocks); err != nil {
			return err
		}
	}
	return nil
}

// find is the index of the run that holds block at of the file, or of the first
// one behind it.
func (m *mapping) find(at int64) int {
	i, _ := slices.BinarySearchFunc(m.runs, at, func(r run, at int64) int {
		switch {
		case r.at+r.count <= at:
			return -1
		case r.at > at:
			return 1
		}
		return 0
	})
	return i
}

// place is where block at of the file lies, bytes from the part's start; false
// where it is a hole.
func (m *mapping) place(at int64) (int64, bool) {
	i := m.find(at)
	if i == len(m.runs) || m.runs[i].at > at || m.runs[i].unwritten {
		return 0, false
	}
	return (m.runs[i].disk + at - m.runs[i].at) * m.v.sb.block, true
}

// read fills p from byte off of the file on; what is not mapped is zero.
func (m *mapping) read(p []byte, off int64) error {
	bs := m.v.sb.block
	clear(p)
	end := off + int64(len(p))
	for i := m.find(off / bs); i < len(m.runs) && m.runs[i].at*bs < end; i++ {
		r := m.runs[i]
		if r.unwritten {
			continue
		}
		from, to := max(off, r.at*bs), min(end, (r.at+r.count)*bs)
		if err := readAt(m.v.r, p[from-off:to-off], r.disk*bs+from-r.at*bs); err != nil {
			return err
		}
	}
	return nil
}

// blocks is the number of blocks that are mapped.
func (m *mapping) blocks() int64 {
	n := int64(0)
	for _, r := range m.runs {
		n += r.count
	}
	return n
}
