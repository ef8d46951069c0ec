package fat

import (
	"fmt"
	"io"

	"lifeboat/clone/extent"
)

// notBootable is what a PC does that takes the part for a boot part: INT 18h,
// the next disk, and where there is none it halts.
const notBootable = "\xcd\x18\xf4\xeb\xfd"

// bootSector makes the boot sector. parseBoot reads it.
func (p *formatPlan) bootSector(label alias, serial uint32, o Options) []byte {
	b := make([]byte, bootSize)
	b[offSignature], b[offSignature+1] = 0x55, 0xaa
	copy(b[offOEM:], "lifeboat")
	le.PutUint16(b[offSector:], uint16(p.sector))
	b[offPerCluster] = byte(p.cluster / p.sector)
	le.PutUint16(b[offReserved:], uint16(p.fatOff/p.sector))
	b[offFATs] = byte(p.fats)
	le.PutUint16(b[offRootEntries:], uint16(p.rootLen/slotSize))
	b[offMedia] = p.media
	le.PutUint16(b[offPerTrack:], uint16(p.track))
	le.PutUint16(b[offHeads:], uint16(p.heads))
	le.PutUint32(b[offHidden:], uint32(o.Hidden/p.sector))
	if total := p.size / p.sector; p.bits != 32 && total < 1<<16 {
		le.PutUint16(b[offTotal16:], uint16(total))
	} else {
		le.PutUint32(b[offTotal32:], uint32(total))
	}
	if p.bits == 32 {
		le.PutUint32(b[offFATLen32:], uint32(p.fatLen/p.sector))
		le.PutUint32(b[offRootStart:], p.rootStart)
		le.PutUint16(b[offInfo:], infoSector)
		le.PutUint16(b[offBackup:], backupSector)
	} else {
		le.PutUint16(b[offFATLen16:], uint16(p.fatLen/p.sector))
	}
	ext := b[p.base():]
	ext[offDrive], ext[offExt] = driveDisk, extLabel
	le.PutUint32(ext[offSerial:], serial)
	copy(ext[offLabel:], label[:])
	if o.Label == "" {
		copy(ext[offLabel:], noLabel)
	}
	copy(ext[offKind:], fmt.Sprintf("FAT%d   ", p.bits))
	code := int(p.base()) + offKind + 8
	copy(b[code:], notBootable)
	b[offJump], b[offJump+1], b[offJump+2] = 0xeb, byte(code-2), 0x90
	return b
}

// zeroed is how much must be zero from the beginning on: all before the first
// cluster, and the one that the root directory has in FAT32.
func (p *formatPlan) zeroed() int64 {
	if p.bits == 32 {
		return p.dataOff + p.cluster
	}
	return p.dataOff
}

// rootAt is where the root directory begins.
func (p *formatPlan) rootAt() int64 {
	if p.bits == 32 {
		return p.dataOff
	}
	return p.rootOff
}

// sectorOf fills a sector up with zeros: disks are written in whole ones.
func (p *formatPlan) sectorOf(b []byte) []byte {
	return append(b, make([]byte, p.sector-int64(len(b)))...)
}

// writeTables writes the first entries of each FAT: the media byte, an end
// mark whose clean bits are set, and the chain of FAT32's root directory.
func (p *formatPlan) writeTables(w io.WriterAt) error {
	b := make([]byte, p.sector)
	first := func(c, v uint32) { p.setEntry(b, int64(c)*int64(p.bits)/8, c, v) }
	first(0, p.mask()&^0xff|uint32(p.media))
	first(1, p.mask())
	if p.bits == 32 {
		first(p.rootStart, p.mask())
	}
	for n := range p.fats {
		if _, err := w.WriteAt(b, p.fatOff+n*p.fatLen); err != nil {
			return fmt.Errorf("FAT %d: %w", n, err)
		}
	}
	return nil
}

// writeFAT32 writes the backup boot sector and both FSInfo sectors.
func (p *formatPlan) writeFAT32(w io.WriterAt, boot []byte) error {
	info := make([]byte, p.sector)
	le.PutUint32(info[offInfoLead:], infoLead)
	le.PutUint32(info[offInfoStruct:], infoStruct)
	le.PutUint32(info[offInfoFree:], uint32(p.clusters-1))
	le.PutUint32(info[offInfoNext:], p.rootStart+1)
	le.PutUint32(info[offInfoTrail:], infoTrail)
	if _, err := w.WriteAt(p.sectorOf(boot), p.backupOff); err != nil {
		return fmt.Errorf("backup boot sector: %w", err)
	}
	for _, off := range []int64{p.infoOff, p.backupOff + p.infoOff} {
		if _, err := w.WriteAt(info, off); err != nil {
			return fmt.Errorf("FSInfo sector at %d: %w", off, err)
		}
	}
	return nil
}

// writeZeros writes zeros from off to end.
func writeZeros(w io.WriterAt, off, end int64) error {
	buf := extent.Buffer()
	defer extent.Release(buf)
	clear(buf[:])
	for off < end {
		n := min(extent.BufferSize, end-off)
		if _, err := w.WriteAt(buf[:n], off); err != nil {
			return fmt.Errorf("zeros at %d: %w", off, err)
		}
		off += n
	}
	return nil
}
