package clone

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"lifeboat/clone/extent"
	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
	"lifeboat/internal/speech"
)

// A GuestPart is a part that comes from the second of two disks that are merged.
type GuestPart struct {
	Was  int    `json:"was"`            // its number there; 0 = that disk has no table
	Num  int    `json:"num"`            // its number now
	UUID string `json:"uuid,omitempty"` // as PARTUUID= named it there; "" = nothing could
	// Twin says that the first disk has a file system of the same UUID: this one
	// gets another, and what names that UUID means the first disk's.
	Twin bool `json:"twin,omitempty"`
}

// A Merged is the source of one disk that two are put together to: the first
// one as it is, with the parts of the second behind its own. What lies between
// the parts of the second stays behind: boot loaders are the first one's.
type Merged struct {
	// config
	first, second Source
	head          *manifest.Head
	moves         []Step // of the first disk's bytes, then of the second's parts
	guests        []GuestPart
	notes         []speech.Text
}

var _ Source = (*Merged)(nil)

// Merge makes one disk of two, whose heads Probe gave. The first is the one that
// boots. New GUIDs come from random. A *Refusal says why it cannot. Close closes
// both.
func Merge(first, second Source, h1, h2 *manifest.Head, random io.Reader) (*Merged, error) {
	m := &Merged{first: first, second: second}
	if err := mayMerge(h1, h2); err != nil {
		return nil, err
	}
	var guests []layout.Guest
	for _, p := range h2.Parts {
		guests = append(guests, guestOf(p, h2.Table))
	}
	table, placed, size, err := layout.Join(h1.Table, guests, h1.Sector, random)
	if errors.Is(err, layout.ErrNoSlot) {
		return nil, refuse("restore them to two disks, with --second", "the first disk's partition table has no room: %w", err)
	}
	if err != nil {
		return nil, err
	}
	m.head = &manifest.Head{Version: manifest.Version, Size: size, Sector: h1.Sector, Table: table, Board: h1.Board, Areas: h1.Areas}
	m.head.Parts = slices.Clone(h1.Parts)
	own := extent.Extent{Off: 0, Len: endOf(h1.Parts)}
	m.moves = []Step{{Op: Move, Src: own, Dst: own}}
	m.head.Unreadable = h1.Unreadable.Clip(own)
	for i, p := range h2.Parts {
		m.take(h1, guests[i], placed[i], p)
		lost := h2.Unreadable.Clip(p.Extent).Shift(placed[i].Extent.Off - p.Extent.Off)
		m.head.Unreadable = m.head.Unreadable.Union(lost)
	}
	m.noteLabels(h1, h2)
	if len(h2.Areas) > 0 {
		m.notes = append(m.notes, speech.New("the boot areas of the second disk, an eMMC, are not taken: the first one boots"))
	}
	if h2.Table.Kind == manifest.NoTable {
		m.notes = append(m.notes, speech.New("the second disk has no partition table: what names all of it, as /dev/sda, does not find part %d", placed[0].Num))
	}
	return m, nil
}

// mayMerge refuses what could not be told apart, or would not boot.
func mayMerge(h1, h2 *manifest.Head) error {
	switch {
	case h1.Table.Kind == manifest.NoTable:
		return refuse("give the disk that boots first, and the other one with --with", "the first disk has no partition table: nothing boots from it")
	case h1.Sector != h2.Sector:
		return refuse("", "one disk counts in sectors of %d bytes, the other in sectors of %d", h1.Sector, h2.Sector)
	case h1.Table.ID != "" && strings.EqualFold(h1.Table.ID, h2.Table.ID):
		return refuse("is one a copy of the other? restore the one that is meant alone",
			"both disks have the ID %s: what names a part by it could mean either", h1.Table.ID)
	case len(h2.Parts) == 0:
		return refuse("", "the second disk has no part")
	case !hasFAT(h1) && hasFAT(h2) && h1.Board == "" && h2.Board != "":
		return refuse("give the disk that boots first, and the other one with --with",
			"the boot part is on the second disk, and the first one stays in front")
	}
	return nil
}

