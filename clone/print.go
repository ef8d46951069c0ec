package clone

import (
	"fmt"
	"slices"
	"strings"

	"lifeboat/clone/disk"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
	"lifeboat/internal/speech"
)

// A sheet is a plan on paper: a title, and lines of a word and what it is about.
type sheet struct {
	// config
	l speech.Language

	// state
	strings.Builder
}

func (s *sheet) title(t speech.Text) { fmt.Fprintf(s, "%s\n", t.In(s.l)) }

func (s *sheet) line(word, about speech.Text) {
	fmt.Fprintf(s, "  %-12s %s\n", word.In(s.l), about.In(s.l))
}

// commas makes one text of several.
func commas(words ...speech.Text) speech.Text { return speech.Join(words, ", ") }

// String is the plan in English.
func (p *Plan) String() string { return p.In(speech.English) }

// In is the plan as a person reads it before agreeing.
func (p *Plan) In(l speech.Language) string {
	s := sheet{l: l}
	s.title(speech.Plain(p.From + " → " + p.Target.Path))
	s.line(speech.New("source"), commas(speech.Plain(progress.Bytes(p.Head.Size)), tableWords(p.Head.Table)))
	s.line(speech.New("target"), p.Target.words(p.KeptWords()))
	for _, part := range p.Head.Parts {
		s.line(speech.New("part %d", part.Num), p.partWords(part))
	}
	s.line(speech.New("steps"), p.stepWords())
	for _, c := range p.Changes {
		s.line(c.title(), speech.Plain(c.Old+" → "+c.New))
	}
	for _, n := range p.Notes {
		s.line(speech.New("note"), n)
	}
	return s.String()
}

func (c Change) title() speech.Text {
	if c.What == diskID {
		return speech.New("new disk ID")
	}
	return speech.New("new %s", c.What)
}

func tableWords(t manifest.Table) speech.Text {
	if t.Kind == manifest.NoTable {
		return speech.New("no partition table")
	}
	return speech.New("%s, disk ID %s", strings.ToUpper(string(t.Kind)), t.ID)
}

// words are the target's; kept is what of it stays.
func (t Target) words(kept speech.Text) speech.Text {
	words := []speech.Text{speech.Plain(progress.Bytes(t.Size))}
	if name := strings.TrimSpace(t.Model + " " + t.Serial); name != "" {
		words = slices.Insert(words, 0, speech.Plain(name))
	}
	switch {
	case t.Holds == disk.Blank:
		words = append(words, HoldsWords(t.Holds))
	case t.File && kept.IsZero():
		words = append(words, speech.New("file; what it holds will be lost"))
	case t.File:
		words = append(words, speech.New("file; all but %s will be lost", kept))
	case kept.IsZero():
		words = append(words, speech.New("holds %s: all of it will be lost", HoldsWords(t.Holds)))
	default:
		words = append(words, speech.New("holds %s: all but %s will be lost", HoldsWords(t.Holds), kept))
	}
	return commas(words...)
}

// HoldsWords are what a disk holds, as package disk says it, for people.
func HoldsWords(holds string) speech.Text {
	switch holds {
	case disk.Blank:
		return speech.New("blank")
	case disk.Untold:
		return speech.New("data without a table")
	}
	return speech.Plain(holds) // the disk's ID
}

func (p *Plan) partWords(part manifest.Part) speech.Text {
	words := []speech.Text{speech.Plain(part.FS.Type)}
	if part.FS.Type == "" {
		words[0] = speech.New("not known yet")
	}
	if part.FS.Label != "" {
		words = append(words, speech.Plain(fmt.Sprintf("%q", part.FS.Label)))
	}
	size := progress.Bytes(part.Extent.Len)
	if dst, ok := p.place(part.Num); ok && dst.Len != part.Extent.Len {
		size += " → " + progress.Bytes(dst.Len)
	}
	words = append(words, speech.Plain(size))
	switch {
	case slices.Contains(p.Stays, part.Num):
		return speech.New("%s, stays as it is on the target", size)
	case slices.Contains(p.Empty, part.Num):
		return speech.New("%s, left empty", size)
	case part.Content == manifest.None:
		words = append(words, speech.New("made anew"))
	case part.Used >= 0:
		words = append(words, speech.New("%s in use", progress.Bytes(part.Used)))
	}
	return commas(words...)
}

// stepWords tells the steps in one line, each word once.
func (p *Plan) stepWords() speech.Text {
	var words []speech.Text
	var told []Op
	for _, s := range p.Steps {
		if slices.Contains(told, s.Op) {
			continue
		}
		told = append(told, s.Op)
		if moved := p.Moved(); s.Op == Move && moved >= 0 {
			words = append(words, speech.New("copy %s", progress.Bytes(moved)))
		} else {
			words = append(words, s.Op.words())
		}
	}
	return commas(words...)
}

func (o Op) words() speech.Text {
	switch o {
	case Wipe:
		return speech.New("wipe")
	case Move:
		return speech.New("copy")
	case Shrink:
		return speech.New("shrink")
	case Swap:
		return speech.New("swap")
	case Verify:
		return speech.New("verify")
	case Check:
		return speech.New("check")
	case Resize:
		return speech.New("resize")
	case Identity:
		return speech.New("identity")
	case BootArea:
		return speech.New("boot area")
	case Table:
		return speech.New("table")
	}
	panic("BUG: a step of an unknown kind: " + string(o))
}
