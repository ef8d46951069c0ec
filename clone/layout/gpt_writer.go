package layout

import (
	"fmt"
	"hash/crc32"
	"math"
	"strings"

	"github.com/diskfs/go-diskfs/partition/gpt"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// protective is typeProtective as an Entry says it.
const protective = "ee"

// A place is where the pieces of a GPT lie on a disk, in bytes.
type place struct {
	slots         int
	array, backup extent.Extent // the entries; the backup's header follows behind
	usable        extent.Extent // for parts
	end           int64         // of the disk; 0 = not known
}

// placeGPT lays a table out on a disk of size bytes. Without a size there is no
// backup, and no end of what is usable.
func placeGPT(t manifest.Table, size, sector int64) place {
	g := place{slots: t.Slots}
	if g.slots == 0 {
		g.slots = diskfsSlots
	}
	room := alignUp(int64(g.slots)*slotSize, sector)
	g.array = extent.Extent{Off: t.Array, Len: room}
	if t.Array == 0 {
		g.array.Off = 2 * sector
	}
	g.usable.Off = t.First
	if t.First == 0 {
		g.usable.Off = g.array.End()
	}
	if size <= 0 {
		g.usable.Len = math.MaxInt64 - g.usable.Off
		return g
	}
	g.end = alignDown(size, sector)
	g.backup = extent.Extent{Off: g.end - sector - room, Len: room}
	g.usable.Len = g.backup.Off - g.usable.Off
	return g
}

// own are the sectors that hold the table itself.
func (g place) own(sector int64) extent.Set {
	own := extent.Of(extent.Extent{Len: 2 * sector}, g.array)
	if g.end > 0 {
		own = own.Union(extent.Of(extent.Extent{Off: g.backup.Off, Len: g.backup.Len + sector}))
	}
	return own
}

// gptPieces are, in the order in which they are written: the backup's entries
// and header, and the same of the table itself.
func gptPieces(t manifest.Table, size, sector int64) ([]piece, error) {
	g := placeGPT(t, size, sector)
	head, array, err := encode(t, g, sector)
	if err != nil {
		return nil, err
	}
	primary := header{
		self:      1,
		alternate: g.end/sector - 1,
		first:     g.usable.Off / sector,
		last:      g.usable.End()/sector - 1,
		array:     g.array.Off / sector,
		slots:     g.slots,
		arrayCRC:  crc32.ChecksumIEEE(array[:g.slots*slotSize]),
	}
	backup := primary
	backup.self, backup.alternate, backup.array = primary.alternate, primary.self, g.backup.Off/sector
	pieces := []piece{{g.backup.Off, array}}
	for _, h := range []header{backup, primary} {
		b := make([]byte, sector)
		copy(b, head)
		reseat(b[:headerSize], h)
		if h.self == 1 {
			pieces = append(pieces, piece{g.array.Off, array})
		}
		pieces = append(pieces, piece{h.self * sector, b})
	}
	return pieces, nil
}

// encode leaves the header and the entries to the library, on a small disk in
// memory. Where they lie on the real one, and how many there are, it cannot
// say: reseat does.
func encode(t manifest.Table, g place, sector int64) (head, array []byte, err error) {
	table := gpt.Table{LogicalSectorSize: int(sector), PhysicalSectorSize: int(sector), GUID: strings.ToUpper(t.ID)}
	for _, e := range t.Entries {
		attrs := e.Attrs &^ legacyBoot
		if e.Active {
			attrs |= legacyBoot
		}
		table.Partitions = append(table.Partitions, &gpt.Partition{
			Index:      e.Num,
			Start:      uint64(e.Extent.Off / sector),
			End:        uint64(e.Extent.End()/sector - 1),
			Type:       gpt.Type(strings.ToUpper(e.Type)),
			GUID:       strings.ToUpper(e.UUID),
			Name:       e.Name,
			Attributes: attrs,
		})
	}
	const room = diskfsSlots * slotSize
	s := newSheet(128 * sector)
	if err := table.Write(s, int64(len(s.bytes))); err != nil {
		return nil, nil, fmt.Errorf("the entries of the GPT: %w", err)
	}
	array = make([]byte, g.array.Len)
	copy(array, s.bytes[2*sector:][:room])
	clear(array[g.slots*slotSize:])
	return s.bytes[sector:][:headerSize], array, nil
}

// reseat gives the header b another place, and its checksum.
func reseat(b []byte, h header) {
	for off, lba := range map[int]int64{offSelf: h.self, offAlternate: h.alternate, offFirst: h.first, offLast: h.last, offArray: h.array} {
		le.PutUint64(b[off:], uint64(lba))
	}
	le.PutUint32(b[offSlots:], uint32(h.slots))
	le.PutUint32(b[offArrayCRC:], h.arrayCRC)
	le.PutUint32(b[offHeaderCRC:], 0)
	le.PutUint32(b[offHeaderCRC:], crc32.ChecksumIEEE(b[:headerSize]))
}

// guardPiece is the first sector of a disk with a GPT: boot code, and a line
// that tells old tools that all of the disk is taken, or the hybrid MBR.
func guardPiece(t manifest.Table, size, sector int64) piece {
	b := make([]byte, mbrSize)
	putMagic(b)
	copy(b[:codeSize], t.Code)
	lines := t.Hybrid
	if len(lines) == 0 {
		all := min(size/sector-1, math.MaxUint32)
		lines = []manifest.Entry{{Num: 1, Type: protective, Extent: extent.Extent{Off: sector, Len: all * sector}}}
	}
	for _, e := range lines {
		putLine(b, e.Num-1, e, 0, sector)
		if e.Type == protective {
			// UEFI 2.10, table 5-4: what CHS cannot say is ff ff ff.
			copy(b[offLines+(e.Num-1)*lineSize+5:], "\xff\xff\xff")
		}
	}
	return piece{0, b}
}