func hasFAT(h *manifest.Head) bool {
	return slices.ContainsFunc(h.Parts, func(p manifest.Part) bool { return p.FS.Type == "vfat" || p.FS.Type == "" })
}

func guestOf(p manifest.Part, t manifest.Table) layout.Guest {
	g := layout.Guest{Entry: manifest.Entry{Extent: p.Extent}, FS: p.FS.Type}
	for _, e := range t.Entries {
		if e.Num == p.Num {
			g.Entry = e
		}
	}
	return g
}

// take adds a part of the second disk.
func (m *Merged) take(h1 *manifest.Head, was layout.Guest, is manifest.Entry, p manifest.Part) {
	g := GuestPart{Was: p.Num, Num: is.Num, UUID: was.UUID}
	m.moves = append(m.moves, Step{Op: Move, Src: p.Extent, Dst: extent.Extent{Off: is.Extent.Off, Len: p.Extent.Len}})
	for _, own := range h1.Parts {
		if own.FS.UUID == "" || !strings.EqualFold(own.FS.UUID, p.FS.UUID) {
			continue
		}
		if g.Twin = renamable(p); g.Twin {
			m.notes = append(m.notes, speech.New("part %d has the UUID of part %d, %s, and gets a new one: what names it by that UUID means part %d then",
				is.Num, own.Num, own.FS.UUID, own.Num))
		} else {
			m.notes = append(m.notes, speech.New("part %d and part %d both have the UUID %s: give one of them another before you mount them", own.Num, is.Num, own.FS.UUID))
		}
		break
	}
	if was.Name != "" && is.Name == "" {
		m.notes = append(m.notes, speech.New("part %d loses its name %q, which an MBR cannot hold: PARTLABEL= does not find it", is.Num, was.Name))
	}
	p.Num, p.Extent = is.Num, is.Extent
	m.head.Parts = append(m.head.Parts, p)
	m.guests = append(m.guests, g)
}

// noteLabels tells of names that now mean two parts.
func (m *Merged) noteLabels(h1, h2 *manifest.Head) {
	for _, a := range h1.Parts {
		for _, b := range h2.Parts {
			if a.FS.Label != "" && a.FS.Label == b.FS.Label {
				m.notes = append(m.notes, speech.New("both disks have a file system with the label %q: what names it so could mean either", a.FS.Label))
			}
		}
	}
}

// Head is complete from the start.
func (m *Merged) Head() *manifest.Head { return m.head }

// Guests are the parts that come from the second disk.
func (m *Merged) Guests() []GuestPart { return m.guests }

// Notes are sentences about what becomes of the two.
func (m *Merged) Notes() []speech.Text { return m.notes }

// Source is the merged disk with all its powers: a Readable where both disks can
// be read anywhere.
func (m *Merged) Source() Source {
	a, okA := m.first.(io.ReaderAt)
	b, okB := m.second.(io.ReaderAt)
	if okA && okB {
		return &mergedDisk{m, a, b}
	}
	return m
}

// Close closes both disks.
func (m *Merged) Close() error { return errors.Join(m.first.Close(), m.second.Close()) }

// Open begins a pass over the first disk, and behind it one over the second.
func (m *Merged) Open(_ context.Context, want extent.Set) (Pass, error) {
	return &mergedPass{m: m, todo: []half{
		{m.first, m.moves[:1], wantedOf(m.moves[:1], want)},
		{m.second, m.moves[1:], wantedOf(m.moves[1:], want)},
	}}, nil
}

// wantedOf is a set of the merged disk as places of the disk that the moves are
// from.
func wantedOf(moves []Step, want extent.Set) extent.Set {
	var set extent.Set
	for _, s := range moves {
		set = set.Union(want.Clip(s.Dst).Shift(s.Src.Off - s.Dst.Off))
	}
	return set
}

