package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"lifeboat/clone/extent"
)

// What a disk holds, where that is not the ID of a table.
const (
	Blank  = "blank"                // zeros (or 0xFF, as erased flash may read) wherever we looked
	Untold = "data without a table" // a bare file system, a damaged table, or anything else
)

// The MBR: UEFI 2.10, 5.2.1. An entry is flag, CHS, type, CHS, start, length.
const (
	mbrSize      = 512
	mbrOffID     = 440
	mbrOffEntry  = 446
	mbrEntrySize = 16
	mbrEntries   = 4
	mbrOffSign   = 510

	entryOffType  = 4
	entryOffStart = 8
	entryOffCount = 12

	typeProtective = 0xEE // "what follows is a GPT"
)

// The GPT header, in the second sector and in the last: UEFI 2.10, 5.3.2.
const (
	gptSignature = "EFI PART"
	gptOffGUID   = 56
	gptSize      = 92
)

// How much of a disk is looked at before it counts as blank: the places of
// tables, boot loaders and first superblocks whole, and samples of the rest.
const (
	blankHead    = 4 << 20
	blankSamples = 32
	blankSample  = 64 << 10
)

// holds says what lies on a disk of size bytes: the ID of its table ("cafe0001"
// for an MBR, a lower-case GUID), Blank, or Untold. Bad sectors are no reason to
// say nothing: a dying card is what people come with.
func holds(r io.ReaderAt, size, sector int64) (string, error) {
	what, err := readable(r, size, sector)
	if err != nil && badMedium(err) {
		return Untold, nil
	}
	return what, err
}

func readable(r io.ReaderAt, size, sector int64) (string, error) {
	var mbr [mbrSize]byte
	if _, err := r.ReadAt(mbr[:], 0); errors.Is(err, io.EOF) {
		return blankOr(r, size)
	} else if err != nil {
		return "", err
	}
	id, protective, ok := mbrID(mbr[:])
	if !ok {
		return blankOr(r, size)
	}
	if protective {
		for _, off := range []int64{sector, sysSector, 4096, size - sector} {
			if guid, ok := gptGUID(r, off, size); ok {
				return guid, nil
			}
		}
	}
	return id, nil
}

// mbrID reads sector 0. A FAT's boot sector ends in the same signature, but what
// it has in the place of the entries is code.
func mbrID(mbr []byte) (id string, protective, ok bool) {
	if mbr[mbrOffSign] != 0x55 || mbr[mbrOffSign+1] != 0xAA {
		return "", false, false
	}
	used := 0
	for i := range mbrEntries {
		e := mbr[mbrOffEntry+i*mbrEntrySize:][:mbrEntrySize]
		start, count := binary.LittleEndian.Uint32(e[entryOffStart:]), binary.LittleEndian.Uint32(e[entryOffCount:])
		switch {
		case e[0]&0x7F != 0:
			return "", false, false // neither "active" nor "not active": no entry
		case e[entryOffType] == 0:
			continue
		case start == 0 || count == 0:
			return "", false, false
		}
		used++
		protective = protective || e[entryOffType] == typeProtective
	}
	number := binary.LittleEndian.Uint32(mbr[mbrOffID:])
	if used == 0 && number == 0 {
		return "", false, false
	}
	return fmt.Sprintf("%08x", number), protective, true
}

func gptGUID(r io.ReaderAt, off, size int64) (string, bool) {
	var h [gptSize]byte
	if off <= 0 || off > size-gptSize {
		return "", false
	}
	if _, err := r.ReadAt(h[:], off); err != nil || string(h[:len(gptSignature)]) != gptSignature {
		return "", false
	}
	g := h[gptOffGUID:]
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(g), le.Uint16(g[4:]), le.Uint16(g[6:]), g[8:10], g[10:16]), true
}

func blankOr(r io.ReaderAt, size int64) (string, error) {
	look := extent.Set{{Off: 0, Len: min(blankHead, size)}}
	step := size / blankSamples / blankSample * blankSample
	for i := int64(1); step > 0 && i < blankSamples; i++ {
		look = look.Union(extent.Of(extent.Extent{Off: i * step, Len: blankSample}))
	}
	tail := max(0, size-extent.BufferSize) / blankSample * blankSample
	look = look.Union(extent.Of(extent.Extent{Off: tail, Len: size - tail}))

	buf := extent.Buffer()
	defer extent.Release(buf)
	for _, e := range look.Clip(extent.Extent{Off: 0, Len: size}) {
		for off := e.Off; off < e.End(); off += extent.BufferSize {
			b := buf[:min(extent.BufferSize, e.End()-off)]
			if n, err := r.ReadAt(b, off); err != nil && n < len(b) {
				return "", err
			}
			if !extent.IsZero(b) && len(bytes.Trim(b, "\xff")) > 0 {
				return Untold, nil
			}
		}
	}
	return Blank, nil
}
