package identity

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"lifeboat/clone/manifest"
	"lifeboat/internal/speech"
)

// A Repair is a reference that leads nowhere, and what is to stand in its place.
type Repair struct {
	Was  Ref `json:"was"`
	Is   Ref `json:"is"`
	Part int `json:"part"` // the part that it leads to then
}

// Words are the repair for people: place, old and new.
func (r Repair) Words() speech.Text {
	return speech.Join([]speech.Text{r.Was.place(), speech.Plain(r.Was.Use), speech.Plain(r.Was.String() + " → " + r.Is.String())}, ": ")
}

// Repairs says how the references that a board could not follow can be mended:
// those whose part is known for certain. slot is where the disk is put ("sd",
// "emmc", "usb", "nvme", "sata", "virtio"; "" = not known): names by place that
// a disk there cannot have are replaced too. What stays broken, and would
// hinder the boot, is in left.
//
// A part is known where it is the only one that suits; where the reference has
// the disk ID that the root is named by, and its number suits here; and where a
// name by place has its number.
func Repairs(head *manifest.Head, boot, root fs.FS, slot string) (repairs []Repair, left []Finding, err error) {
	findings, err := Check(head, boot, root)
	if err != nil {
		return nil, nil, err
	}
	var refs []Ref
	for _, f := range findings {
		refs = append(refs, f.Ref)
	}
	m := mender{checker{head, diskOf(refs)}, nil}
	m.was = m.oldID(findings)
	for _, f := range findings {
		moved := f.OK && f.Kind == Device && !CanBe(slot, f.Value)
		if f.OK && !moved || f.Line == 0 && !f.Serious() {
			continue
		}
		is, ok := m.mend(f)
		switch {
		case ok:
			repairs = append(repairs, is)
		case f.Serious():
			left = append(left, f)
		}
	}
	return repairs, left, nil
}

// A mender finds out what a reference should be.
type mender struct {
	checker
	was []string // disk IDs that this disk, or its source, had
}

// oldID are the disk IDs of references to the root that lead nowhere: the files
// were written for a disk with that ID.
func (m mender) oldID(findings []Finding) []string {
	var ids []string
	for _, f := range findings {
		if id, _, ok := mbrPart(f.Value); ok && f.Kind == PartUUID && namesRoot(f.Ref) && f.Part == 0 {
			ids = append(ids, strings.ToLower(id))
		}
	}
	return ids
}

// mbrPart cuts "6c696665-02" into disk ID and number, which is hex.
func mbrPart(value string) (id string, num int, ok bool) {
	id, hex, ok := strings.Cut(value, "-")
	n, err := strconv.ParseInt(hex, 16, 32)
	return id, int(n), ok && err == nil && len(id) == len("12345678") && len(hex) == 2
}

func (m mender) mend(f Finding) (Repair, bool) {
	part, ok := m.certain(f)
	if !ok {
		return Repair{}, false
	}
	is, ok := m.named(part, f.Kind)
	if !ok {
		return Repair{}, false
	}
	was := f.Ref
	name := was
	name.Kind, name.Value = is.Kind, is.Value
	return Repair{Was: was, Is: name, Part: part.Num}, true
}

// certain finds the part that is meant, where there is no doubt.
func (m mender) certain(f Finding) (manifest.Part, bool) {
	if f.Line == 0 || f.Kind == Other {
		return manifest.Part{}, false // what is missing can be told, not mended
	}
	num := 0
	switch id, n, ok := mbrPart(f.Value); {
	case f.OK:
		num = f.Part
	case f.Kind == PartUUID && ok && slices.Contains(m.was, strings.ToLower(id)):
		num = n
	}
	if p, ok := m.head.Part(num); ok && num > 0 && m.suits(f.Ref, num) {
		return *p, true
	}
	if m.other(f.Ref) || f.Optional && !namesRoot(f.Ref) && f.Use != "fstab swap" {
		return manifest.Part{}, false // another disk, which comes and goes
	}
	return m.meant(f.Ref)
}

