package fit

import (
	"encoding/binary"
	"fmt"
	"io"

	"lifeboat/clone/extent"
)

// Inode: Linux v6.12, fs/ext4/ext4.h, struct ext4_inode; extent tree:
// fs/ext4/ext4_extents.h.
const (
	offMode    = 0x0
	offLinks   = 0x1a
	offFlags   = 0x20
	offIBlock  = 0x28
	iblockSize = 60

	modeType    = 0xf000
	modeRegular = 0x8000

	flagExtents    = 0x80000
	flagEAInode    = 0x200000
	flagInlineData = 0x10000000

	extentMagic    = 0xf30a
	extentEntry    = 12
	extentMaxDepth = 5
	extentMaxLen   = 1 << 15
	directBlocks   = 12
	pointerSize    = 4
)

// fileData are the bytes from byte from on that hold what regular files hold:
// resize2fs moves them, and never looks at them. The file system must be clean.
func (g *geometry) fileData(r io.ReaderAt, from int64) (extent.Set, error) {
	w := &dataWalk{g: g, r: r, from: from / g.block}
	buf := extent.Buffer()
	defer extent.Release(buf)
	for i, x := range g.groups {
		first := int64(i) * g.inodesPerGroup
		for k, n := int64(0), g.inodesPerGroup-x.unusedInodes; k < n; {
			table := buf[:min(extent.BufferSize, (n-k)*g.inodeSize)]
			if err := readFull(r, table, x.inodeTable*g.block+k*g.inodeSize); err != nil {
				return nil, fmt.Errorf("inodes of group %d: %w", i, err)
			}
			for ; len(table) > 0; table = table[g.inodeSize:] {
				k++
				if first+k < g.firstInode {
					continue
				}
				if err := w.inode(table[:g.inodeSize]); err != nil {
					return nil, fmt.Errorf("inode %d: %w", first+k, err)
				}
			}
		}
	}
	return extent.Of(w.found...), nil
}

// A dataWalk collects extents.
type dataWalk struct {
	g     *geometry
	r     io.ReaderAt
	from  int64 // block
	nodes int64
	found []extent.Extent
}

func (w *dataWalk) inode(b []byte) error {
	le := binary.LittleEndian
	flags := le.Uint32(b[offFlags:])
	if le.Uint16(b[offMode:])&modeType != modeRegular || le.Uint16(b[offLinks:]) == 0 || flags&(flagInlineData|flagEAInode) != 0 {
		return nil
	}
	if flags&flagExtents != 0 {
		return w.extents(b[offIBlock:offIBlock+iblockSize], extentMaxDepth)
	}
	for i := range directBlocks + 3 {
		if err := w.pointer(int64(le.Uint32(b[offIBlock+pointerSize*i:])), max(0, i-directBlocks+1)); err != nil {
			return err
		}
	}
	return nil
}

// extents walks a node of the extent tree that may have depth levels below it.
func (w *dataWalk) extents(b []byte, depth int) error {
	le := binary.LittleEndian
	n, below := int(le.Uint16(b[2:])), int(le.Uint16(b[6:]))
	if le.Uint16(b) != extentMagic || (n+1)*extentEntry > len(b) || below > depth {
		return fmt.Errorf("its extent tree is damaged")
	}
	for i := range n {
		e := b[extentEntry*(i+1):][:extentEntry]
		if below == 0 {
			count := int64(le.Uint16(e[4:]))
			if count > extentMaxLen {
				count -= extentMaxLen
			}
			w.add(int64(le.Uint16(e[6:]))<<32|int64(le.Uint32(e[8:])), count)
			continue
		}
		child, err := w.node(int64(le.Uint16(e[8:]))<<32 | int64(le.Uint32(e[4:])))
		if err != nil {
			return err
		}
		if err := w.extents(child, below-1); err != nil {
			return err
		}
	}
	return nil
}

// pointer walks the tree of so many levels below a pointer of ext2 and ext3.
func (w *dataWalk) pointer(block int64, level int) error {
	if block == 0 {
		return nil
	}
	if level == 0 {
		w.add(block, 1)
		return nil
	}
	b, err := w.node(block)
	if err != nil {
		return err
	}
	for ; len(b) > 0; b = b[pointerSize:] {
		if err := w.pointer(int64(binary.LittleEndian.Uint32(b)), level-1); err != nil {
			return err
		}
	}
	return nil
}

// node reads a block of a tree.
func (w *dataWalk) node(block int64) ([]byte, error) {
	if w.nodes++; block >= w.g.blocks || w.nodes > w.g.blocks {
		return nil, fmt.Errorf("its map leads to block %d", block)
	}
	b := make([]byte, w.g.block)
	return b, readFull(w.r, b, block*w.g.block)
}

// add notes count blocks from block on, as far as they lie behind the end.
func (w *dataWalk) add(block, count int64) {
	end := min(block+count, w.g.blocks)
	if block = max(block, w.from); block >= end {
		return
	}
	e := extent.Extent{Off: block * w.g.block, Len: (end - block) * w.g.block}
	if n := len(w.found); n > 0 && w.found[n-1].End() == e.Off {
		w.found[n-1].Len += e.Len
		return
	}
	w.found = append(w.found, e)
}
