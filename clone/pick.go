package clone

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
	"lifeboat/internal/speech"
)

// Present is what a target holds before it is written to, as far as a plan that
// leaves some of it alone must know.
type Present struct {
	Table manifest.Table
	// Found is what lies where the source's parts begin, by place: a target
	// whose table was wiped by a run that was interrupted has nothing else.
	Found map[int64]manifest.FS
}

// LookAt looks at a target of size bytes that the disk of h shall come to lie on.
func LookAt(r io.ReaderAt, size, sector int64, h *manifest.Head) (*Present, error) {
	p := &Present{Found: map[int64]manifest.FS{}}
	var err error
	if p.Table, err = layout.Read(r, size, sector); err != nil {
		p.Table = manifest.Table{} // one that is broken tells nothing
	}
	for _, part := range h.Parts {
		off := part.Extent.Off
		if off >= size {
			continue
		}
		found, err := filesystem.Probe(io.NewSectionReader(r, off, size-off), size-off)
		if err != nil {
			return nil, fmt.Errorf("look for part %d on the target: %w", part.Num, err)
		}
		p.Found[off] = found
	}
	return p, nil
}

// pick lays out the table, and decides which parts are written, which stay as
// they are on the target, and which are left empty.
func (p *Plan) pick(o Options) error {
	if len(o.Parts)+len(o.Keep) == 0 {
		return p.fit(o)
	}
	alone, err := p.leftAlone(o)
	if err != nil {
		return err
	}
	// A part that the target has already is as large as there; others grow.
	grown := *p
	err = grown.fit(o)
	if err == nil && o.Grow == GrowLast {
		o.Grow = GrowNone
	}
	if plain := p.fit(o); plain != nil {
		return plain
	}
	if err == nil && grown.stay(alone, o.Present) >= p.stay(alone, o.Present) {
		p.Table = grown.Table
	}
	for _, num := range alone {
		switch why := p.unlike(num, o.Present); {
		case why.IsZero():
			p.Stays = append(p.Stays, num)
		case slices.Contains(o.Keep, num):
			return refuse("restore without --keep, or save the part first", "part %d cannot be kept: %s", num, why)
		default:
			p.Empty = append(p.Empty, num)
			p.Notes = append(p.Notes, speech.New("nothing is written to part %d, and its content does not stay: %s", num, why))
		}
	}
	p.noteLost(o.Present)
	return nil
}

// leftAlone lists the parts that are not to be written.
func (p *Plan) leftAlone(o Options) ([]int, error) {
	if p.Head.Table.Kind == manifest.NoTable {
		return nil, &Refusal{Err: errors.New("the source has no partition table: there are no parts to choose from")}
	}
	for _, num := range slices.Concat(o.Parts, o.Keep) {
		if _, ok := p.Head.Part(num); !ok {
			return nil, refuse("lifeboat inspect lists the parts", "the source has no part %d", num)
		}
		if slices.Contains(o.Parts, num) && slices.Contains(o.Keep, num) {
			return nil, refuse("", "part %d is to be written and to be kept", num)
		}
	}
	if o.Present == nil {
		panic("BUG: parts are chosen without a look at the target")
	}
	var alone []int
	for _, part := range p.Head.Parts {
		if slices.Contains(o.Keep, part.Num) || len(o.Parts) > 0 && !slices.Contains(o.Parts, part.Num) {
			alone = append(alone, part.Num)
		}
	}
	if len(alone) == len(p.Head.Parts) {
		return nil, refuse("", "no part would be written")
	}
	return alone, nil
}

// stay counts the parts that would stay as they are.
func (p *Plan) stay(alone []int, now *Present) int {
	n := 0
	for _, num := range alone {
		if p.unlike(num, now).IsZero() {
			n++
		}
	}
	return n
}

// unlike says why the part that the target has now is not the one that it will
// have; nothing where it is.
func (p *Plan) unlike(num int, now *Present) speech.Text {
	at := func(t manifest.Table) int {
		return slices.IndexFunc(t.Entries, func(e manifest.Entry) bool { return e.Num == num })
	}
	will := p.Table.Entries[at(p.Table)]
	if now.Table.Kind == manifest.NoTable {
		found := now.Found[will.Extent.Off]
		if found.Type == "" || found.Size <= 0 || found.Size > will.Extent.Len {
			return speech.New("the target has no partition table, and no file system that fits begins at byte %d", will.Extent.Off)
		}
		return speech.Text{}
	}
	i := at(now.Table)
	switch {
	case i < 0:
		return speech.New("the target has no part %d", num)
	case now.Table.Kind != p.Table.Kind:
		return speech.New("the target's partition table is of another kind (%s)", now.Table.Kind)
	case now.Table.Entries[i].Extent != will.Extent:
		is := now.Table.Entries[i].Extent
		return speech.New("on the target it is at bytes %d to %d, and would be at %d to %d", is.Off, is.End(), will.Extent.Off, will.Extent.End())
	case now.Table.Entries[i].Type != will.Type:
		return speech.New("on the target it is of type %s, and would be of %s", now.Table.Entries[i].Type, will.Type)
	}
	return speech.Text{}
}

// noteLost names the target's parts that the new table does not have.
func (p *Plan) noteLost(now *Present) {
	for _, e := range now.Table.Entries {
		if _, ok := p.place(e.Num); !ok && !e.Extended {
			p.Notes = append(p.Notes, speech.New("part %d of the target is not in the source: it will be lost", e.Num))
		}
	}
}

// writes tells whether the plan fills a part.
func (p *Plan) writes(num int) bool {
	return !slices.Contains(p.Stays, num) && !slices.Contains(p.Empty, num)
}

// kept are the bytes of the target that nothing may be written to.
func (p *Plan) kept() extent.Set {
	var kept []extent.Extent
	for _, num := range p.Stays {
		if e, ok := p.place(num); ok {
			kept = append(kept, e)
		}
	}
	return extent.Of(kept...)
}

// KeptWords are the parts that stay, for people; nothing where none does.
func (p *Plan) KeptWords() speech.Text {
	var words []speech.Text
	for _, num := range p.Stays {
		words = append(words, speech.New("part %d", num))
	}
	return speech.Join(words, ", ")
}

// A sparing writer leaves out the bytes that are to be kept: the places of an
// old table may lie in a part of the new one.
type sparing struct {
	w interface {
		io.WriterAt
		Sync() error
	}
	kept extent.Set
}

func (s sparing) Sync() error { return s.w.Sync() }

func (s sparing) WriteAt(b []byte, off int64) (int, error) {
	all := extent.Extent{Off: off, Len: int64(len(b))}
	for _, e := range extent.Of(all).Subtract(s.kept) {
		if _, err := s.w.WriteAt(b[e.Off-off:e.End()-off], e.Off); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}
