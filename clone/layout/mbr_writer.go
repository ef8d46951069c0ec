package layout

import (
	"fmt"
	"strconv"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// A piece is bytes and their place on the disk.
type piece struct {
	off  int64
	data []byte
}

// mbrPieces are the first mbrSize bytes of each record of a table that check
// has passed: the extended boot records, then the MBR.
func mbrPieces(t manifest.Table, sector int64) []piece {
	first := make([]byte, mbrSize)
	putMagic(first)
	copy(first[:codeSize], t.Code)
	id, _ := strconv.ParseUint(t.ID, 16, 32)
	le.PutUint32(first[offDiskID:], uint32(id))
	for _, e := range t.Entries {
		if e.Num < firstLogical {
			putLine(first, e.Num-1, e, 0, sector)
		}
	}
	return append(chainPieces(t, sector), piece{0, first})
}

// chainPieces are the extended boot records. The first one lies at the start of
// the extended part, though it may hold no logical part.
func chainPieces(t manifest.Table, sector int64) []piece {
	ext, ok := extended(t)
	if !ok {
		return nil
	}
	chain := logicals(t)
	if len(chain) == 0 || chain[0].EBR != ext.Extent.Off {
		chain = append([]manifest.Entry{{EBR: ext.Extent.Off}}, chain...)
	}
	var pieces []piece
	for i, e := range chain {
		b := make([]byte, mbrSize)
		putMagic(b)
		if e.Num != 0 {
			putLine(b, 0, e, e.EBR, sector)
		}
		if i+1 < len(chain) {
			next := chain[i+1]
			link := manifest.Entry{Type: "05", Extent: extent.Extent{Off: next.EBR, Len: next.Extent.End() - next.EBR}}
			putLine(b, 1, link, ext.Extent.Off, sector)
		}
		pieces = append(pieces, piece{e.EBR, b})
	}
	return pieces
}

// logicals are the entries 5 and up, in the order of their chain.
func logicals(t manifest.Table) []manifest.Entry {
	var chain []manifest.Entry
	for _, e := range t.Entries {
		if e.Num >= firstLogical {
			chain = append(chain, e)
		}
	}
	return chain
}

func putMagic(b []byte) { b[offMagic], b[offMagic+1] = 0x55, 0xaa }

// putLine writes line i of a record. The start is counted from byte base.
func putLine(b []byte, i int, e manifest.Entry, base, sector int64) {
	l := b[offLines+i*lineSize:][:lineSize]
	if e.Active {
		l[0] = flagActive
	}
	kind, _ := strconv.ParseUint(e.Type, 16, 8)
	l[4] = byte(kind)
	startLBA, endLBA := e.Extent.Off/sector, e.Extent.End()/sector-1
	putCHS(l[1:4], startLBA)
	putCHS(l[5:8], endLBA)
	le.PutUint32(l[8:], uint32((e.Extent.Off-base)/sector))
	le.PutUint32(l[12:], uint32(e.Extent.Len/sector))
}

// The geometry that all tools have agreed on since disks have none.
const (
	heads        = 255
	trackSectors = 63
	maxCylinder  = 1023
)

// putCHS writes head, sector and cylinder as sfdisk does; what lies behind the
// last cylinder is fe ff ff.
func putCHS(b []byte, lba int64) {
	cylinder, rest := lba/(heads*trackSectors), lba%(heads*trackSectors)
	head, sect := rest/trackSectors, rest%trackSectors+1
	if cylinder > maxCylinder {
		cylinder, head, sect = maxCylinder, heads-1, trackSectors
	}
	b[0], b[1], b[2] = byte(head), byte(sect)|byte(cylinder>>2)&0xc0, byte(cylinder)
}

// ownMBR are the sectors that hold an MBR's lines.
func ownMBR(t manifest.Table, sector int64) extent.Set {
	own := []extent.Extent{sectorAt(0, sector)}
	for _, e := range t.Entries {
		switch {
		case e.Extended:
			own = append(own, sectorAt(e.Extent.Off, sector))
		case e.Num >= firstLogical:
			own = append(own, sectorAt(e.EBR, sector))
		}
	}
	return extent.Of(own...)
}

// parseDiskID takes eight hex digits.
func parseDiskID(s string) (uint32, error) {
	id, err := strconv.ParseUint(s, 16, 32)
	if err != nil || len(s) != 8 {
		return 0, fmt.Errorf("disk ID %q: not eight hex digits", s)
	}
	return uint32(id), nil
}
