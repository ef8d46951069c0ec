package fit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/ext4"
)

// Superblock and group descriptor: Linux v6.12, fs/ext4/ext4.h, struct
// ext4_super_block and struct ext4_group_desc.
const (
	superOff  = 1024
	superSize = 1024

	offInodes         = 0x0
	offFirstData      = 0x14
	offLogBlock       = 0x18
	offLogCluster     = 0x1c
	offBlocksPerGroup = 0x20
	offInodesPerGroup = 0x28
	offRevision       = 0x4c
	offFirstInode     = 0x54
	offInodeSize      = 0x58
	offCompat         = 0x5c
	offIncompat       = 0x60
	offRO             = 0x64
	offUUID           = 0x68
	offReservedGDT    = 0xce
	offJournalInode   = 0xe0
	offDescSize       = 0xfe
	offFirstMetaBG    = 0x104
	offBackupGroups   = 0x24c
	offCsumSeed       = 0x270

	compatJournal      = 0x4
	compatSparseSuper2 = 0x200
	compatStableInodes = 0x800
	incompatMetaBG     = 0x10
	incompatExtents    = 0x40
	incompat64Bit      = 0x80
	incompatCsumSeed   = 0x2000
	roSparseSuper      = 0x1
	roGDTCsum          = 0x10
	roBigalloc         = 0x200
	roMetadataCsum     = 0x400

	offBlockBitmap  = 0x0
	offInodeBitmap  = 0x4
	offInodeTable   = 0x8
	offFreeClusters = 0xc
	offFreeInodes   = 0xe
	offGroupFlags   = 0x12
	offBitmapCsum   = 0x18
	offUnusedInodes = 0x1c
	offHighHalves   = 0x20 // of the fields above, each as far from here

	groupInodeUninit = 1
	groupBlockUninit = 2

	maxGroups = 1 << 20
)

// A geometry is how a file system is cut up. Counts are of blocks, groups or
// inodes as their names say.
type geometry struct {
	block, blocks, first       int64
	perGroup, cluster          int64
	inodes, inodesPerGroup     int64
	inodeSize, firstInode      int64
	descSize, reserved, metaBG int64
	backups                    [2]int64
	compat, incompat, ro       uint32
	seed                       uint32 // of checksums
	groups                     []group
}

// A group is where its tables lie, in blocks.
type group struct {
	blockBitmap, inodeBitmap, inodeTable int64
	freeInodes, unusedInodes             int64
	freeClusters                         int64
	bitmapUninit                         bool // was never written: only tables are in use
	bitmapCsum, csumMask                 uint32
}

// Facts are what is known of a file system before it becomes smaller. Used is nil
// where it will be learned from the stream.
type Facts struct {
	Block  int64 // size of a block, bytes
	Size   int64 // of the file system, bytes
	Used   extent.Set
	Tables extent.Set // bitmaps, inode tables, copies of superblock and descriptors
	Dirty  bool       // its journal must be replayed: Used holds more than there will be

	geo        geometry
	usedInodes int64
	free       int64 // bytes
	super      []byte
}

// Survey reads the facts from a part of size bytes. *RefusedError means that
// resize2fs would not make it smaller, or that it is not certain what is in use;
// all other errors are the reader's.
func Survey(r io.ReaderAt, size int64) (*Facts, error) {
	f := &Facts{super: make([]byte, superSize)}
	fs, err := ext4.Open(r, size)
	var used extent.Set
	if err == nil {
		err = readFull(r, f.super, superOff)
	}
	if err == nil {
		err = refuse(f.super)
	}
	if err == nil {
		used, err = fs.Used()
	}
	var doubt *ext4.UnsureError
	switch {
	case errors.As(err, &doubt):
		return nil, &RefusedError{Damaged, doubt.Why}
	case errors.Is(err, ext4.ErrNotExt):
		return nil, &RefusedError{Damaged, err.Error()}
	case err != nil:
		return nil, err
	}
	s := fs.Super()
	f.Block, f.Size, f.Dirty = s.Block, s.Size, s.Dirty
	f.free, f.usedInodes = s.Free, s.Inodes-s.FreeInodes
	f.Used = used.Align(s.Block, s.Size)
	if f.geo, err = parseGeometry(f.super, s.Size); err != nil {
		return nil, err
	}
	if err := f.geo.readGroups(r); err != nil {
		return nil, err
	}
	f.Tables = f.geo.tables()
	return f, nil
}

