package ext4

import (
	"encoding/binary"
	"fmt"

	"lifeboat/clone/extent"
)

// Group descriptor: Linux v6.12, fs/ext4/ext4.h, struct ext4_group_desc.
const (
	offBlockBitmap     = 0x0
	offInodeBitmap     = 0x4
	offInodeTable      = 0x8
	offGroupFree       = 0xc
	offGroupFreeInodes = 0xe
	offGroupFlags      = 0x12
	offBitmapCsum      = 0x18
	offUnusedInodes    = 0x1c
	offGroupCsum       = 0x1e
	offBlockBitmapHigh = 0x20
	offInodeBitmapHigh = 0x24
	offInodeTableHigh  = 0x28
	offGroupFreeHigh   = 0x2c
	offFreeInodesHigh  = 0x2e
	offUnusedHigh      = 0x32
	offBitmapCsumHigh  = 0x38

	highDescSize = 64 // descriptors from this size on have the upper halves

	groupInodeUninit = 1
	groupBlockUninit = 2
)

// A Group is what a descriptor says. Places are block numbers.
type Group struct {
	BlockBitmap, InodeBitmap, InodeTable int64
	FreeClusters, FreeInodes             int64
	Unwritten                            bool // its block bitmap never was: only tables are in use

	inodes     int64 // that its table was written for
	bitmapCsum uint32
}

func (v *view) descriptor(g int64) []byte {
	return v.gdt[g*v.sb.descSize:][:v.sb.descSize]
}

func (v *view) group(g int64) Group {
	s, d := v.sb, v.descriptor(g)
	x := Group{
		BlockBitmap:  wide(d, offBlockBitmap, offBlockBitmapHigh),
		InodeBitmap:  wide(d, offInodeBitmap, offInodeBitmapHigh),
		InodeTable:   wide(d, offInodeTable, offInodeTableHigh),
		FreeClusters: narrow(d, offGroupFree, offGroupFreeHigh),
		FreeInodes:   narrow(d, offGroupFreeInodes, offFreeInodesHigh),
		inodes:       s.inodesPerGroup,
		bitmapCsum:   uint32(narrow(d, offBitmapCsum, offBitmapCsumHigh)),
	}
	if s.hasGroupCsum() {
		flags := binary.LittleEndian.Uint16(d[offGroupFlags:])
		x.Unwritten = flags&groupBlockUninit != 0
		x.inodes = max(0, s.inodesPerGroup-narrow(d, offUnusedInodes, offUnusedHigh))
		if flags&groupInodeUninit != 0 {
			x.inodes = 0
		}
	}
	return x
}

// wide is a field of 32 bits, and of 64 where the descriptor is long.
func wide(d []byte, off, high int) int64 {
	v := int64(binary.LittleEndian.Uint32(d[off:]))
	if len(d) >= highDescSize {
		v |= int64(binary.LittleEndian.Uint32(d[high:])) << 32
	}
	return v
}

// narrow is a field of 16 bits, and of 32 where the descriptor is long.
func narrow(d []byte, off, high int) int64 {
	v := int64(binary.LittleEndian.Uint16(d[off:]))
	if len(d) >= highDescSize {
		v |= int64(binary.LittleEndian.Uint16(d[high:])) << 16
	}
	return v
}

// readDescriptors reads the descriptors of all groups.
func (v *view) readDescriptors() ([]byte, error) {
	s := v.sb
	gdt := make([]byte, s.descriptorBlocks(s.groups)*s.block)
	rest := gdt
	for _, e := range s.descriptors() {
		if e.End() > s.blocks*s.block {
			return nil, unsure("its group descriptors lie behind its end")
		}
		if err := readAt(v.r, rest[:e.Len], e.Off); err != nil {
			return nil, fmt.Errorf("group descriptors: %w", err)
		}
		rest = rest[e.Len:]
	}
	return gdt, nil
}

// checkDescriptors verifies the checksum and the places of each descriptor.
func (v *view) checkDescriptors() error {
	s := v.sb
	for g := range s.groups {
		want, has := v.descriptorCsum(g)
		if got := binary.LittleEndian.Uint16(v.descriptor(g)[offGroupCsum:]); has && got != want {
			return unsure("the checksum of group %d's descriptor is wrong", g)
		}
		for _, e := range s.tables(v.group(g)) {
			if !s.holds(e.Off, e.Len) {
				return unsure("group %d's bitmaps or inodes lie outside of the file system", g)
			}
		}
	}
	return nil
}

// descriptorCsum is what a descriptor's checksum must be; false where the file
// system has none. Linux v6.12, fs/ext4/super.c, ext4_group_desc_csum.
func (v *view) descriptorCsum(g int64) (uint16, bool) {
	d := v.descriptor(g)
	num := binary.LittleEndian.AppendUint32(nil, uint32(g))
	switch {
	case v.sb.hasCsum():
		c := crc32c(crc32c(v.sb.seed, num), d[:offGroupCsum])
		return uint16(crc32c(crc32c(c, []byte{0, 0}), d[offGroupCsum+2:])), true
	case v.sb.ro&roGDTCsum != 0:
		c := crc16(crc16(^uint16(0), v.sb.uuid[:]), num)
		c = crc16(c, d[:offGroupCsum])
		return crc16(c, d[offGroupCsum+2:]), true
	}
	return 0, false
}

