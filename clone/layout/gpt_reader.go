package layout

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"strings"

	"github.com/diskfs/go-diskfs/partition/gpt"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/internal/speech"
)

// The header: UEFI Specification 2.10, section 5.3.2, table 5-5.
const (
	offRevision   = 8 // 1.0
	offHeaderSize = 12
	offHeaderCRC  = 16
	offSelf       = 24
	offAlternate  = 32
	offFirst      = 40
	offLast       = 48
	offArray      = 72
	offSlots      = 80
	offSlotSize   = 84
	offArrayCRC   = 88
	headerSize    = 92

	headerMagic    = "EFI PART"
	headerRevision = 0x00010000
	slotSize       = 128
	legacyBoot     = 1 << 2 // attribute, table 5-8
)

const (
	// maxSlots is more than any tool makes; gdisk's limit is what a person asks.
	maxSlots = 1024
	// diskfsSlots is how many of them the library can write.
	diskfsSlots = 128
	// maxName is a part's name in UTF-16 units.
	maxName = 36
	// maxLBA keeps all arithmetic on bytes within an int64.
	maxLBA = math.MaxInt64 / maxSector / 2
)

// A header is what of a GPT's header is not worked out from other things.
type header struct {
	self, alternate, first, last, array int64 // LBAs
	slots                               int
	arrayCRC                            uint32
	raw                                 []byte
}

// A SectorError says that the table was made for sectors of another size: USB
// bridges are known to lie about it. Read gives the table when it is told that.
type SectorError struct{ Sector int64 }

func (e *SectorError) Error() string {
	return fmt.Sprintf("the partition table is for a disk with sectors of %d bytes", e.Sector)
}

// readGPT takes the first sector, which says that there is a GPT.
func readGPT(r io.ReaderAt, first []byte, size, sector int64) (manifest.Table, error) {
	h, array, notes, err := eitherHeader(r, size, sector)
	if err != nil {
		for _, other := range []int64{512, 4096} {
			if _, _, oerr := readHeader(r, 1, other); oerr == nil {
				return manifest.Table{}, &SectorError{other}
			}
		}
		return manifest.Table{}, err
	}
	t, err := decode(h, array, sector)
	if err != nil {
		return manifest.Table{}, err
	}
	t.Code = bytes.Clone(first[:codeSize])
	t.Hybrid = hybridLines(first, sector)
	t.Notes = notes
	if isHybrid(t) {
		t.Notes = append(t.Notes, speech.New("a hybrid MBR stands beside the GPT; the GPT counts"))
	}
	return bounded(t, (h.alternate+1)*sector, size, sector)
}

// eitherHeader reads the table, or its backup at the end of the disk where the
// table is broken, and notes what is wrong with the other.
func eitherHeader(r io.ReaderAt, size, sector int64) (h header, array []byte, notes []speech.Text, err error) {
	h, array, err = readHeader(r, 1, sector)
	if size <= 0 {
		if err != nil {
			err = fmt.Errorf("the GPT at byte %d: %w", sector, err)
		}
		return h, array, nil, err
	}
	if err != nil {
		lastLBA := size/sector - 1
		var berr error
		if h, array, berr = readHeader(r, lastLBA, sector); berr != nil {
			return header{}, nil, nil, fmt.Errorf("the disk says that it has a GPT; at byte %d: %w; its backup at byte %d: %w",
				sector, err, lastLBA*sector, berr)
		}
		h.alternate = lastLBA
		return h, array, []speech.Text{speech.New("the GPT at byte %d is broken (%v): its backup at the end of the disk was taken", sector, err)}, nil
	}
	if _, _, berr := readHeader(r, h.alternate, sector); berr != nil {
		notes = append(notes, speech.New("the backup of the GPT at byte %d is broken or missing: %v", h.alternate*sector, berr))
	}
	if end := (h.alternate + 1) * sector; size > end+sector {
		notes = append(notes, speech.New("the GPT is for a disk of %d bytes, the disk has %d", end, size))
	}
	return h, array, notes, nil
}

// bounded checks the table against the disk that its header speaks of, and its
// parts against the one that is there: images may be cut behind the last part.
func bounded(t manifest.Table, claimed, size, sector int64) (manifest.Table, error) {
	if err := check(t, claimed, sector); err != nil {
		return manifest.Table{}, err
	}
	for _, e := range t.Entries {
		if err := checkExtent(e, size, sector); err != nil {
			return manifest.Table{}, err
		}
	}
	g := placeGPT(t, claimed, sector)
	t.Own = g.own(sector).Clip(extent.Extent{Len: limitOf(size)})
	return t, nil
}

