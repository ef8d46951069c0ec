package clone

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"lifeboat/clone/disk"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/identity"
	"lifeboat/clone/manifest"
	"lifeboat/internal/speech"
)

// A BootPlan says what of a disk's boot references is wrong, and how it will be
// mended. Nothing but the lines that it names is changed.
type BootPlan struct {
	Target  Target             `json:"target"`
	Head    *manifest.Head     `json:"head"`
	Wrong   []identity.Finding `json:"wrong,omitempty"`
	Repairs []identity.Repair  `json:"repairs,omitempty"`
	Left    []speech.Text      `json:"left,omitempty"` // what stays wrong, as sentences

	trees Trees
	told  []identity.Ref // those that Left speaks of
}

// PlanFixBoot looks for references of the disk f, which head and trees describe,
// that a board could not follow.
func PlanFixBoot(h *manifest.Head, trees Trees, f disk.Facts) (*BootPlan, error) {
	p := &BootPlan{Target: targetOf(f), Head: h, trees: trees}
	repairs, left, err := identity.Repairs(h, trees.Boot, trees.Root, p.Target.Slot)
	if err != nil {
		return nil, err
	}
	findings, err := identity.Check(h, trees.Boot, trees.Root)
	if err != nil {
		return nil, err
	}
	for _, w := range findings {
		if w.Serious() {
			p.Wrong = append(p.Wrong, w)
		}
	}
	for _, l := range left {
		p.leave(l.Text, l.Ref)
	}
	for _, r := range repairs {
		if why := p.barred(r); !why.IsZero() {
			p.leave(speech.New("%s: it is not changed: %s", r.Words(), why), r.Was)
		} else {
			p.Repairs = append(p.Repairs, r)
		}
	}
	return p, nil
}

func (p *BootPlan) leave(text speech.Text, ref identity.Ref) {
	p.Left, p.told = append(p.Left, text), append(p.told, ref)
}

// barred says why a file must not be edited now.
func (p *BootPlan) barred(r identity.Repair) speech.Text {
	num := p.trees.Part(r.Was.Where)
	if part, ok := p.Head.Part(num); ok && part.FS.Dirty && filesystem.IsExt(part.FS.Type) {
		return speech.New("part %d was not cleanly unmounted: run e2fsck on it, or boot another system with it once", num)
	}
	return speech.Text{}
}

// String is the plan in English.
func (p *BootPlan) String() string { return p.In(speech.English) }

// In is the plan as a person reads it before agreeing.
func (p *BootPlan) In(l speech.Language) string {
	s := sheet{l: l}
	s.title(speech.Plain(p.Target.Path))
	for _, w := range p.Wrong {
		s.line(speech.New("wrong"), w.Text)
	}
	for _, r := range p.Repairs {
		s.line(speech.New("change"), r.Words())
	}
	for _, text := range p.Left {
		s.line(speech.New("left"), text)
	}
	if len(p.Wrong)+len(p.Repairs)+len(p.Left) == 0 {
		s.line(speech.New("boot"), speech.New("each reference leads to a part of this disk"))
	}
	return s.String()
}

// FixBoot mends what the plan says, reads it back from the medium, and resolves
// all references again. What stays wrong is a reservation of the report. An
// error behind the first write is a *TouchedError.
func (r Runner) FixBoot(ctx context.Context, p *BootPlan, t *disk.Target) (*Report, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	start := r.Clock()
	report, told := &Report{Reservations: speech.Strings(p.Left)}, slices.Clone(p.told)
	for _, list := range byFile(p.Repairs) {
		why, err := p.mend(t, list)
		if err != nil {
			return nil, &TouchedError{err, true}
		}
		if why != nil {
			report.Reservations = append(report.Reservations, why.Error())
			for _, m := range list {
				told = append(told, m.Was)
			}
		} else if r.Logf != nil {
			r.Logf("%s part: %s: %d changed", list[0].Was.Where, list[0].Was.File, len(list))
		}
	}
	if err := errors.Join(t.Sync(ctx), t.DropCache()); err != nil {
		return nil, &TouchedError{err, true}
	}
	after, err := PlanFixBoot(p.Head, BootTrees(t, p.Head), t.Facts())
	if err != nil {
		return nil, &TouchedError{fmt.Errorf("look at what was written: %w", err), true}
	}
	for _, w := range after.Wrong {
		if !slices.Contains(told, w.Ref) {
			report.Reservations = append(report.Reservations, w.Text.String())
		}
	}
	report.Verified = true
	report.Elapsed = r.Clock().Sub(start)
	return report, nil
}

// byFile groups repairs, each file's together.
func byFile(repairs []identity.Repair) [][]identity.Repair {
	var groups [][]identity.Repair
	at := map[string]int{}
	for _, r := range repairs {
		key := r.Was.Where + ":" + r.Was.File
		i, ok := at[key]
		if !ok {
			i = len(groups)
			at[key], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], r)
	}
	return groups
}

// mend changes one file. why tells that it was refused and the file is as it
// was; an error that what it holds now is not known.
func (p *BootPlan) mend(t *disk.Target, repairs []identity.Repair) (why, err error) {
	name, num := repairs[0].Was.File, p.trees.Part(repairs[0].Was.Where)
	part, _ := p.Head.Part(num)
	open := func() (identity.Files, []byte, error) {
		files, err := editable(t.Window(part.Extent), part.FS)
		if err != nil {
			return nil, nil, fmt.Errorf("part %d: %w", num, err)
		}
		data, err := fs.ReadFile(files, name)
		return files, data, err
	}
	files, was, err := open()
	if err != nil {
		return nil, err
	}
	if why = identity.Mend(repairs, files); why == nil {
		return nil, nil
	}
	if _, is, err := open(); err != nil || string(is) != string(was) {
		return nil, errors.Join(why, err)
	}
	return why, nil
}