// holds tells whether n blocks from block on lie in the file system.
func (s *super) holds(block, n int64) bool {
	return block >= s.first && n <= s.blocks && block <= s.blocks-n
}

func (s *super) groupFirst(g int64) int64 { return s.first + g*s.blocksPerGroup }

// groupBlocks is the number of blocks of a group; the last one may be short.
func (s *super) groupBlocks(g int64) int64 {
	return min(s.blocksPerGroup, s.blocks-s.groupFirst(g))
}

func (s *super) inodeTableBlocks() int64 {
	return (s.inodesPerGroup*s.inodeSize + s.block - 1) / s.block
}

// groupsOf is the number of groups of so many blocks.
func (s *super) groupsOf(blocks int64) int64 {
	return (blocks - s.first + s.blocksPerGroup - 1) / s.blocksPerGroup
}

// groupClusters is the number of clusters of a group.
func (s *super) groupClusters(g int64) int64 {
	return (s.groupBlocks(g) + s.clusterBlocks - 1) / s.clusterBlocks
}

// tables are the blocks of a group's own tables, wherever they lie.
func (s *super) tables(x Group) [3]extent.Extent {
	return [...]extent.Extent{{Off: x.BlockBitmap, Len: 1}, {Off: x.InodeBitmap, Len: 1}, {Off: x.InodeTable, Len: s.inodeTableBlocks()}}
}

// bytes are the bytes of blocks.
func (s *super) bytes(blocks extent.Extent) extent.Extent {
	return extent.Extent{Off: blocks.Off * s.block, Len: blocks.Len * s.block}
}

// descriptorBlocks is the number of blocks of descriptors of so many groups.
func (s *super) descriptorBlocks(groups int64) int64 {
	return (groups + s.descPerBlock - 1) / s.descPerBlock
}

// descriptors are the bytes of all descriptors, in the order of their groups.
func (s *super) descriptors() extent.Set {
	var set extent.Set
	for i := range s.descriptorBlocks(s.groups) {
		set = set.Append(s.bytes(extent.Extent{Off: s.descriptorBlock(i), Len: 1}))
	}
	return set
}

// inMetaBG tells whether group g keeps its descriptor near itself.
func (s *super) inMetaBG(g int64) bool {
	return s.incompat&incompatMetaBG != 0 && g/s.descPerBlock >= s.firstMetaBG
}

// descriptorBlock is the place of the i-th block of descriptors. Linux v6.12,
// fs/ext4/super.c, descriptor_loc.
func (s *super) descriptorBlock(i int64) int64 {
	g := i * s.descPerBlock
	if !s.inMetaBG(g) {
		return SuperOff/s.block + 1 + i
	}
	at := s.groupFirst(g)
	if s.hasSuper(g) {
		at++
	}
	if i == 0 && s.block == 1024 && s.first == 0 {
		at++
	}
	return at
}

// hasSuper tells whether group g begins with a copy of the superblock. Linux
// v6.12, fs/ext4/balloc.c, ext4_bg_has_super.
func (s *super) hasSuper(g int64) bool {
	switch {
	case g == 0:
		return true
	case s.compat&compatSparseSuper2 != 0:
		return g == s.backupGroups[0] || g == s.backupGroups[1]
	case g == 1 || s.ro&roSparseSuper == 0:
		return true
	}
	for _, p := range []int64{3, 5, 7} {
		n := p
		for n < g {
			n *= p
		}
		if n == g {
			return true
		}
	}
	return false
}

// baseBlocks is the number of blocks at the start of group g that hold copies of
// the superblock and the descriptors, and the room kept for more of them. Linux
// v6.12, fs/ext4/balloc.c, ext4_num_base_meta_blocks.
func (s *super) baseBlocks(g int64) int64 {
	n := int64(0)
	if s.hasSuper(g) {
		n++
	}
	if s.inMetaBG(g) {
		if k := g % s.descPerBlock; k == 0 || k == 1 || k == s.descPerBlock-1 {
			n++
		}
		return n
	}
	if n > 0 {
		n += s.reservedGDT
		if s.incompat&incompatMetaBG != 0 {
			n += s.firstMetaBG
		} else {
			n += s.descriptorBlocks(s.groups)
		}
	}
	return n
}

// base are those blocks: with the smallest blocks and bigalloc the first group
// begins with the boot sector.
func (s *super) base(g int64) extent.Extent {
	e := extent.Extent{Off: s.groupFirst(g), Len: s.baseBlocks(g)}
	if g == 0 {
		e.Off = SuperOff / s.block
	}
	return e
}
