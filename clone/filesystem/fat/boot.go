package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// ErrNotFAT says that a part does not begin with a FAT boot sector that Linux
// would mount.
var ErrNotFAT = errors.New("not a FAT file system")

// Fields of the boot sector: Microsoft, "FAT: General Overview of On-Disk
// Format", 1.03; Linux v6.12, include/uapi/linux/msdos_fs.h, struct
// fat_boot_sector.
const (
	bootSize = 512 // what is defined of it, whatever the sector size

	offJump        = 0
	offOEM         = 3
	offSector      = 11
	offPerCluster  = 13
	offReserved    = 14
	offFATs        = 16
	offRootEntries = 17
	offTotal16     = 19
	offMedia       = 21
	offFATLen16    = 22
	offPerTrack    = 24
	offHeads       = 26
	offHidden      = 28
	offTotal32     = 32

	// FAT32 only
	offFATLen32  = 36
	offFlags     = 40
	offVersion   = 42
	offRootStart = 44
	offInfo      = 48
	offBackup    = 50

	offSignature = 510

	// the block that both have, behind base12 or base32
	base12, base32 = 36, 64

	offDrive, offState, offExt, offSerial, offLabel, offKind = 0, 1, 2, 3, 7, 18
)

const (
	signature = 0xaa55
	stateDirt = 1    // Linux sets it while the file system is mounted
	extSerial = 0x28 // a serial follows
	extLabel  = 0x29 // a serial, a label and a type follow
	flagOne   = 0x80 // offFlags: only the FAT that the low bits name is kept up
)

// Limits of the three kinds, in clusters: the same document, page 15; and
// Linux v6.12, fs/fat/fat.h, MAX_FAT12 and its like.
const (
	maxClusters12 = 4084
	maxClusters16 = 65524
	maxClusters32 = 0x0ffffff4

	firstCluster = 2
)

var le = binary.LittleEndian

// geometry is where the pieces of a file system lie, in bytes.
type geometry struct {
	bits     int // of a FAT's entry: 12, 16 or 32
	sector   int64
	cluster  int64
	size     int64 // of the file system; the part may be larger
	fatOff   int64
	fatLen   int64 // of one FAT
	fats     int64
	rootOff  int64 // 12 and 16 bits: the fixed root directory
	rootLen  int64
	dataOff  int64
	clusters int64
	media    byte
	lone     int64 // the only FAT that is kept up to date, -1 = all are

	// 32 bits; 0 = there is none
	rootStart uint32
	infoOff   int64
	backupOff int64
	stray     []int64 // where the boot sector has them outside of what is reserved: others read them there
}

// base is where the block with serial and label lies in the boot sector.
func (g *geometry) base() int64 {
	if g.bits == 32 {
		return base32
	}
	return base12
}

// valid tells whether c is the number of a cluster.
func (g *geometry) valid(c uint32) bool {
	return c >= firstCluster && int64(c) < firstCluster+g.clusters
}

// off is where a cluster begins.
func (g *geometry) off(c uint32) int64 { return g.dataOff + int64(c-firstCluster)*g.cluster }

// at is the cluster that begins at off.
func (g *geometry) at(off int64) uint32 { return uint32((off-g.dataOff)/g.cluster) + firstCluster }

// mask, bad and end are values of a FAT's entry: its bits, a bad cluster, and
// the least of those that end a chain.
func (g *geometry) mask() uint32 { return [...]uint32{12: 0xfff, 16: 0xffff, 32: 0x0fffffff}[g.bits] }
func (g *geometry) bad() uint32  { return g.mask() - 8 }
func (g *geometry) end() uint32  { return g.mask() - 7 }

// tableLen is how much of a FAT n clusters take, in bytes.
func tableLen(bits int, n int64) int64 { return ((n+firstCluster)*int64(bits) + 7) / 8 }

// readBoot reads the boot sector of a part and finds out where all lies. The
// notes say what is odd, yet mounted by Linux.
func readBoot(r io.ReaderAt, size int64) (b []byte, g *geometry, notes []string, err error) {
	if size < bootSize {
		return nil, nil, nil, fmt.Errorf("boot sector: part of %d bytes: %w", size, ErrNotFAT)
	}
	b = make([]byte, bootSize)
	if _, err := r.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, nil, nil, fmt.Errorf("boot sector: %w", err)
	}
	g, notes, err = parseBoot(b)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("boot sector: %w", err)
	}
	if g.size > size {
		return nil, nil, nil, fmt.Errorf("boot sector: FAT file system of %d bytes in a part of %d bytes", g.size, size)
	}
	return b, g, notes, nil
}

