package clone

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"lifeboat/clone/disk"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
	"lifeboat/internal/speech"
)

// AreaOf describes what a boot area of an eMMC holds; false where it is blank,
// which erased flash may show as zeros or as ones: such are not kept.
func AreaOf(name string, data []byte) (manifest.Area, bool) {
	blank := len(bytes.Trim(data, "\x00")) == 0 || len(bytes.Trim(data, "\xff")) == 0
	sum := sha256.Sum256(data)
	return manifest.Area{Name: name, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}, !blank
}

// areas plans what becomes of the boot areas of source and target. They are
// written right before the table: a board that starts from a new boot loader
// finds no half-written system.
func (p *Plan) areas(have []disk.Area, o Options) {
	for _, a := range p.Head.Areas {
		i := slices.IndexFunc(have, func(t disk.Area) bool { return t.Name == a.Name })
		size := progress.Bytes(a.Size)
		switch {
		case len(o.Parts) > 0:
			p.Notes = append(p.Notes, speech.New("the boot area %s (%s) is not written: only some parts are wanted", a.Name, size))
		case i < 0:
			p.Notes = append(p.Notes, speech.New("the boot area %s (%s) is not restored: %s has none, and a board whose boot loader is there does not start from it", a.Name, size, p.Target.Path))
		case have[i].Size < a.Size:
			p.Notes = append(p.Notes, speech.New("the boot area %s (%s) is not restored: that of %s has %s only", a.Name, size, p.Target.Path, progress.Bytes(have[i].Size)))
		default:
			p.Steps = slices.Insert(p.Steps, len(p.Steps)-1, Step{Op: BootArea, Area: a.Name, Bytes: a.Size})
		}
	}
	if len(p.Head.Areas) == 0 && len(have) > 0 {
		p.Notes = append(p.Notes, speech.New("the boot areas of %s stay as they are: the source has none that hold anything", p.Target.Path))
	}
}

// writeArea writes a boot area, of which all is known since before the wipe.
func (e *execution) writeArea(ctx context.Context, s Step) error {
	e.Meter.Phase(describe(s), -1)
	data, ok := e.Areas[s.Area]
	if !ok {
		panic("BUG: the plan writes a boot area that nobody has read")
	}
	if err := e.target.WriteArea(ctx, s.Area, data); err != nil {
		return err
	}
	e.logf("boot area %s: %d bytes are there", s.Area, len(data))
	return nil
}
