package clone

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"lifeboat/clone/filesystem"
	"lifeboat/clone/identity"
	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
	"lifeboat/internal/speech"
)

// A Change is an ID that becomes another one.
type Change struct {
	Part int    `json:"part,omitempty"` // 0 = of the disk and its table
	What string `json:"what"`           // "PARTUUID", "UUID", "disk ID"
	Old  string `json:"old"`
	New  string `json:"new"`
	// Twin says that another part keeps the old one: references stay with that.
	Twin bool `json:"twin,omitempty"`
}

// diskID is the What of a change of the disk's own ID.
const diskID = "disk ID"

// rename gives the target an identity of its own, if that is wanted. Parts that
// come from a second disk have a new PARTUUID in any case.
func (p *Plan) rename(o Options) error {
	p.Guests = o.Guests
	was := p.Table.Entries
	if o.IDs == NewIDs {
		table, _, err := layout.NewIDs(p.Table, o.Random)
		if err != nil {
			return fmt.Errorf("new disk ID: %w", err)
		}
		if table.ID != p.Table.ID {
			p.Changes = append(p.Changes, Change{What: diskID, Old: p.Table.ID, New: table.ID})
		}
		p.Table = table
	}
	for i, e := range p.Table.Entries {
		old := was[i].UUID
		if g, ok := p.guest(e.Num); ok {
			old = g.UUID
		}
		if old != "" && old != e.UUID {
			p.Changes = append(p.Changes, Change{Part: e.Num, What: "PARTUUID", Old: old, New: e.UUID})
		}
	}
	return p.renameContent(o)
}

// renameContent gives the file systems new UUIDs.
func (p *Plan) renameContent(o Options) error {
	for _, part := range p.Head.Parts {
		g, _ := p.guest(part.Num)
		if o.IDs != NewIDs && !g.Twin || !renamable(part) || !p.writes(part.Num) {
			continue
		}
		to, err := newUUID(part.FS, o.Random)
		if err != nil {
			return err
		}
		if to != "" {
			p.Changes = append(p.Changes, Change{Part: part.Num, What: "UUID", Old: part.FS.UUID, New: to, Twin: g.Twin})
		}
	}
	return nil
}

// guest is what a part was on the second of two disks.
func (p *Plan) guest(num int) (GuestPart, bool) {
	for _, g := range p.Guests {
		if g.Num == num {
			return g, true
		}
	}
	return GuestPart{}, false
}

// renamable tells whether lifeboat can change the UUID of a part. What was not
// understood (Why) is left alone: its tools may not understand it either.
func renamable(p manifest.Part) bool {
	return p.Why == "" && (filesystem.IsExt(p.FS.Type) || p.FS.Type == "swap" || p.FS.Type == "vfat")
}

// newUUID makes an ID of the same form; "" where there is none yet.
func newUUID(fs manifest.FS, random io.Reader) (string, error) {
	if fs.UUID == "" {
		return "", nil
	}
	if fs.Type != "vfat" {
		return randomUUID(random)
	}
	var b [4]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("new serial number: %w", err)
	}
	return fmt.Sprintf("%02X%02X-%02X%02X", b[0], b[1], b[2], b[3]), nil
}

// randomUUID makes a version 4 UUID (RFC 9562, section 5.4).
func randomUUID(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("new UUID: %w", err)
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

// replaced is the changes as package identity takes them: old to new.
func (p *Plan) replaced() map[string]string {
	m := map[string]string{}
	changes := p.Changes
	if p.Beside != nil { // of two that have one, this disk's counts
		changes = slices.Concat(p.Beside.Changes, p.Changes)
	}
	for _, c := range changes {
		if !c.Twin {
			m[c.Old] = c.New
		}
	}
	return m
}

// newID is what the ID of a part's file system becomes.
func (p *Plan) newID(part int) (string, bool) {
	for _, c := range p.Changes {
		if c.Part == part && c.What == "UUID" {
			return c.New, true
		}
	}
	return "", false
}

// oldWarning names what cannot be given a new ID.
func oldWarning(parts []manifest.Part) speech.Text {
	var kept []speech.Text
	for _, p := range parts {
		if p.FS.UUID != "" && !renamable(p) {
			kept = append(kept, speech.New("part %d (%s)", p.Num, p.FS.Type))
		}
	}
	if len(kept) == 0 {
		return speech.Text{}
	}
	return speech.New("the UUID stays in %s: do not mount both disks at once", speech.Join(kept, ", "))
}

// renamed is all that the files are to be told: new IDs, and names by place of
// another disk. rooted are the numbers of the parts that a root could be.
func (p *Plan) renamed(boot, root fs.FS, rooted []int) (map[string]string, error) {
	changes := p.replaced()
	if p.Device == "" && len(p.Guests) == 0 {
		return changes, nil
	}
	refs, err := identity.References(boot, root)
	if err != nil {
		return nil, err
	}
	own, guests := p.diskNames(refs, rooted)
	if p.Device != "" && own != "" && own != p.Device {
		maps.Copy(changes, identity.Devices(own, p.Device))
	}
	if guests != "" {
		maps.Copy(changes, p.movedDevices(guests))
	}
	return changes, nil
}

// diskNames are what the references call the disk, and the one that guests come
// from; "" = by no place. Where there are guests, the root is taken for one of
// them as soon as it can be: two disks are put together for its sake.
func (p *Plan) diskNames(refs []identity.Ref, rooted []int) (own, guests string) {
	root, others := identity.DiskNames(refs)
	if len(p.Guests) == 0 {
		return root, ""
	}
	other := ""
	if len(others) == 1 {
		other = others[0]
	}
	for _, num := range identity.RootNumbers(refs) {
		for _, g := range p.Guests {
			if g.Was == num && slices.Contains(rooted, g.Num) {
				return other, root
			}
		}
	}
	return root, other
}

// movedDevices are the new names of guests that were named by their place: again
// by place where it is known, else by PARTUUID.
func (p *Plan) movedDevices(from string) map[string]string {
	changes := map[string]string{}
	for _, g := range p.Guests {
		to := ""
		for _, e := range p.Table.Entries {
			if e.Num == g.Num {
				to = string(identity.PartUUID) + "=" + e.UUID
			}
		}
		if p.Device != "" {
			to = identity.PartName(p.Device, g.Num)
		}
		changes[identity.PartName(from, g.Was)] = to
	}
	return changes
}

// unsure tells of a reference that meant one of two parts.
func (p *Plan) unsure(f identity.Finding) string {
	for _, c := range p.Changes {
		if c.Twin && f.Kind == identity.UUID && strings.EqualFold(f.Value, c.Old) {
			return fmt.Sprintf("%s part: %s line %d: %s UUID=%s: parts of both disks had it; part %d has UUID=%s now: is that the one that is meant?",
				f.Where, f.File, f.Line, f.Use, f.Value, c.Part, c.New)
		}
	}
	return ""
}

// misplaced tells of a name by place that a disk in the target's slot cannot
// have. Who said what the disk will be called knows better.
func (p *Plan) misplaced(f identity.Finding) string {
	if !f.OK || f.Kind != identity.Device || f.Elsewhere || p.Device != "" || identity.CanBe(p.Target.Slot, f.Value) {
		return ""
	}
	return fmt.Sprintf("%s part: %s line %d: %s %s: no disk in a slot of kind %s has that name; --device=/dev/… translates such names",
		f.Where, f.File, f.Line, f.Use, f.Value, p.Target.Slot)
}
