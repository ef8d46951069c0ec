package netboot

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// For tells whether the job is for this board; why is the reason where it is
// not.
func (j *Job) For(b BoardFacts) (ok bool, why string) {
	rules := []struct {
		what     string
		patterns []string
		have     []string
	}{
		{"serial", j.Boards.Serial, serials(strings.ToLower(b.Serial))},
		{"MAC", j.Boards.MAC, b.MACs},
		{"model", j.Boards.Model, append([]string{b.Model}, b.Compatible...)},
	}
	for _, r := range rules {
		if len(r.patterns) > 0 && !matchAny(r.patterns, r.have) {
			return false, fmt.Sprintf("the job is for boards with %s %s; this one has %s",
				r.what, strings.Join(r.patterns, " or "), listOr(r.have, "none"))
		}
	}
	return true, ""
}

func matchAny(patterns, have []string) bool {
	for _, p := range patterns {
		for _, h := range have {
			if h != "" && glob(p, h) {
				return true
			}
		}
	}
	return false
}

// glob is path.Match without its respect for slashes, case and the way a MAC
// is written.
func glob(pattern, s string) bool {
	plain := strings.NewReplacer("/", "|")
	form := func(s string) string { return plain.Replace(strings.ToLower(s)) }
	ok, err := path.Match(form(pattern), form(s))
	if !ok && isMAC(s) {
		ok, err = path.Match(strings.ReplaceAll(form(pattern), "-", ":"), form(s))
	}
	return ok && err == nil
}

func isMAC(s string) bool { return strings.Count(s, ":") == 5 }

func listOr(words []string, none string) string {
	words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "" })
	if len(words) == 0 {
		return none
	}
	return strings.Join(words, ", ")
}

// A Candidate is a disk as far as the rule of a job asks.
type Candidate struct {
	Path    string // for messages, as "/dev/mmcblk0"
	Name    string // model and serial, for messages
	Slot    string // one of Slots(), or another word
	Size    int64  // bytes
	Blank   bool   // no table and no file system
	ID      string // disk ID: 8 hex digits (MBR) or a GUID (GPT); "" = none
	Refused string // why it can be no target whatever the job says; "" = it can
}

// Pick chooses the one disk that fits the job's rule, by its index. None, or
// more than one, is an error that says of each disk why.
func (j *Job) Pick(disks []Candidate) (int, error) {
	var fit []int
	var reasons []string
	for i, d := range disks {
		if why := j.Target.misfit(d); why != "" {
			reasons = append(reasons, fmt.Sprintf("%s %s", d, why))
		} else {
			fit = append(fit, i)
			reasons = append(reasons, fmt.Sprintf("%s fits", d))
		}
	}
	switch {
	case len(fit) == 1:
		return fit[0], nil
	case len(disks) == 0:
		return -1, fmt.Errorf("job %s wants %s, but no disk is there", j.ID, j.Target)
	case len(fit) == 0:
		return -1, fmt.Errorf("job %s wants %s, but no disk fits: %s", j.ID, j.Target, strings.Join(reasons, "; "))
	}
	return -1, fmt.Errorf("job %s wants %s, and %d disks fit, so that none is taken: %s", j.ID, j.Target, len(fit), strings.Join(reasons, "; "))
}

func (d Candidate) String() string {
	if d.Name == "" {
		return d.Path
	}
	return fmt.Sprintf("%s (%s)", d.Path, d.Name)
}

// misfit is why the disk cannot be the target, "" where it can.
func (t Target) misfit(d Candidate) string {
	switch {
	case d.Refused != "":
		return d.Refused
	case t.Slot != "" && d.Slot != t.Slot:
		return fmt.Sprintf("is in slot %s", listOr([]string{d.Slot}, "unknown"))
	case d.Size < int64(t.MinSize):
		return fmt.Sprintf("has %d bytes, %d too few", d.Size, int64(t.MinSize)-d.Size)
	case !t.allows(d):
		return "holds " + listOr([]string{d.ID}, "data without a disk ID")
	}
	return ""
}

func (t Target) allows(d Candidate) bool {
	if slices.Contains(t.Holds, Anything) {
		return true
	}
	if d.Blank && d.ID == "" {
		return len(t.Holds) == 0 || slices.Contains(t.Holds, Blank)
	}
	return d.ID != "" && slices.ContainsFunc(t.Holds, func(h string) bool { return sameID(h, d.ID) })
}

// sameID compares disk IDs as people write them: with 0x in front or not.
func sameID(a, b string) bool {
	form := func(s string) string { return strings.TrimPrefix(strings.ToLower(s), "0x") }
	return form(a) == form(b)
}

func (t Target) String() string {
	words := []string{"one disk"}
	if t.Slot != "" {
		words = append(words, "in slot "+t.Slot)
	}
	if t.MinSize > 0 {
		words = append(words, fmt.Sprintf("of at least %d bytes", int64(t.MinSize)))
	}
	holds := t.Holds
	if len(holds) == 0 {
		holds = []string{Blank}
	}
	return strings.Join(append(words, "that holds "+strings.Join(holds, " or ")), " ")
}
