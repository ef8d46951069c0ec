package clone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/fit"
	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
	"lifeboat/internal/speech"
)

// The ways in which a part becomes smaller.
const (
	PlanFirst = "plan first" // metadata first, then each block once to its place
	Park      = "park"       // from a stream: blocks behind the new end are parked
)

// A Smaller is what is known before the plan of a part that may have to become
// smaller.
type Smaller struct {
	Part int    `json:"part"`
	Way  string `json:"way"`
	Min  int64  `json:"min"` // bytes that its content needs, by the rule of package fit

	why   string // why it cannot be made smaller
	facts *fit.Facts
	from  io.ReaderAt // the part, where it can be read at any place
	tried *fit.Parker // made smaller in memory; nil = it was not, or is used up
}

// LookSmaller looks at the part that gives room where a target is too small:
// Options.Smaller. now reads the disk of a source that changes while it is read,
// else it is nil. It writes nothing.
func (r Runner) LookSmaller(ctx context.Context, s Source, h *manifest.Head, grow int, now io.ReaderAt) (*Smaller, error) {
	if stream, ok := s.(*Stream); ok {
		if err := stream.reach(ctx, h, r.Memory); err != nil {
			return nil, err
		}
	}
	num, slide := (&Plan{Head: h}).growing(Options{Grow: grow})
	part, ok := h.Part(num)
	if !ok {
		return unfit(h, slide), nil
	}
	l := &Smaller{Part: num, Way: Park}
	if h.Table.Kind == manifest.NoTable {
		l.why = "it has no partition table"
	} else {
		l.why = r.noFuse()
	}
	if l.why != "" {
		return l, nil
	}
	facts, err := l.survey(ctx, s, *part, now)
	if err == nil {
		err = facts.Supported(ctx, filesystem.ExecBound)
	}
	var no *fit.RefusedError
	switch {
	case errors.As(err, &no):
		l.why = no.Why
		return l, nil
	case err != nil:
		return nil, fmt.Errorf("part %d: %w", num, err)
	}
	l.facts, l.Min = facts, fit.Need(facts, part.Extent.Len).Min
	return l, nil
}

// unfit says of a disk that no part of it gives room: only the last one could,
// swap behind it aside.
func unfit(h *manifest.Head, slide []int) *Smaller {
	last, ok := h.Part(layout.Last(h.Table, slide))
	if !ok {
		return nil
	}
	l := &Smaller{Part: last.Num, why: last.Why}
	if l.why == "" {
		l.why = "only ext2, ext3 and ext4 are, and it is " + cmp.Or(last.FS.Type, "something else")
	}
	return l
}

// noFuse says why no device can be served here; "" = it can.
func (r Runner) noFuse() string {
	if r.Fuse == nil {
		return "that needs FUSE"
	}
	if err := fit.CanServe(r.Fuse); err != nil {
		return fmt.Sprintf("that needs root, and a kernel with FUSE (%v)", err)
	}
	return ""
}

// survey reads the facts in the way in which the source can be read.
func (l *Smaller) survey(ctx context.Context, s Source, part manifest.Part, now io.ReaderAt) (*fit.Facts, error) {
	if now != nil {
		facts, err := fit.Survey(sectionOf(now, part), part.Extent.Len)
		if err != nil {
			return nil, err
		}
		return facts.Moving(), nil
	}
	if again, ok := s.(Readable); ok {
		l.from, l.Way = sectionOf(again, part), PlanFirst
		return fit.Survey(l.from, part.Extent.Len)
	}
	front := extent.Extent{Off: part.Extent.Off, Len: min(fit.HeadSize, part.Extent.Len)}
	seen, err := peek(ctx, s, extent.Of(front))
	if err != nil {
		return nil, err
	}
	if !seen.have.Contains(front) {
		return nil, &fit.RefusedError{Reason: fit.Scattered, Why: "this source is read once, and more lies before the part than the memory here can hold: save it to a file first"}
	}
	head := make([]byte, front.Len)
	if _, err := seen.ReadAt(head, front.Off); err != nil {
		return nil, err
	}
	return fit.Learn(head, part.Extent.Len)
}

func sectionOf(r io.ReaderAt, p manifest.Part) *io.SectionReader {
	return io.NewSectionReader(r, p.Extent.Off, p.Extent.Len)
}

// least is what layout may take from the part that grows.
func (l *Smaller) least(grow int) map[int]int64 {
	if l == nil || l.facts == nil || l.Part != grow {
		return nil
	}
	return map[int]int64{grow: l.Min}
}

// shrink notes which part becomes smaller, or refuses: the table is laid out.
func (p *Plan) shrink(l *Smaller) error {
	p.Smaller = nil
	if l == nil || l.facts == nil {
		return nil
	}
	dst, ok := p.place(l.Part)
	if !ok || dst.Len >= l.facts.Size {
		return nil
	}
	switch need := fit.Need(l.facts, dst.Len); {
	case need.MissingInodes > 0:
		return l.tooManyFiles(p.Target, need, dst.Len)
	case !need.Fits:
		return tooSmall(p.Target, need.MissingBytes, &layout.TooSmallError{Missing: need.MissingBytes})
	}
	p.Smaller = l
	return nil
}

