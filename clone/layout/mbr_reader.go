package layout

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// The first sector: Linux v6.12, include/linux/msdos_partition.h and
// block/partitions/msdos.c.
const (
	mbrSize   = 512 // of its content; the sector may be larger
	codeSize  = 440 // boot code at its start
	offDiskID = 440
	offLines  = 446
	lineSize  = 16
	offMagic  = 510 // 55 aa

	flagActive     = 0x80
	typeProtective = 0xee
)

const (
	firstLogical = 5
	// maxLinks bounds the chain of extended boot records. Linux names at most
	// 255 parts of a disk, and gives up after 100 empty links.
	maxLinks = 256
)

// A line is one of the four of an MBR or EBR, in sectors.
type line struct {
	flag, kind      byte
	startLBA, count uint32
}

func linesOf(b []byte) (lines [4]line) {
	for i := range lines {
		e := b[offLines+i*lineSize:]
		lines[i] = line{e[0], e[4], le.Uint32(e[8:]), le.Uint32(e[12:])}
	}
	return lines
}

func (l line) extended() bool { return l.kind == 0x05 || l.kind == 0x0f || l.kind == 0x85 }

// entry is the line as data. Its start counts from byte base.
func (l line) entry(num int, id string, base, sector int64) manifest.Entry {
	e := manifest.Entry{
		Num:      num,
		Type:     fmt.Sprintf("%02x", l.kind),
		UUID:     partUUID(id, num),
		Active:   l.flag == flagActive,
		Extended: l.extended(),
	}
	e.Extent.Off = base + int64(l.startLBA)*sector
	e.Extent.Len = int64(l.count) * sector
	return e
}

// partUUID is what the kernel makes of a disk ID and a part's number, which it
// prints in hex.
func partUUID(id string, num int) string { return fmt.Sprintf("%s-%02x", id, num) }

// readMBR takes the first sector, whose magic and flags are right.
func readMBR(r io.ReaderAt, first []byte, size, sector int64) (manifest.Table, error) {
	t := manifest.Table{
		Kind: manifest.MBR,
		ID:   fmt.Sprintf("%08x", le.Uint32(first[offDiskID:])),
		Code: bytes.Clone(first[:codeSize]),
	}
	for i, l := range linesOf(first) {
		if l.count > 0 {
			t.Entries = append(t.Entries, l.entry(i+1, t.ID, 0, sector))
		}
	}
	var far error
	if ext, ok := extended(t); ok {
		logical, err := readChain(r, ext, t.ID, size, sector)
		var tooFar *FarError
		if err != nil && !errors.As(err, &tooFar) {
			return manifest.Table{}, err
		}
		t.Entries, far = append(t.Entries, logical...), err
	}
	t.Own = ownMBR(t, sector)
	if err := check(t, size, sector); err != nil {
		return manifest.Table{}, err
	}
	return t, far
}

// extended finds the extended part that the chain lies in. (check refuses a
// second one.)
func extended(t manifest.Table) (manifest.Entry, bool) {
	for _, e := range t.Entries {
		if e.Extended {
			return e, true
		}
	}
	return manifest.Entry{}, false
}

// readChain follows the extended boot records, as the kernel does: each holds
// one logical part and the place of the next record. The kernel takes a damaged
// record for the end; here that is an error, or the parts behind it would be
// missing in a backup without a word.
func readChain(r io.ReaderAt, ext manifest.Entry, id string, size, sector int64) ([]manifest.Entry, error) {
	var logical []manifest.Entry
	seen := map[int64]bool{}
	for ebr := ext.Extent.Off; ; {
		switch {
		case !ext.Extent.Contains(sectorAt(ebr, sector)):
			return nil, fmt.Errorf("part %d: the chain of logical parts leaves it at byte %d", ext.Num, ebr)
		case seen[ebr]:
			return nil, fmt.Errorf("part %d: the chain of logical parts loops at byte %d", ext.Num, ebr)
		case len(seen) == maxLinks:
			return nil, fmt.Errorf("part %d: the chain of logical parts has more than %d links", ext.Num, maxLinks)
		}
		seen[ebr] = true
		b := make([]byte, mbrSize)
		if n, err := r.ReadAt(b, ebr); n < len(b) {
			if size <= 0 && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
				return logical, &FarError{ebr}
			}
			return nil, fmt.Errorf("part %d: read the record of logical parts at byte %d: %w", ext.Num, ebr, noEOF(err))
		}
		if len(seen) == 1 && extent.IsZero(b) {
			return nil, nil // never written: there are none
		}
		if b[offMagic] != 0x55 || b[offMagic+1] != 0xaa {
			return nil, fmt.Errorf("part %d: the record of logical parts at byte %d has no signature: it is damaged, and what lies behind it cannot be seen", ext.Num, ebr)
		}
		part, next, err := readEBR(b, ext, ebr, sector)
		if err != nil {
			return nil, err
		}
		if part != nil {
			e := part.entry(firstLogical+len(logical), id, ebr, sector)
			e.EBR = ebr
			logical = append(logical, e)
		}
		if next == nil {
			return logical, nil
		}
		ebr = ext.Extent.Off + int64(next.startLBA)*sector
	}
}

// readEBR finds the two lines that count in one record; each may be missing.
func readEBR(b []byte, ext manifest.Entry, ebr, sector int64) (part, next *line, err error) {
	for i, l := range linesOf(b) {
		switch {
		case l.count == 0 && l.extended() && l.startLBA > 0:
			return nil, nil, fmt.Errorf("part %d: the record of logical parts at byte %d leads to a next one without a length: it is damaged", ext.Num, ebr)
		case l.count == 0:
		case l.extended():
			if next == nil {
				next = &l
			}
		case i >= 2 && !ext.Extent.Contains(l.entry(0, "", ebr, sector).Extent):
			// "these sometimes contain random garbage": the kernel skips it too.
		case part != nil:
			return nil, nil, fmt.Errorf("part %d: two logical parts in the record at byte %d: not supported", ext.Num, ebr)
		default:
			part = &l
		}
	}
	return part, next, nil
}
