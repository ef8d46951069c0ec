package ext4

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"strings"
)

// Superblock: Linux v6.12, fs/ext4/ext4.h, struct ext4_super_block.
const (
	SuperOff  = 1024 // where it lies, bytes
	superSize = 1024

	offInodes          = 0x0
	offBlocks          = 0x4
	offFreeBlocks      = 0xc
	offFreeInodes      = 0x10
	offFirstData       = 0x14
	offLogBlock        = 0x18
	offLogCluster      = 0x1c
	offBlocksPerGroup  = 0x20
	offClusterPerGroup = 0x24
	offInodesPerGroup  = 0x28
	offMagic           = 0x38
	offState           = 0x3a
	offRevision        = 0x4c
	offFirstInode      = 0x54
	offInodeSize       = 0x58
	offCompat          = 0x5c
	offIncompat        = 0x60
	offRO              = 0x64
	offUUID            = 0x68
	offLabel           = 0x78
	offReservedGDT     = 0xce
	offJournalInode    = 0xe0
	offDescSize        = 0xfe
	offFirstMetaBG     = 0x104
	offBlocksHigh      = 0x150
	offFreeBlocksHigh  = 0x158
	offCsumType        = 0x175
	offBackupGroups    = 0x24c
	offProjectQuota    = 0x26c
	offCsumSeed        = 0x270
	offOrphanFile      = 0x280
	offSuperCsum       = 0x3fc

	superMagic    = 0xef53
	csumTypeCRC32 = 1
	stateValid    = 1
	stateErrors   = 2

	maxLogBlock   = 6 // 64 KiB
	maxLogCluster = 20

	oldFirstInode = 11 // of revision 0: those below are the file system's own
	// maxDescriptors is enough for 64 TiB with 4 KiB blocks.
	maxDescriptors = 32 << 20
)

// A super is a superblock, checked in itself. Counts are of blocks, clusters,
// groups or inodes as their names say, sizes are bytes.
type super struct {
	block, inodeSize, descSize         int64
	blocks, first, freeBlocks          int64
	blocksPerGroup, clusterBlocks      int64
	groups, descPerBlock               int64
	inodes, freeInodes, inodesPerGroup int64
	firstInode                         int64
	reservedGDT, firstMetaBG           int64
	backupGroups                       [2]int64

	compat, incompat, ro uint32
	state                uint16
	label                string
	uuid                 [16]byte
	journalInode         uint32
	ownInodes            [2]uint32 // of the file system, beside those below firstInode
	seed                 uint32    // of all checksums
	raw                  []byte
}

func readSuper(r io.ReaderAt, size int64) (*super, error) {
	if size < SuperOff+superSize {
		return nil, ErrNotExt
	}
	var b [superSize]byte
	if err := readAt(r, b[:], SuperOff); err != nil {
		return nil, fmt.Errorf("superblock: %w", err)
	}
	return parseSuper(b[:])
}

func parseSuper(b []byte) (*super, error) {
	le := binary.LittleEndian
	if le.Uint16(b[offMagic:]) != superMagic {
		return nil, ErrNotExt
	}
	s := &super{
		freeInodes:     int64(le.Uint32(b[offFreeInodes:])),
		first:          int64(le.Uint32(b[offFirstData:])),
		blocksPerGroup: int64(le.Uint32(b[offBlocksPerGroup:])),
		inodes:         int64(le.Uint32(b[offInodes:])),
		inodesPerGroup: int64(le.Uint32(b[offInodesPerGroup:])),
		reservedGDT:    int64(le.Uint16(b[offReservedGDT:])),
		firstMetaBG:    int64(le.Uint32(b[offFirstMetaBG:])),
		backupGroups:   [2]int64{int64(le.Uint32(b[offBackupGroups:])), int64(le.Uint32(b[offBackupGroups+4:]))},
		compat:         le.Uint32(b[offCompat:]),
		incompat:       le.Uint32(b[offIncompat:]),
		ro:             le.Uint32(b[offRO:]),
		state:          le.Uint16(b[offState:]),
		label:          text(b[offLabel : offLabel+16]),
		uuid:           [16]byte(b[offUUID:]),
		journalInode:   le.Uint32(b[offJournalInode:]),
		ownInodes:      [2]uint32{le.Uint32(b[offProjectQuota:]), le.Uint32(b[offOrphanFile:])},
		raw:            b,
	}
	if err := s.checkSum(b); err != nil {
		return nil, err
	}
	return s, s.parseSizes(b)
}

// checkSum holds the superblock against its own checksum.
func (s *super) checkSum(b []byte) error {
	le := binary.LittleEndian
	s.seed = crc32c(^uint32(0), s.uuid[:])
	if s.incompat&incompatCsumSeed != 0 {
		s.seed = le.Uint32(b[offCsumSeed:])
	}
	if !s.hasCsum() {
		return nil
	}
	if t := b[offCsumType]; t != csumTypeCRC32 {
		return unsure("its checksums are of the unknown type %d", t)
	}
	if crc32c(^uint32(0), b[:offSuperCsum]) != le.Uint32(b[offSuperCsum:]) {
		return unsure("the superblock's checksum is wrong")
	}
	return nil
}