// tooSmall refuses a target, and says why the part that could give room does not.
func (l *Smaller) tooSmall(t Target, missing int64, err error) error {
	switch {
	case l == nil:
	case l.facts == nil:
		title := "the disk"
		if l.Part > 0 {
			title = fmt.Sprintf("part %d, which could give room,", l.Part)
		}
		err = fmt.Errorf("%w (%s cannot be made smaller: %s)", err, title, l.why)
	default:
		if need := fit.Need(l.facts, l.Min-missing); need.MissingInodes > 0 && need.MissingBytes == 0 {
			return l.tooManyFiles(t, need, l.Min-missing)
		}
	}
	return tooSmall(t, missing, err)
}

func (l *Smaller) tooManyFiles(t Target, need fit.Answer, size int64) error {
	return refuse("take a larger card", "%s is too small: part %d has %d files more than a file system of %s can hold",
		t.Path, l.Part, need.MissingInodes, progress.Bytes(size))
}

// shrinkStep is the step that makes the part smaller.
func (p *Plan) shrinkStep() Step {
	part, _ := p.Head.Part(p.Smaller.Part)
	dst, _ := p.place(part.Num)
	return Step{Op: Shrink, Part: part.Num, Src: part.Extent, Dst: dst, Note: p.Smaller.Way}
}

// shrinks is the part that becomes smaller and is written; nil = none.
func (p *Plan) shrinks() *Smaller {
	if p.Smaller == nil || !p.writes(p.Smaller.Part) {
		return nil
	}
	return p.Smaller
}

// words tell a person what it means.
func (l *Smaller) words() speech.Text {
	need := progress.Bytes(l.Min)
	if l.Way == Park {
		return speech.New("part %d becomes smaller: its content needs %s; the source is read once, so that this is known by a rule, and exactly only near the end", l.Part, need)
	}
	return speech.New("part %d becomes smaller: its content needs %s", l.Part, need)
}

// Try makes the part smaller in memory, before anything is written: it says
// exactly whether it fits. A *Refusal says that it does not. Where the source can
// be read only once, and where the metadata are many, the rule must do, which was
// never seen to promise too much.
func (r Runner) Try(ctx context.Context, p *Plan) error {
	l := p.shrinks()
	if l == nil || l.from == nil {
		return nil
	}
	dst, _ := p.place(l.Part)
	r.Meter.Phase(fmt.Sprintf("try part %d", l.Part), -1)
	tried, err := fit.Trial(ctx, r.fitOptions(l, nil, dst.Len), r.Memory)
	var small *fit.NoRoomError
	switch {
	case errors.As(err, &small):
		return refuse("take a larger card", "%s is too small for part %d: %w", p.Target.Path, l.Part, err)
	case errors.Is(err, fit.ErrNotTried):
		p.Notes = append(p.Notes, speech.New("part %d was not tried beforehand (%v): that it fits is known by a rule, and exactly only when it is done", l.Part, err))
		return nil
	case err != nil:
		return fmt.Errorf("try to make part %d smaller: %w", l.Part, err)
	}
	l.tried = tried
	return nil
}

func (r Runner) fitOptions(l *Smaller, to fit.Target, size int64) fit.Options {
	return fit.Options{
		Facts: l.facts, To: to, Size: size, From: l.from,
		Run: filesystem.ExecBound, OpenFuse: r.Fuse, Logf: r.Logf,
	}
}

// SmallestDisk is the size of the smallest disk that the content of h fits on, by
// the rule of package fit; 0 = not known.
func SmallestDisk(h *manifest.Head) int64 {
	num, slide := (&Plan{Head: h}).growing(Options{})
	part, ok := h.Part(num)
	if !ok || part.Min <= 0 || h.Table.Kind == manifest.NoTable {
		return 0
	}
	o := layout.Options{Grow: num, Slide: slide, Min: map[int]int64{num: part.Min}}
	var small *layout.TooSmallError
	size := part.Extent.Off + smallestRound
	for range 4 { // swap behind it, and the copy of a GPT, want room as well
		table, err := layout.Fit(h.Table, size, h.Sector, o)
		if errors.As(err, &small) {
			size = (size + small.Missing + smallestRound - 1) / smallestRound * smallestRound
			continue
		}
		if err != nil || !holds(table, num, part.Min) {
			return 0
		}
		return size
	}
	return 0
}

// smallestRound is the step in which disks are made for content, bytes.
const smallestRound = 1 << 20

func holds(t manifest.Table, num int, size int64) bool {
	for _, e := range t.Entries {
		if e.Num == num {
			return e.Extent.Len >= size
		}
	}
	return false
}
