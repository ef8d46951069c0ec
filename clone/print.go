package clone

import (
	"fmt"
	"slices"
	"strings"

	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
)

// String is the plan as a person reads it before agreeing.
func (p *Plan) String() string {
	var b strings.Builder
	line := func(word, format string, args ...any) {
		fmt.Fprintf(&b, "  %-13s%s\n", word, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "%s → %s\n", p.From, p.Target.Path)
	line("source", "%s, %s", progress.Bytes(p.Head.Size), tableWords(p.Head.Table))
	line("target", "%s", p.targetWords())
	for _, part := range p.Head.Parts {
		line(fmt.Sprintf("part %d", part.Num), "%s", p.partWords(part))
	}
	line("steps", "%s", p.stepWords())
	for _, c := range p.Changes {
		line("new "+c.What, "%s → %s", c.Old, c.New)
	}
	for _, n := range p.Notes {
		line("note", "%s", n)
	}
	return b.String()
}

func tableWords(t manifest.Table) string {
	if t.Kind == manifest.NoTable {
		return "no partition table"
	}
	return fmt.Sprintf("%s, disk ID %s", strings.ToUpper(string(t.Kind)), t.ID)
}

// targetWords are the target's, with what of it stays.
func (p *Plan) targetWords() string {
	words := p.Target.words()
	if kept := p.KeptWords(); kept != "" {
		words = strings.Replace(words, "all of it", "all but "+kept, 1)
		words = strings.Replace(words, "what it holds", "all but "+kept, 1)
	}
	return words
}

func (t Target) words() string {
	words := []string{progress.Bytes(t.Size)}
	if name := strings.TrimSpace(t.Model + " " + t.Serial); name != "" {
		words = slices.Insert(words, 0, name)
	}
	switch {
	case t.Holds == "blank":
		words = append(words, "blank")
	case t.File:
		words = append(words, "file; what it holds will be lost")
	default:
		words = append(words, "holds "+t.Holds+": all of it will be lost")
	}
	return strings.Join(words, ", ")
}

func (p *Plan) partWords(part manifest.Part) string {
	fs := part.FS.Type
	if fs == "" {
		fs = "not known yet"
	}
	words := []string{fs}
	if part.FS.Label != "" {
		words = append(words, fmt.Sprintf("%q", part.FS.Label))
	}
	size := progress.Bytes(part.Extent.Len)
	if dst, ok := p.place(part.Num); ok && dst.Len != part.Extent.Len {
		size += " → " + progress.Bytes(dst.Len)
	}
	words = append(words, size)
	switch {
	case slices.Contains(p.Stays, part.Num):
		return size + ", stays as it is on the target"
	case slices.Contains(p.Empty, part.Num):
		return size + ", left empty"
	case part.Content == manifest.None:
		words = append(words, "made anew")
	case part.Used >= 0:
		words = append(words, progress.Bytes(part.Used)+" in use")
	}
	return strings.Join(words, ", ")
}

// stepWords tells the steps in one line, each word once.
func (p *Plan) stepWords() string {
	var words []string
	for _, s := range p.Steps {
		if !slices.Contains(words, string(s.Op)) {
			words = append(words, string(s.Op))
		}
	}
	text := strings.Join(words, ", ")
	if moved := p.Moved(); moved >= 0 {
		text = strings.Replace(text, string(Move), "copy "+progress.Bytes(moved), 1)
	}
	return text
}