// A half is what a pass takes from one of the disks.
type half struct {
	from  Source
	moves []Step
	want  extent.Set
}

// A mergedPass goes through one disk after the other.
type mergedPass struct {
	// config
	m *Merged

	// state
	todo []half
	now  half
	pass Pass            // of now; nil = none is open
	left []extent.Record // of the last record, in its places
	tail manifest.Tail
}

// Next gives the records of each disk with their places on the merged one. The
// patches of a live disk come behind its own records.
func (p *mergedPass) Next(ctx context.Context) (extent.Record, error) {
	for len(p.left) == 0 {
		if p.pass == nil {
			if err := p.turn(ctx); err != nil {
				return extent.Record{}, err
			}
		}
		rec, err := p.pass.Next(ctx)
		if err == io.EOF {
			err = p.finish()
		} else if err == nil {
			p.left = p.cut(rec)
		}
		if err != nil {
			return extent.Record{}, err
		}
	}
	rec := p.left[0]
	p.left = p.left[1:]
	return rec, nil
}

// turn opens the next disk of which something is wanted.
func (p *mergedPass) turn(ctx context.Context) (err error) {
	for len(p.todo) > 0 {
		p.now, p.todo = p.todo[0], p.todo[1:]
		if len(p.now.want) > 0 {
			p.pass, err = p.now.from.Open(ctx, p.now.want)
			return err
		}
	}
	return io.EOF
}

// finish ends a disk, and keeps of its tail what still holds: the digests are of
// other places.
func (p *mergedPass) finish() error {
	tail := p.pass.Tail()
	for _, s := range p.now.moves {
		p.tail.Used = p.tail.Used.Union(tail.Used.Clip(s.Src).Shift(s.Dst.Off - s.Src.Off))
		p.tail.Unreadable = p.tail.Unreadable.Union(tail.Unreadable.Clip(s.Src).Shift(s.Dst.Off - s.Src.Off))
	}
	if tail.Live != nil {
		p.tail.Live = tail.Live
	}
	return p.Close()
}

// cut gives the pieces of a record that lie in parts.
func (p *mergedPass) cut(rec extent.Record) []extent.Record {
	var pieces []extent.Record
	for _, s := range p.now.moves {
		e := rec.Intersect(s.Src)
		if e.Len == 0 {
			continue
		}
		piece := extent.Record{Kind: rec.Kind, Extent: extent.Extent{Off: e.Off - s.Src.Off + s.Dst.Off, Len: e.Len}}
		if rec.Kind == extent.Data {
			piece.Data = rec.Data[e.Off-rec.Off : e.End()-rec.Off]
		}
		pieces = append(pieces, piece)
	}
	return pieces
}

func (p *mergedPass) Tail() *manifest.Tail { return &p.tail }

// Close ends the disk that is being read.
func (p *mergedPass) Close() error {
	if p.pass == nil {
		return nil
	}
	pass := p.pass
	p.pass = nil
	return pass.Close()
}

// A mergedDisk can be read anywhere. What belongs to neither disk is zero.
type mergedDisk struct {
	*Merged
	a, b io.ReaderAt
}

var _ Readable = (*mergedDisk)(nil)

// ReadAt reads the merged disk, but for its table: the first disk's is there.
func (d *mergedDisk) ReadAt(b []byte, off int64) (int, error) {
	all := extent.Extent{Off: off, Len: min(int64(len(b)), max(0, d.head.Size-off))}
	clear(b)
	for i, s := range d.moves {
		e := all.Intersect(s.Dst)
		if e.Len == 0 {
			continue
		}
		r := d.b
		if i == 0 {
			r = d.a
		}
		n, err := r.ReadAt(b[e.Off-off:e.End()-off], e.Off-s.Dst.Off+s.Src.Off)
		if int64(n) < e.Len {
			return int(e.Off-off) + n, noEOF(err)
		}
	}
	if all.Len < int64(len(b)) {
		return int(all.Len), io.EOF
	}
	return len(b), nil
}
