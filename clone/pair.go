package clone

import (
	"slices"
	"strings"

	"lifeboat/clone/manifest"
)

// A Beside is the other one of two disks that one system lies on, as it will be
// when its own plan is done.
type Beside struct {
	Path    string         `json:"path"`
	Head    *manifest.Head `json:"head"`
	Changes []Change       `json:"changes,omitempty"` // which references follow on this disk too
}

// Pair lets two plans, for two disks that one system lies on, know of each
// other: what names a part of the other disk follows when that gets new IDs, and
// is resolved there. A *Refusal says what could not be told apart.
func Pair(a, b *Plan) error {
	renamed := len(a.Changes)+len(b.Changes) > 0
	if renamed && a.Head.Table.ID != "" && strings.EqualFold(a.Head.Table.ID, b.Head.Table.ID) {
		return refuse("give --ids=keep", "both disks have the ID %s: which of them a reference means is not known", a.Head.Table.ID)
	}
	besideB, besideA := a.beside(), b.beside()
	a.Beside, b.Beside = besideA, besideB
	return nil
}

// beside is what the other plan has to know of this one.
func (p *Plan) beside() *Beside {
	head := *p.Head
	head.Size, head.Table = p.Target.Size, p.Table
	head.Parts = slices.Clone(head.Parts)
	for i := range head.Parts {
		if to, ok := p.newID(head.Parts[i].Num); ok {
			head.Parts[i].FS.UUID = to
		}
	}
	return &Beside{Path: p.Target.Path, Head: &head, Changes: p.Changes}
}

// others are the heads of the disks that the system lies on beside this one.
func (p *Plan) others() []*manifest.Head {
	if p.Beside == nil {
		return nil
	}
	return []*manifest.Head{p.Beside.Head}
}
