package layout

import (
	"fmt"
	"io"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// Write puts the table on a disk of size bytes: extended boot records or the
// GPT's backup first, the first sector as the very last. After each of these
// steps it calls Sync, if rw has one. Nothing is written if the table does not
// fit the disk, and nothing is ever written but the table's own sectors; of
// these, bytes behind the first 512 of an MBR's sector stay as they are.
//
// A table of kind NoTable needs no writing. Old tables are not removed: Wipe
// does that.
func Write(rw interface {
	io.ReaderAt
	io.WriterAt
}, t manifest.Table, size, sector int64,
) error {
	if t.Kind == manifest.NoTable {
		return nil
	}
	if size <= 0 {
		return fmt.Errorf("write a partition table on a disk of %d bytes", size)
	}
	if err := check(t, size, sector); err != nil {
		return fmt.Errorf("write the partition table: %w", err)
	}
	pieces, err := piecesOf(t, size, sector)
	if err != nil {
		return fmt.Errorf("write the partition table: %w", err)
	}
	for i, p := range pieces {
		if p.off == 0 || i > 0 && p.off < pieces[i-1].off {
			if err := sync(rw); err != nil {
				return fmt.Errorf("sync the partition table: %w", err)
			}
		}
		if err := writeSectors(rw, p, sector); err != nil {
			return fmt.Errorf("write the partition table at byte %d: %w", p.off, err)
		}
	}
	if err := sync(rw); err != nil {
		return fmt.Errorf("sync the partition table: %w", err)
	}
	return nil
}

// piecesOf is all that is to be written, in its order.
func piecesOf(t manifest.Table, size, sector int64) ([]piece, error) {
	if t.Kind == manifest.MBR {
		return mbrPieces(t, sector), nil
	}
	pieces, err := gptPieces(t, size, sector)
	return append(pieces, guardPiece(t, size, sector)), err
}

// writeSectors writes whole sectors, as disks want it. What a piece leaves of
// its last one is kept.
func writeSectors(rw interface {
	io.ReaderAt
	io.WriterAt
}, p piece, sector int64,
) error {
	b := p.data
	if rest := int64(len(b)) % sector; rest != 0 {
		b = make([]byte, int64(len(b))-rest+sector)
		if n, err := rw.ReadAt(b, p.off); n < len(b) {
			return noEOF(err)
		}
		copy(b, p.data)
	}
	_, err := rw.WriteAt(b, p.off)
	return err
}

func sync(w any) error {
	if s, ok := w.(interface{ Sync() error }); ok {
		return s.Sync()
	}
	return nil
}

// Wipe destroys what partition tables a disk of size bytes has: its first
// sector, and both copies of a GPT with their entries. It syncs, if w has a
// Sync, behind the first sector and at the end: a disk that loses power meanwhile
// has its old table or none, never a damaged one. Extended boot records stay,
// and are found by nobody.
func Wipe(w io.WriterAt, size, sector int64) error {
	if err := checkSector(sector); err != nil {
		return err
	}
	usual := placeGPT(manifest.Table{}, size, sector)
	disk := extent.Extent{Len: alignDown(size, sector)}
	first := extent.Of(sectorAt(0, sector).Intersect(disk))
	for _, part := range []extent.Set{first, usual.own(sector).Clip(disk).Subtract(first)} {
		for _, e := range part {
			if _, err := w.WriteAt(make([]byte, e.Len), e.Off); err != nil {
				return fmt.Errorf("wipe the partition table at byte %d: %w", e.Off, err)
			}
		}
		if err := sync(w); err != nil {
			return fmt.Errorf("sync the wiped partition table: %w", err)
		}
	}
	return nil
}
