package clone

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
	"lifeboat/internal/speech"
)

// An UnreadableError says which bytes of a source cannot be read, and where they
// lie. Nothing of them was taken.
type UnreadableError struct {
	extent.Extent
	Path  string // of the disk or image
	Place string // "part 2", "outside of parts", "the partition table"
	Err   error
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("%s: bytes %d to %d of %s cannot be read: %v", e.Place, e.Off, e.End(), e.Path, e.Err)
}

func (e *UnreadableError) Unwrap() error { return e.Err }

// unreadable makes an error of the medium one that says where it is; any other
// stays as it is.
func unreadable(err error, place func(off int64) string) error {
	var bad *disk.ReadError
	if !errors.As(err, &bad) {
		return err
	}
	return &UnreadableError{Extent: bad.Extent, Path: bad.Path, Place: place(bad.Extent.Off), Err: bad.Err}
}

// at is a place that is known.
func at(place string) func(int64) string { return func(int64) string { return place } }

// A salvager is a reader that gives zeros for what cannot be read, and knows
// where: a power that *disk.Salvage has.
type salvager interface {
	Unreadable(e extent.Extent) extent.Set
}

// lostOf is what of e was found to be unreadable so far.
func lostOf(r any, e extent.Extent) extent.Set {
	if s, ok := r.(salvager); ok {
		return s.Unreadable(e)
	}
	return nil
}

// everything is where all bytes of any disk lie.
func everything() extent.Extent { return extent.Extent{Len: math.MaxInt64} }

// readTable reads the table of a disk. One of which a piece cannot be read, and
// that has no copy, is none: then the disk is one part.
func readTable(r io.ReaderAt, size, sector int64) (manifest.Table, error) {
	table, err := layout.Read(r, size, sector)
	lost := lostOf(r, everything())
	var bad *disk.ReadError
	switch {
	case errors.As(err, &bad):
		return table, unreadable(err, at("the partition table"))
	case len(lost) == 0 && err != nil:
		return table, fmt.Errorf("partition table: %w", err)
	case len(lost) == 0 || err == nil && table.Kind == manifest.GPT:
		return withParts(table), nil
	}
	note := speech.New("its partition table cannot be read (%s): the disk counts as one part", ranges(lost))
	return manifest.Table{Notes: []speech.Text{note}}, nil
}

// withParts is a table, or none where it has no part: then nothing says which
// bytes are in use. The first sector of a file system looks like such a table when
// something else in it is damaged.
func withParts(t manifest.Table) manifest.Table {
	if t.Kind == manifest.NoTable || slices.ContainsFunc(t.Entries, func(e manifest.Entry) bool { return !e.Extended }) {
		return t
	}
	return manifest.Table{Notes: []speech.Text{speech.New("its partition table has no parts: the disk counts as one part")}}
}

// mapLost says why all bytes of a part count, where a look at it met bytes that
// cannot be read.
func mapLost(lost extent.Set) string {
	return "what it has in use cannot be seen: " + ranges(lost).String() + " of the disk cannot be read"
}

// ranges is a set as words.
func ranges(s extent.Set) speech.Text {
	if len(s) > 1 {
		return speech.New("bytes %d to %d and %d more places", s[0].Off, s[0].End(), len(s)-1)
	}
	return speech.New("bytes %d to %d", s[0].Off, s[0].End())
}

// LostWords says how many bytes could not be read, and where they lie: nothing
// where there are none.
func LostWords(h *manifest.Head, lost extent.Set) speech.Text {
	if len(lost) == 0 {
		return speech.Text{}
	}
	var places []speech.Text
	tell := func(place speech.Text, lost extent.Set) {
		if len(lost) > 0 {
			places = append(places, speech.Join([]speech.Text{place, commas(speech.Plain(progress.Bytes(lost.Bytes())), ranges(lost))}, ": "))
		}
	}
	outside := lost
	for _, p := range h.Parts {
		tell(title(p), lost.Clip(p.Extent))
		outside = outside.Subtract(extent.Of(p.Extent))
	}
	tell(speech.New("outside of parts"), outside)
	return speech.New("%d bytes of the disk could not be read, and are zeros (%s)", lost.Bytes(), speech.Join(places, "; "))
}

// title is what a part is called in a sentence.
func title(p manifest.Part) speech.Text {
	if p.Num == 0 {
		return speech.New("the disk")
	}
	return speech.New("part %d", p.Num)
}

// withLost adds to a tail what the head knew to be unreadable.
func withLost(t *manifest.Tail, h *manifest.Head) *manifest.Tail {
	if len(h.Unreadable) == 0 {
		return t
	}
	all := *t
	all.Unreadable = t.Unreadable.Union(h.Unreadable)
	return &all
}
