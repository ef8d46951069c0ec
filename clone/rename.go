package clone

import (
	"fmt"
	"io"
	"maps"
	"strings"

	"lifeboat/clone/filesystem"
	"lifeboat/clone/identity"
	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
)

// A Change is an ID that becomes another one.
type Change struct {
	Part int    `json:"part,omitempty"` // 0 = of the disk and its table
	What string `json:"what"`           // "PARTUUID", "UUID", "disk ID"
	Old  string `json:"old"`
	New  string `json:"new"`
}

// rename gives the target an identity of its own, if that is wanted.
func (p *Plan) rename(o Options) error {
	if o.IDs != NewIDs {
		return nil
	}
	table, changed, err := layout.NewIDs(p.Table, o.Random)
	if err != nil {
		return fmt.Errorf("new disk ID: %w", err)
	}
	if table.ID != p.Table.ID {
		p.Changes = append(p.Changes, Change{What: "disk ID", Old: p.Table.ID, New: table.ID})
	}
	for _, e := range p.Table.Entries {
		if to, ok := changed[e.UUID]; ok {
			p.Changes = append(p.Changes, Change{Part: e.Num, What: "PARTUUID", Old: e.UUID, New: to})
		}
	}
	p.Table = table
	for _, part := range p.Head.Parts {
		if !renamable(part) || !p.writes(part.Num) {
			continue
		}
		to, err := newUUID(part.FS, o.Random)
		if err != nil {
			return err
		}
		if to != "" {
			p.Changes = append(p.Changes, Change{Part: part.Num, What: "UUID", Old: part.FS.UUID, New: to})
		}
	}
	return nil
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
	for _, c := range p.Changes {
		m[c.Old] = c.New
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
func oldWarning(parts []manifest.Part) string {
	var kept []string
	for _, p := range parts {
		if p.FS.UUID != "" && !renamable(p) {
			kept = append(kept, fmt.Sprintf("part %d (%s)", p.Num, p.FS.Type))
		}
	}
	if len(kept) == 0 {
		return ""
	}
	return "the UUID stays in " + strings.Join(kept, ", ") + ": do not mount both disks at once"
}

// renamed is all that the files are to be told: new IDs, and names by place of
// another disk.
func (p *Plan) renamed(v views) (map[string]string, error) {
	changes := p.replaced()
	if p.Device == "" {
		return changes, nil
	}
	refs, err := identity.References(v.boot, v.root)
	if err != nil {
		return nil, err
	}
	if from := identity.DiskName(refs); from != "" && from != p.Device {
		maps.Copy(changes, identity.Devices(from, p.Device))
	}
	return changes, nil
}

// misplaced tells of a name by place that a disk in the target's slot cannot
// have. Who said what the disk will be called knows better.
func (p *Plan) misplaced(f identity.Finding) string {
	if !f.OK || f.Kind != identity.Device || p.Device != "" || identity.CanBe(p.Target.Slot, f.Value) {
		return ""
	}
	return fmt.Sprintf("%s part: %s line %d: %s %s: no disk in a slot of kind %s has that name; --device=/dev/… translates such names",
		f.Where, f.File, f.Line, f.Use, f.Value, p.Target.Slot)
}
