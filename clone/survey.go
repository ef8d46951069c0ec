package clone

import (
	"errors"
	"fmt"
	"io"

	"lifeboat/boards"
	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/filesystem/swap"
	"lifeboat/clone/fit"
	"lifeboat/clone/manifest"
)

// survey looks at all of a readable disk: its table, what lies in its parts,
// and which bytes are in use. It reads metadata only.
func survey(r io.ReaderAt, size, sector int64) (*manifest.Head, extent.Set, error) {
	table, err := readTable(r, size, sector)
	if err != nil {
		return nil, nil, err
	}
	head, used, err := surveyTable(r, table, size, sector)
	if err != nil {
		return nil, nil, err
	}
	// An image is to be written back by any tool, and so holds the table itself.
	return head, used.Union(table.Own), nil
}

// voidOf is what the disk's parts have in use and hold nothing in.
func voidOf(r io.ReaderAt, head *manifest.Head) (extent.Set, error) {
	var void extent.Set
	for _, p := range head.Parts {
		if p.Content != manifest.Blocks || p.Why != "" {
			continue
		}
		in, err := filesystem.Void(io.NewSectionReader(r, p.Extent.Off, p.Extent.Len), p.Extent.Len, p.FS)
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", p.Num, unreadable(err, at(p.Title())))
		}
		void = void.Union(in.Shift(p.Extent.Off).Clip(p.Extent))
	}
	return void, nil
}

// surveyTable is survey for a disk whose table is known, and need not be on it.
func surveyTable(r io.ReaderAt, table manifest.Table, size, sector int64) (*manifest.Head, extent.Set, error) {
	head := &manifest.Head{Version: manifest.Version, Size: size, Sector: sector, Table: table}
	var used extent.Set
	for _, p := range partsOf(table, size) {
		inUse, err := surveyPart(r, &p)
		var bad *UnreadableError
		switch {
		case errors.As(err, &bad):
			return nil, nil, err
		case err != nil:
			return nil, nil, fmt.Errorf("part %d: %w", p.Num, err)
		}
		head.Parts = append(head.Parts, p)
		used = used.Union(inUse)
	}
	used = used.Union(head.Gaps())
	head.Board = guessBoard(r, head)
	head.Unreadable = lostOf(r, everything())
	return head, used, nil
}

// surveyPart fills in what lies in the part, and returns its used bytes as
// places on the disk.
func surveyPart(r io.ReaderAt, p *manifest.Part) (extent.Set, error) {
	window := io.NewSectionReader(r, p.Extent.Off, p.Extent.Len)
	place := at(p.Title())
	fs, err := filesystem.Probe(window, p.Extent.Len)
	if err != nil {
		return nil, unreadable(err, place)
	}
	p.FS = fs
	if fs.Type == "swap" {
		// The first pages hold UUID and label: a bare image is enough to make it anew.
		used := extent.Of(extent.Extent{Off: p.Extent.Off, Len: min(swap.MaxPage, p.Extent.Len)})
		p.Content, p.Used = manifest.None, used.Bytes()
		return used, nil
	}
	used, why, least, err := usedOf(window, p.Extent.Len, fs)
	if err != nil {
		return nil, unreadable(err, place)
	}
	if lost := lostOf(r, p.Extent); len(lost) > 0 {
		used, why, least = extent.Of(extent.Extent{Len: p.Extent.Len}), mapLost(lost), -1
	}
	p.Content, p.Used, p.Why, p.Min = manifest.Blocks, used.Bytes(), why, least
	return used.Shift(p.Extent.Off), nil
}

// usedOf is filesystem.Used, with the smallest size that the content fits in; -1
// = not known.
func usedOf(r io.ReaderAt, size int64, fs manifest.FS) (used extent.Set, why string, least int64, err error) {
	var no *fit.RefusedError
	if filesystem.IsExt(fs.Type) {
		facts, err := fit.Survey(r, size)
		if err == nil {
			return facts.Used, "", fit.Need(facts, size).Min, nil
		}
		if !errors.As(err, &no) {
			return nil, "", -1, err
		}
	}
	used, why, err = filesystem.Used(r, size, fs)
	return used, why, -1, err
}

// partsOf lists the parts of a table in the order of their place, with nothing
// known of their content yet. A disk without a table is one part, number 0.
func partsOf(t manifest.Table, size int64) []manifest.Part {
	unknown := manifest.Part{Content: manifest.Blocks, Used: -1, Min: -1}
	if t.Kind == manifest.NoTable {
		unknown.Extent = extent.Extent{Off: 0, Len: size}
		return []manifest.Part{unknown}
	}
	var parts []manifest.Part
	for _, e := range t.Entries {
		if e.Extended {
			continue
		}
		p := unknown
		p.Num, p.Extent = e.Num, e.Extent
		parts = append(parts, p)
	}
	sortByPlace(parts)
	return parts
}

// guessBoard asks the files of the first FAT part which board they are for.
func guessBoard(r io.ReaderAt, h *manifest.Head) string {
	for _, p := range h.Parts {
		if p.FS.Type != "vfat" {
			continue
		}
		files, err := filesystem.Files(io.NewSectionReader(r, p.Extent.Off, p.Extent.Len), p.Extent.Len, p.FS)
		if err != nil {
			continue // a guess needs no error: Used has said what is wrong
		}
		return boards.Guess(files)
	}
	return ""
}