// Moving are the facts of a file system that changes while it is read: what is in
// use is learned from the stream, all of which counts but zeros.
func (f *Facts) Moving() *Facts {
	moving := *f
	moving.Used, moving.Dirty = nil, true
	moving.free = max(0, f.Size-f.Used.Bytes())
	return &moving
}

// parseGeometry reads a superblock that package ext4 found good.
func parseGeometry(b []byte, size int64) (geometry, error) {
	le := binary.LittleEndian
	u16 := func(off int) int64 { return int64(le.Uint16(b[off:])) }
	u32 := func(off int) int64 { return int64(le.Uint32(b[off:])) }
	g := geometry{
		block: 1024 << (u32(offLogBlock) & 7), first: u32(offFirstData), perGroup: u32(offBlocksPerGroup), cluster: 1,
		inodes: u32(offInodes), inodesPerGroup: u32(offInodesPerGroup), inodeSize: 128, firstInode: 11, descSize: 32, metaBG: 1 << 40,
		compat: le.Uint32(b[offCompat:]), incompat: le.Uint32(b[offIncompat:]), ro: le.Uint32(b[offRO:]),
		reserved: u16(offReservedGDT), backups: [2]int64{u32(offBackupGroups), u32(offBackupGroups + 4)},
		seed: crc32c(^uint32(0), b[offUUID:offUUID+16]),
	}
	if u32(offRevision) > 0 {
		g.inodeSize, g.firstInode = u16(offInodeSize), u32(offFirstInode)
	}
	if g.incompat&incompat64Bit != 0 {
		g.descSize = u16(offDescSize)
	}
	if g.ro&roBigalloc != 0 {
		g.cluster = 1 << ((u32(offLogCluster) - u32(offLogBlock)) & 31)
	}
	if g.incompat&incompatMetaBG != 0 {
		g.metaBG = u32(offFirstMetaBG)
	}
	if g.incompat&incompatCsumSeed != 0 {
		g.seed = le.Uint32(b[offCsumSeed:])
	}
	g.blocks = size / g.block
	powerOf2 := func(n int64) bool { return n > 0 && n&(n-1) == 0 }
	bitmap := 8 * g.block // bits
	switch {
	case g.perGroup <= 0 || g.perGroup%g.cluster != 0 || g.perGroup/g.cluster > bitmap || g.inodesPerGroup <= 0 || g.inodesPerGroup > bitmap,
		g.inodeSize < oldInodeSize || g.inodeSize > g.block || !powerOf2(g.inodeSize),
		g.descSize < offHighHalves || g.descSize > g.block || !powerOf2(g.descSize), g.first >= g.blocks:
		return g, &RefusedError{Damaged, "its superblock contradicts itself"}
	}
	if g.groupCount(g.blocks) > maxGroups {
		return g, &RefusedError{Damaged, fmt.Sprintf("it has %d groups", g.groupCount(g.blocks))}
	}
	return g, nil
}

// groupCount is the number of groups of so many blocks.
func (g *geometry) groupCount(blocks int64) int64 {
	return (blocks - g.first + g.perGroup - 1) / g.perGroup
}

func (g *geometry) descPerBlock() int64 { return g.block / g.descSize }
func (g *geometry) tableBlocks() int64 {
	return (g.inodesPerGroup*g.inodeSize + g.block - 1) / g.block
}

// descBlocks is the number of blocks of descriptors of n groups.
func (g *geometry) descBlocks(n int64) int64 { return (n + g.descPerBlock() - 1) / g.descPerBlock() }

// readGroups reads all group descriptors.
func (g *geometry) readGroups(r io.ReaderAt) error {
	n, b := g.groupCount(g.blocks), make([]byte, g.block)
	hasCsum := g.ro&(roGDTCsum|roMetadataCsum) != 0
	for i := range n {
		if i%g.descPerBlock() == 0 {
			if err := readFull(r, b, g.descBlock(i/g.descPerBlock())*g.block); err != nil {
				return fmt.Errorf("descriptor of group %d: %w", i, err)
			}
		}
		d := b[i%g.descPerBlock()*g.descSize:][:g.descSize]
		x := group{
			blockBitmap: wide(d, offBlockBitmap), inodeBitmap: wide(d, offInodeBitmap), inodeTable: wide(d, offInodeTable),
			freeInodes: narrow(d, offFreeInodes), freeClusters: narrow(d, offFreeClusters),
		}
		x.bitmapCsum, x.csumMask = narrowCsum(d)
		if hasCsum {
			x.unusedInodes = narrow(d, offUnusedInodes)
			flags := binary.LittleEndian.Uint16(d[offGroupFlags:])
			if flags&groupInodeUninit != 0 {
				x.unusedInodes = g.inodesPerGroup
			}
			x.bitmapUninit = flags&groupBlockUninit != 0
		}
		x.unusedInodes = min(x.unusedInodes, g.inodesPerGroup)
		g.groups = append(g.groups, x)
	}
	return nil
}