// readHeader reads a header and its entries, and believes neither without
// their checksums.
func readHeader(r io.ReaderAt, lba, sector int64) (header, []byte, error) {
	b := make([]byte, sector)
	if n, err := r.ReadAt(b, lba*sector); n < len(b) {
		return header{}, nil, fmt.Errorf("read it: %w", noEOF(err))
	}
	h, err := parseHeader(b, lba)
	if err != nil {
		return header{}, nil, err
	}
	array := make([]byte, h.slots*slotSize)
	if n, err := r.ReadAt(array, h.array*sector); n < len(array) {
		return header{}, nil, fmt.Errorf("read its entries at byte %d: %w", h.array*sector, noEOF(err))
	}
	if crc32.ChecksumIEEE(array) != h.arrayCRC {
		return header{}, nil, fmt.Errorf("the checksum of its entries at byte %d is wrong", h.array*sector)
	}
	return h, array, nil
}

func parseHeader(b []byte, lba int64) (header, error) {
	if string(b[:len(headerMagic)]) != headerMagic {
		return header{}, errors.New("there is none")
	}
	raw := bytes.Clone(b[:headerSize])
	clear(raw[offHeaderCRC:][:4])
	switch slots := le.Uint32(b[offSlots:]); {
	case le.Uint32(b[offRevision:]) != headerRevision || le.Uint32(b[offHeaderSize:]) != headerSize:
		return header{}, fmt.Errorf("it has revision %#x and a header of %d bytes: not supported", le.Uint32(b[offRevision:]), le.Uint32(b[offHeaderSize:]))
	case crc32.ChecksumIEEE(raw) != le.Uint32(b[offHeaderCRC:]):
		return header{}, errors.New("the checksum of its header is wrong")
	case le.Uint32(b[offSlotSize:]) != slotSize || slots == 0 || slots > maxSlots:
		return header{}, fmt.Errorf("it has %d entries of %d bytes: not supported", slots, le.Uint32(b[offSlotSize:]))
	}
	h := header{slots: int(le.Uint32(b[offSlots:])), arrayCRC: le.Uint32(b[offArrayCRC:]), raw: raw}
	for off, field := range map[int]*int64{offSelf: &h.self, offAlternate: &h.alternate, offFirst: &h.first, offLast: &h.last, offArray: &h.array} {
		v := le.Uint64(b[off:])
		if v > maxLBA {
			return header{}, fmt.Errorf("its header speaks of sector %d", v)
		}
		*field = int64(v)
	}
	if h.self != lba {
		return header{}, fmt.Errorf("its header says that it lies at sector %d, not %d", h.self, lba)
	}
	return h, nil
}

// decode leaves the entries to the library. It sees a small disk in memory
// whose header was checked, so that no number of the real one can lead it
// astray.
func decode(h header, array []byte, sector int64) (manifest.Table, error) {
	s := newSheet(2*sector + alignUp(int64(len(array)), sector))
	head := s.bytes[sector:][:headerSize]
	copy(head, h.raw)
	copy(s.bytes[2*sector:], array)
	reseat(head, header{self: 1, alternate: h.alternate, first: h.first, last: h.last, array: 2, slots: h.slots, arrayCRC: h.arrayCRC})
	g, err := gpt.Read(s, int(sector), int(sector))
	if err != nil {
		return manifest.Table{}, fmt.Errorf("the entries of the GPT: %w", err)
	}
	t := manifest.Table{Kind: manifest.GPT, ID: strings.ToLower(g.GUID)}
	for _, p := range g.Partitions {
		if p.Start > maxLBA || p.End > maxLBA || p.End < p.Start {
			return manifest.Table{}, fmt.Errorf("part %d lies from sector %d to %d", p.Index, p.Start, p.End)
		}
		t.Entries = append(t.Entries, manifest.Entry{
			Num:    p.Index,
			Extent: extent.Extent{Off: int64(p.Start) * sector, Len: int64(p.End-p.Start+1) * sector},
			Type:   strings.ToLower(string(p.Type)),
			UUID:   strings.ToLower(p.GUID),
			Name:   p.Name,
			Active: p.Attributes&legacyBoot != 0,
			Attrs:  p.Attributes,
		})
	}
	setShape(&t, h, sector)
	return t, nil
}

// setShape notes where a table differs from how gdisk would make it.
func setShape(t *manifest.Table, h header, sector int64) {
	if h.slots != diskfsSlots {
		t.Slots = h.slots
	}
	if h.self == 1 && h.array != 2 {
		t.Array = h.array * sector
	}
	usual := placeGPT(*t, 0, sector).usable.Off
	first := h.first * sector
	for _, e := range t.Entries {
		first = min(first, e.Extent.Off)
	}
	if first != usual {
		t.First = first
	}
}

// hybridLines are the lines of the first sector, where they are more than one
// that guards the GPT.
func hybridLines(first []byte, sector int64) []manifest.Entry {
	var lines []manifest.Entry
	plain := true
	for i, l := range linesOf(first) {
		if l.count == 0 {
			continue
		}
		plain = plain && l.kind == typeProtective && l.flag == 0
		e := l.entry(i+1, "", 0, sector)
		e.UUID, e.Extended = "", false
		lines = append(lines, e)
	}
	if plain {
		return nil
	}
	return lines
}

// isHybrid tells whether a line of the MBR stands for a part.
func isHybrid(t manifest.Table) bool {
	for _, e := range t.Hybrid {
		if e.Type != protective {
			return true
		}
	}
	return false
}