// parseSizes reads what depends on revision and features.
func (s *super) parseSizes(b []byte) error {
	le := binary.LittleEndian
	logBlock, logCluster := le.Uint32(b[offLogBlock:]), le.Uint32(b[offLogCluster:])
	if logBlock > maxLogBlock {
		return unsure("its block size is 1024 << %d bytes", logBlock)
	}
	s.block, s.clusterBlocks = 1024<<logBlock, 1
	if s.ro&roBigalloc != 0 {
		if logCluster < logBlock || logCluster > maxLogCluster {
			return unsure("its cluster size is 1024 << %d bytes", logCluster)
		}
		s.clusterBlocks = 1 << (logCluster - logBlock)
		if cpg := int64(le.Uint32(b[offClusterPerGroup:])); cpg*s.clusterBlocks != s.blocksPerGroup {
			return unsure("%d clusters of %d blocks do not make a group of %d blocks", cpg, s.clusterBlocks, s.blocksPerGroup)
		}
	}
	s.inodeSize, s.firstInode = oldInodeSize, oldFirstInode
	if le.Uint32(b[offRevision:]) > 0 {
		s.inodeSize, s.firstInode = int64(le.Uint16(b[offInodeSize:])), int64(le.Uint32(b[offFirstInode:]))
	}
	blocks, free := uint64(le.Uint32(b[offBlocks:])), uint64(le.Uint32(b[offFreeBlocks:]))
	s.descSize = 32
	if s.incompat&incompat64Bit != 0 {
		blocks |= uint64(le.Uint32(b[offBlocksHigh:])) << 32
		free |= uint64(le.Uint32(b[offFreeBlocksHigh:])) << 32
		s.descSize = int64(le.Uint16(b[offDescSize:]))
	}
	if blocks > 1<<46 || free > blocks {
		return unsure("its superblock counts %d blocks, %d of them free", blocks, free)
	}
	s.blocks, s.freeBlocks = int64(blocks), int64(free)
	if s.incompat&incompatJournalDev != 0 {
		return nil // it has no groups
	}
	return s.checkGeometry()
}

func (s *super) checkGeometry() error {
	powerOf2 := func(n int64) bool { return n > 0 && bits.OnesCount64(uint64(n)) == 1 }
	switch {
	case s.inodeSize < oldInodeSize || s.inodeSize > s.block || !powerOf2(s.inodeSize):
		return unsure("its inodes have %d bytes", s.inodeSize)
	case s.descSize < 32 || s.descSize > 1024 || !powerOf2(s.descSize), s.incompat&incompat64Bit != 0 && s.descSize < 64:
		return unsure("its group descriptors have %d bytes", s.descSize)
	case s.blocksPerGroup <= 0 || s.clustersPerGroup()%8 != 0 || s.clustersPerGroup() > s.block*8 || s.clustersPerGroup() == 0:
		return unsure("its groups have %d blocks", s.blocksPerGroup)
	case s.inodesPerGroup <= 0 || s.inodesPerGroup > s.block*8:
		return unsure("its groups have %d inodes", s.inodesPerGroup)
	case s.first > 1 || s.blocks <= s.first:
		return unsure("it has %d blocks from block %d on", s.blocks, s.first)
	}
	s.descPerBlock = s.block / s.descSize
	s.groups = s.groupsOf(s.blocks)
	return nil
}

// check holds the superblock against the part and against what we can read.
func (s *super) check(size int64) error {
	_, unknown := names(s.incompat, incompatFeatures, "I")
	switch {
	case s.incompat&incompatJournalDev != 0:
		return unsure("it is the journal of another file system")
	case len(unknown) > 0:
		return unsure("it has unknown features: %s", strings.Join(unknown, " "))
	case s.blocks > size/s.block:
		return unsure("it has %d bytes, the part only %d", s.blocks*s.block, size)
	case s.inodes != s.groups*s.inodesPerGroup:
		return unsure("its %d groups of %d inodes do not hold %d inodes", s.groups, s.inodesPerGroup, s.inodes)
	case s.groups*s.descSize > maxDescriptors:
		return unsure("it has %d groups", s.groups)
	}
	return nil
}

func (s *super) clustersPerGroup() int64 { return s.blocksPerGroup / s.clusterBlocks }
func (s *super) dirty() bool             { return s.incompat&incompatRecover != 0 }
func (s *super) hasCsum() bool           { return s.ro&roMetadataCsum != 0 }
func (s *super) hasGroupCsum() bool      { return s.ro&(roGDTCsum|roMetadataCsum) != 0 }

func (s *super) externalJournal() bool {
	return s.compat&compatHasJournal != 0 && s.journalInode == 0
}

func (s *super) uuidString() string { return uuidString(s.uuid) }

func uuidString(u [16]byte) string {
	if u == [16]byte{} {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// text is a name that ends with its field or the first zero byte.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