// wide is a field of 32 bits, and of 64 where the descriptor is long.
func wide(d []byte, off int) int64 {
	v := int64(binary.LittleEndian.Uint32(d[off:]))
	if len(d) >= 2*offHighHalves {
		v |= int64(binary.LittleEndian.Uint32(d[off+offHighHalves:])) << 32
	}
	return v & (1<<46 - 1)
}

// narrow is a field of 16 bits, and of 32 where the descriptor is long.
func narrow(d []byte, off int) int64 {
	v := int64(binary.LittleEndian.Uint16(d[off:]))
	if len(d) >= 2*offHighHalves {
		v |= int64(binary.LittleEndian.Uint16(d[off+offHighHalves:])) << 16
	}
	return v
}

// narrowCsum is a bitmap's checksum, and which of its bits there are.
func narrowCsum(d []byte) (sum, mask uint32) {
	if mask = 0xffff; len(d) >= 2*offHighHalves {
		mask = ^uint32(0)
	}
	return uint32(narrow(d, offBitmapCsum)), mask
}

// descBlock is the place of the i-th block of descriptors. Linux v6.12,
// fs/ext4/super.c, descriptor_loc.
func (g *geometry) descBlock(i int64) int64 {
	if i < g.metaBG {
		return superOff/g.block + 1 + i
	}
	n := i * g.descPerBlock()
	at := g.first + n*g.perGroup
	if g.hasSuper(n) {
		at++
	}
	return at
}

// hasSuper tells whether group n begins with a copy of the superblock. Linux
// v6.12, fs/ext4/balloc.c, ext4_bg_has_super.
func (g *geometry) hasSuper(n int64) bool {
	switch {
	case n == 0:
		return true
	case g.compat&compatSparseSuper2 != 0:
		return n == g.backups[0] || n == g.backups[1]
	case n == 1 || g.ro&roSparseSuper == 0:
		return true
	}
	return slices.ContainsFunc([]int64{3, 5, 7}, func(base int64) bool {
		power := base
		for power < n {
			power *= base
		}
		return power == n
	})
}

// baseBlocks is the number of blocks at the start of group n that hold copies of
// the superblock and the descriptors. Linux v6.12, fs/ext4/balloc.c,
// ext4_num_base_meta_blocks.
func (g *geometry) baseBlocks(n int64) int64 {
	blocks := int64(0)
	if g.hasSuper(n) {
		blocks++
		if n/g.descPerBlock() < g.metaBG {
			blocks += min(g.descBlocks(g.groupCount(g.blocks)), g.metaBG) + g.reserved
		}
	}
	if k := n % g.descPerBlock(); n/g.descPerBlock() >= g.metaBG && (k <= 1 || k == g.descPerBlock()-1) {
		blocks++
	}
	return blocks
}

// tables are the bytes of all tables.
func (g *geometry) tables() extent.Set {
	es := []extent.Extent{{Off: 0, Len: (g.first + 1) * g.block}}
	add := func(at, n int64) { es = append(es, extent.Extent{Off: at * g.block, Len: n * g.block}) }
	for i, x := range g.groups {
		add(g.first+int64(i)*g.perGroup, g.baseBlocks(int64(i)))
		add(x.blockBitmap, 1)
		add(x.inodeBitmap, 1)
		add(x.inodeTable, g.tableBlocks())
	}
	return extent.Of(es...).Clip(extent.Extent{Off: 0, Len: g.blocks * g.block})
}

// clusterTables are the tables, widened to whole clusters: resize2fs takes a
// cluster with any table in it for one.
func (f *Facts) clusterTables() extent.Set { return f.Tables.Align(f.geo.cluster*f.Block, f.Size) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc32c is the kernel's crc32c_le: neither seed nor result are inverted.
func crc32c(seed uint32, p []byte) uint32 { return ^crc32.Update(^seed, castagnoli, p) }

// readFull fills p from off; an early end is an error.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(p), off, err)
}
