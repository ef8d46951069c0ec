package clone

import (
	"fmt"
	"slices"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
	"lifeboat/internal/speech"
)

// A Growth is a plan that makes the last part of a disk, and its file system,
// take the room behind them. Its steps are those of a restore, but nothing is
// wiped and nothing copied: whenever it is interrupted, the disk boots as before
// or larger. Without steps there is nothing to do.
type Growth struct {
	*Plan
	Part  int         `json:"part"` // 0 = a disk without a table
	Mount string      `json:"mount,omitempty"`
	Why   speech.Text `json:"why,omitzero"` // why there is nothing to do

	was extent.Extent // of the part, as the table has it
}

// slack is what an ext file system may leave unused at its end: resize2fs and
// the kernel drop a last block group that would hold little but its own maps.
const slack = 4 << 20

// PlanGrow says how the disk of h, which is f, is grown in place. grow is as in
// Options. A *Refusal says why it cannot.
func PlanGrow(h *manifest.Head, f disk.Facts, grow int) (*Growth, error) {
	g := &Growth{Plan: &Plan{From: f.Disk.Path, Target: targetOf(f), Head: h}}
	if err := g.fit(Options{Grow: grow}); err != nil {
		return nil, err
	}
	if h.Table.Kind != manifest.NoTable {
		g.Part, _ = g.growing(Options{Grow: grow})
		if g.Part == 0 {
			g.Why = whyNotLast(h)
			g.Table = h.Table
			return g, nil
		}
	}
	part, ok := h.Part(g.Part)
	if !ok || !filesystem.CanGrow(part.FS) || part.Why != "" {
		return nil, refuse("", "%s: %s", f.Disk.Path, whyNot(part))
	}
	g.was = part.Extent
	g.growSteps(*part, f.Disk.Size)
	return g, nil
}

// whyNotLast says why the last part of a disk cannot grow.
func whyNotLast(h *manifest.Head) speech.Text {
	if len(h.Parts) == 0 {
		return speech.New("there is no part")
	}
	return speech.New("the last part does not grow: %s", whyNot(&h.Parts[len(h.Parts)-1]))
}

func whyNot(p *manifest.Part) speech.Text {
	switch {
	case p == nil:
		return speech.New("there is no such part")
	case p.Why != "":
		return speech.New("part %d: %s", p.Num, p.Why)
	case p.FS.Type == "":
		return speech.New("part %d holds no file system that is known", p.Num)
	}
	return speech.New("part %d holds %s, which lifeboat cannot grow", p.Num, p.FS.Type)
}

// growSteps lists the steps. The table comes before the file system: a part that
// is larger than its file system boots, the contrary does not.
func (g *Growth) growSteps(part manifest.Part, size int64) {
	dst := extent.Extent{Off: 0, Len: size}
	if g.Head.Table.Kind != manifest.NoTable {
		dst, _ = g.place(part.Num)
	}
	tableGrows := !slices.EqualFunc(g.Table.Entries, g.Head.Table.Entries, func(a, b manifest.Entry) bool { return a.Extent == b.Extent })
	if !tableGrows && dst.Len-part.FS.Size < slack {
		g.Why = speech.New("part %d and its file system reach to the end of the disk", part.Num)
		if part.Num == 0 {
			g.Why = speech.New("the file system reaches to the end of the disk")
		}
		return
	}
	g.add(Step{Op: Check, Part: part.Num, Dst: part.Extent})
	g.eachPart(func(p manifest.Part, to extent.Extent) {
		if p.Content == manifest.None && to != p.Extent {
			g.add(Step{Op: Swap, Part: p.Num, Dst: to})
		}
	})
	if tableGrows {
		g.add(Step{Op: Table})
	}
	g.add(Step{Op: Resize, Part: part.Num, Dst: dst})
	g.add(Step{Op: Check, Part: part.Num, Dst: dst})
}

// String is the plan in English.
func (g *Growth) String() string { return g.In(speech.English) }

// In is the plan as a person reads it before agreeing.
func (g *Growth) In(l speech.Language) string {
	s := sheet{l: l}
	s.title(speech.Plain(g.Target.Path))
	s.line(speech.New("disk"), commas(speech.Plain(progress.Bytes(g.Target.Size)), tableWords(g.Head.Table)))
	for _, step := range g.Steps {
		part, _ := g.Head.Part(step.Part)
		switch step.Op {
		case Resize:
			s.line(speech.New("part %d", step.Part), speech.Plain(fmt.Sprintf("%s, %q, %s → %s",
				part.FS.Type, part.FS.Label, progress.Bytes(part.FS.Size), progress.Bytes(step.Dst.Len))))
		case Swap:
			s.line(speech.New("part %d", step.Part), speech.New("swap, made anew behind it"))
		}
	}
	switch {
	case len(g.Steps) == 0:
		s.line(speech.New("nothing to do"), g.Why)
	case g.Mount != "":
		s.line(speech.New("steps"), speech.New("table, resize while it is mounted on %s", g.Mount))
	default:
		s.line(speech.New("steps"), g.stepWords())
	}
	return s.String()
}
