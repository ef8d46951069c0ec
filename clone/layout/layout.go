// Package layout answers: how is a disk cut up? It reads partition tables (MBR
// with logical parts, GPT), fits them to a disk of another size, gives them new
// IDs, and writes them so that a disk whose writing was interrupted has none.
//
// It knows sectors; whoever uses it knows bytes only. It looks into no part,
// tells no kernel that a table has changed, and chooses no disk.
package layout

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

var le = binary.LittleEndian

// maxSector is the largest sector a disk is known to have.
const maxSector = 4096

// A FarError says that the table goes on at Off, in bytes that a source of
// unknown size cannot give yet. What came with it is right, but lacks the
// logical parts behind Off.
type FarError struct{ Off int64 }

func (e *FarError) Error() string {
	return fmt.Sprintf("the partition table goes on at byte %d, which cannot be read yet", e.Off)
}

// Read reads the partition table of a disk of size bytes with sectors of sector
// bytes. A size of 0 is not known: r may then end anywhere, and a *FarError
// comes with all that was found before its end.
//
// A disk without a table is a Table of kind NoTable and no error. One whose
// table is broken, or cuts it up in a way that Write could not repeat, is an
// error. What deserves to be told is in the table's Notes.
func Read(r io.ReaderAt, size, sector int64) (manifest.Table, error) {
	var none manifest.Table
	if err := checkSector(sector); err != nil {
		return none, err
	}
	first := make([]byte, sector)
	n, err := r.ReadAt(first, 0)
	switch {
	case n < mbrSize && size < mbrSize && errors.Is(err, io.EOF):
		return none, nil // too small for a table
	case n < mbrSize:
		return none, fmt.Errorf("read the first sector: %w", noEOF(err))
	}
	// The rules of Linux v6.12, block/partitions/msdos.c and efi.c.
	if first[offMagic] != 0x55 || first[offMagic+1] != 0xaa {
		return none, nil
	}
	lines := linesOf(first)
	for _, l := range lines {
		if l.flag != 0 && l.flag != flagActive {
			return none, nil // a boot sector, but not of a table
		}
	}
	if looksFAT(first, lines) {
		return none, nil
	}
	for _, l := range lines {
		if l.kind == typeProtective {
			return readGPT(r, first, size, sector)
		}
	}
	return readMBR(r, first, size, sector)
}

// Fields of a FAT boot sector: Microsoft, FAT32 File System Specification 1.03.
const (
	offFATSector   = 11 // bytes a sector, 16 bits
	offFATCluster  = 13 // sectors a cluster
	offFATReserved = 14 // 16 bits
	offFATCount    = 16
	offFATMedia    = 21
	offFAT16Name   = 54 // "FAT12   ", "FAT16   "
	offFAT32Name   = 82 // "FAT32   "
)

// looksFAT tells whether the first sector begins a FAT file system that fills
// the whole disk. Its boot code lies where a table would be, and mostly looks
// like an empty one.
func looksFAT(b []byte, lines [4]line) bool {
	cluster, sectorSize := b[offFATCluster], le.Uint16(b[offFATSector:])
	plausible := (b[0] == 0xeb || b[0] == 0xe9) &&
		sectorSize >= 512 && sectorSize <= maxSector && sectorSize&(sectorSize-1) == 0 &&
		cluster != 0 && cluster&(cluster-1) == 0 &&
		le.Uint16(b[offFATReserved:]) != 0 &&
		(b[offFATCount] == 1 || b[offFATCount] == 2) &&
		(b[offFATMedia] == 0xf0 || b[offFATMedia] >= 0xf8)
	named := string(b[offFAT16Name:offFAT16Name+3]) == "FAT" || string(b[offFAT32Name:offFAT32Name+3]) == "FAT"
	return plausible && (named || lines == [4]line{})
}

func checkSector(sector int64) error {
	if sector < mbrSize || sector > maxSector || sector&(sector-1) != 0 {
		return fmt.Errorf("a sector of %d bytes: only 512 to %d are known", sector, maxSector)
	}
	return nil
}

// noEOF makes the end of a disk an error that says that it came too early.
func noEOF(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// sectorAt is the sector that begins at off.
func sectorAt(off, sector int64) extent.Extent { return extent.Extent{Off: off, Len: sector} }

func alignDown(n, to int64) int64 { return n / to * to }

// alignUp rounds n up to a multiple of to; n lies far below the largest int64.
func alignUp(n, to int64) int64 { return (n + to - 1) / to * to }

// limitOf is where a disk of size bytes ends, as far as that is known.
func limitOf(size int64) int64 {
	if size <= 0 {
		return math.MaxInt64
	}
	return size
}
