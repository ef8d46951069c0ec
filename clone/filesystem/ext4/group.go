package ext4

import (
	"encoding/binary"
	"fmt"
)

// Group descriptor: Linux v6.12, fs/ext4/ext4.h, struct ext4_group_desc.
const (
	offBlockBitmap     = 0x0
	offInodeBitmap     = 0x4
	offInodeTable      = 0x8
	offGroupFree       = 0xc
	offGroupFlags      = 0x12
	offBitmapCsum      = 0x18
	offGroupCsum       = 0x1e
	offBlockBitmapHigh = 0x20
	offInodeBitmapHigh = 0x24
	offInodeTableHigh  = 0x28
	offGroupFreeHigh   = 0x2c
	offBitmapCsumHigh  = 0x38

	highDescSize = 64 // descriptors from this size on have the upper halves

	groupBlockUninit = 2
)

// A group is a descriptor. Places are block numbers.
type group struct {
	blockBitmap, inodeBitmap, inodeTable int64
	free                                 int64 // clusters
	flags                                uint16
	bitmapCsum                           uint32
}

func (v *view) descriptor(g int64) []byte {
	return v.gdt[g*v.sb.descSize:][:v.sb.descSize]
}

func (v *view) group(g int64) group {
	le, d := binary.LittleEndian, v.descriptor(g)
	x := group{
		blockBitmap: int64(le.Uint32(d[offBlockBitmap:])),
		inodeBitmap: int64(le.Uint32(d[offInodeBitmap:])),
		inodeTable:  int64(le.Uint32(d[offInodeTable:])),
		free:        int64(le.Uint16(d[offGroupFree:])),
		flags:       le.Uint16(d[offGroupFlags:]),
		bitmapCsum:  uint32(le.Uint16(d[offBitmapCsum:])),
	}
	if v.sb.descSize >= highDescSize {
		x.blockBitmap |= int64(le.Uint32(d[offBlockBitmapHigh:])) << 32
		x.inodeBitmap |= int64(le.Uint32(d[offInodeBitmapHigh:])) << 32
		x.inodeTable |= int64(le.Uint32(d[offInodeTableHigh:])) << 32
		x.free |= int64(le.Uint16(d[offGroupFreeHigh:])) << 16
		x.bitmapCsum |= uint32(le.Uint16(d[offBitmapCsumHigh:])) << 16
	}
	return x
}

// readDescriptors reads the descriptors of all groups.
func (v *view) readDescriptors() ([]byte, error) {
	s := v.sb
	n := s.descriptorBlocks()
	gdt := make([]byte, n*s.block)
	for i := int64(0); i < n; {
		// A run of blocks that follow each other is one read.
		run := int64(1)
		for i+run < n && s.descriptorBlock(i+run) == s.descriptorBlock(i)+run {
			run++
		}
		at := s.descriptorBlock(i)
		if at+run > s.blocks {
			return nil, unsure("its group descriptors lie behind its end")
		}
		if err := readAt(v.r, gdt[i*s.block:(i+run)*s.block], at*s.block); err != nil {
			return nil, fmt.Errorf("group descriptors: %w", err)
		}
		i += run
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
		x := v.group(g)
		if !s.holds(x.blockBitmap, 1) || !s.holds(x.inodeBitmap, 1) || !s.holds(x.inodeTable, s.inodeTableBlocks()) {
			return unsure("group %d's bitmaps or inodes lie outside of the file system", g)
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

func (s *super) descriptorBlocks() int64 {
	return (s.groups + s.descPerBlock - 1) / s.descPerBlock
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
		return superOff/s.block + 1 + i
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
			n += s.descriptorBlocks()
		}
	}
	return n
}