// zeroID is the disk ID of an MBR that has none: udev makes no PARTUUID of it.
const zeroID = "00000000-"

// named names a part: in the wanted way where that is not by place, else as the
// kernel itself can find it.
func (c checker) named(p manifest.Part, kind Kind) (Ref, bool) {
	e, _ := c.entry(p.Num)
	if strings.HasPrefix(e.UUID, zeroID) {
		e.UUID = ""
	}
	names := []Ref{
		{Kind: PartUUID, Value: e.UUID},
		{Kind: UUID, Value: p.FS.UUID},
		{Kind: Label, Value: p.FS.Label},
		{Kind: PartLabel, Value: e.Name},
	}
	if kind == Number {
		return Ref{Kind: Number, Value: strconv.Itoa(p.Num)}, p.Num > 0
	}
	for _, n := range names {
		if n.Kind == kind && n.Value != "" && !strings.ContainsAny(n.Value, " \t\"'\\,;") {
			return n, true
		}
	}
	for _, n := range names[:2] {
		if n.Value != "" {
			return n, true
		}
	}
	return Ref{}, false
}

// Mend puts the repairs into the files of one tree, which they name. Each file
// is written once. After an error the files before the one that it names are
// mended.
func Mend(repairs []Repair, tree Files) error {
	for len(repairs) > 0 {
		name := repairs[0].Was.File
		var here, rest []Repair
		for _, r := range repairs {
			if r.Was.File == name {
				here = append(here, r)
			} else {
				rest = append(rest, r)
			}
		}
		if err := mendFile(here, tree); err != nil {
			return err
		}
		repairs = rest
	}
	return nil
}

func mendFile(repairs []Repair, tree Files) error {
	where, name := repairs[0].Was.Where, repairs[0].Was.File
	f, ok, err := load(tree, where, name, nil)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%s part: %s is not there any more", where, name)
	}
	lines := slices.Collect(strings.Lines(string(f.data)))
	for _, r := range repairs {
		mended, ok := "", false
		if n := r.Was.Line; n >= 1 && n <= len(lines) {
			mended, ok = r.line(lines[n-1])
		}
		if !ok {
			return fmt.Errorf("%s: it is not what it was: %s is not in it", r.Was.place(), r.Was)
		}
		lines[r.Was.Line-1] = mended
	}
	if err := tree.WriteFile(name, []byte(strings.Join(lines, ""))); err != nil {
		return fmt.Errorf("%s part: mend %s: %w", where, name, err)
	}
	return nil
}

// line mends one line; ok is false where the reference is not in it.
func (r Repair) line(text string) (mended string, ok bool) {
	if r.Was.Kind == Number {
		before, after, ok := strings.Cut(text, r.Was.Use+r.Was.Value)
		return before + r.Was.Use + r.Is.Value + after, ok
	}
	for _, t := range scan(text) {
		if !r.Was.stands(text, t) {
			continue
		}
		offset := len(r.Was.Value) - len(t.value) // of /PARTNROFF=
		if r.Was.Kind == r.Is.Kind && offset == 0 {
			return text[:t.start] + inCase(r.Is.Value, t.value) + text[t.end:], true
		}
		end := t.to + offset
		if end == t.end && strings.ContainsAny(text[t.from:t.start], `"'`) {
			end++ // its closing quote
		}
		return text[:t.from] + r.Is.String() + text[min(end, len(text)):], true
	}
	return "", false
}

// stands tells whether the token is this reference, in the place of its use.
func (r Ref) stands(text string, t token) bool {
	if t.kind != r.Kind || t.value != r.Value && !strings.HasPrefix(r.Value, t.value+partnroff) {
		return false
	}
	key, keyed := strings.CutSuffix(r.Use, "=")
	return !keyed || strings.HasSuffix(strings.TrimRight(text[:t.from], " \t\"'="), key)
}