// parseBoot holds the boot sector against all rules by which Linux and
// fsck.vfat refuse one.
func parseBoot(b []byte) (*geometry, []string, error) {
	if err := checkBoot(b); err != nil {
		return nil, nil, err
	}
	g := &geometry{sector: int64(le.Uint16(b[offSector:])), fats: int64(b[offFATs]), media: b[offMedia], lone: -1}
	g.cluster = g.sector * int64(b[offPerCluster])
	total := int64(le.Uint16(b[offTotal16:]))
	if total == 0 {
		total = int64(le.Uint32(b[offTotal32:]))
	}
	g.size = total * g.sector
	g.fatOff = int64(le.Uint16(b[offReserved:])) * g.sector
	g.fatLen = int64(le.Uint16(b[offFATLen16:])) * g.sector
	fat32 := g.fatLen == 0
	if fat32 {
		g.fatLen = int64(le.Uint32(b[offFATLen32:])) * g.sector
	}
	g.rootOff = g.fatOff + g.fats*g.fatLen
	g.rootLen = int64(le.Uint16(b[offRootEntries:])) * slotSize
	g.dataOff = g.rootOff + g.rootLen
	switch {
	case g.fatLen == 0:
		return nil, nil, fmt.Errorf("FATs of no length: %w", ErrNotFAT)
	case g.rootLen%g.sector != 0 || g.rootLen == 0 && !fat32:
		return nil, nil, fmt.Errorf("root directory of %d bytes: %w", g.rootLen, ErrNotFAT)
	case g.dataOff+g.cluster > g.size:
		return nil, nil, fmt.Errorf("files begin at %d of %d bytes: %w", g.dataOff, g.size, ErrNotFAT)
	}
	notes, err := g.setKind(b, fat32)
	return g, notes, err
}

// checkBoot looks at the fields that stand for themselves.
func checkBoot(b []byte) error {
	sector, per := le.Uint16(b[offSector:]), b[offPerCluster]
	switch {
	case le.Uint16(b[offSignature:]) != signature:
		return fmt.Errorf("signature %04x: %w", le.Uint16(b[offSignature:]), ErrNotFAT)
	case b[offJump] != 0xeb && b[offJump] != 0xe9:
		return fmt.Errorf("first byte %02x is no jump: %w", b[offJump], ErrNotFAT)
	case sector < 512 || sector > 4096 || bits.OnesCount16(sector) != 1:
		return fmt.Errorf("sectors of %d bytes: %w", sector, ErrNotFAT)
	case bits.OnesCount8(per) != 1:
		return fmt.Errorf("%d sectors a cluster: %w", per, ErrNotFAT)
	case le.Uint16(b[offReserved:]) == 0 || b[offFATs] == 0 || b[offFATs] > 4:
		return fmt.Errorf("%d reserved sectors and %d FATs: %w", le.Uint16(b[offReserved:]), b[offFATs], ErrNotFAT)
	case b[offMedia] != 0xf0 && b[offMedia] < 0xf8:
		return fmt.Errorf("media byte %02x: %w", b[offMedia], ErrNotFAT)
	}
	return nil
}

// setKind counts the clusters, and with them decides between 12 and 16 bits.
// That a FAT32 is known by its FAT's length alone is Linux's rule and
// fsck.vfat's.
func (g *geometry) setKind(b []byte, fat32 bool) (notes []string, err error) {
	g.clusters = (g.size - g.dataOff) / g.cluster
	limit := int64(maxClusters16)
	switch {
	case fat32:
		g.bits, limit = 32, maxClusters32
	case g.clusters <= maxClusters12:
		g.bits = 12
	default:
		g.bits = 16
	}
	if g.clusters > limit {
		return nil, fmt.Errorf("%d clusters for a FAT of %d bits: %w", g.clusters, g.bits, ErrNotFAT)
	}
	if room := g.fatLen*8/int64(g.bits) - firstCluster; g.clusters > room {
		notes = append(notes, fmt.Sprintf("the FATs are too small for %d clusters; those behind the first %d are out of use", g.clusters, room))
		g.clusters = room
	}
	if g.clusters <= 0 {
		return nil, fmt.Errorf("no clusters: %w", ErrNotFAT)
	}
	if !fat32 {
		return notes, nil
	}
	more, err := g.setFAT32(b)
	return append(notes, more...), err
}

// setFAT32 reads what only FAT32 has.
func (g *geometry) setFAT32(b []byte) (notes []string, err error) {
	g.rootStart = le.Uint32(b[offRootStart:])
	if le.Uint16(b[offVersion:]) != 0 {
		return nil, fmt.Errorf("FAT32 of version %04x: %w", le.Uint16(b[offVersion:]), ErrNotFAT)
	}
	if !g.valid(g.rootStart) {
		return nil, fmt.Errorf("root directory at cluster %d of %d: %w", g.rootStart, g.clusters, ErrNotFAT)
	}
	if flags := le.Uint16(b[offFlags:]); flags&flagOne != 0 {
		g.lone = int64(flags & 0xf)
		notes = append(notes, fmt.Sprintf("only FAT %d is kept up to date", g.lone))
	}
	if g.clusters <= maxClusters16 {
		notes = append(notes, fmt.Sprintf("%d clusters are too few for FAT32: some firmware and mtools refuse them", g.clusters))
	}
	within := func(field int) int64 {
		off := int64(le.Uint16(b[field:])) * g.sector
		if off < g.fatOff {
			return off
		}
		g.stray = append(g.stray, off)
		return 0
	}
	g.infoOff, g.backupOff = within(offInfo), within(offBackup)
	return notes, nil
}
