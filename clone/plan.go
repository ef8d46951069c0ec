package clone

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
	"lifeboat/internal/speech"
)

// Op is what a step does.
type Op string

// The steps in the order in which every plan has them; docs/SAFETY.md says why.
const (
	Wipe     Op = "wipe"      // the old table is destroyed
	Move     Op = "copy"      // used bytes go to their place
	Shrink   Op = "shrink"    // a file system becomes as small as its part
	Swap     Op = "swap"      // swap is made anew
	Verify   Op = "verify"    // all that was written is read back
	Check    Op = "check"     // the file system's own checker looks at it
	Resize   Op = "resize"    // the file system grows to its part
	Identity Op = "identity"  // new IDs, and every boot reference is resolved
	BootArea Op = "boot area" // a boot area of an eMMC is written
	Table    Op = "table"     // the new table, sector 0 as the last write
)

// A Step is one thing that Execute does. Src are bytes of the source's disk,
// Dst of the target; a part's number is 0 where the step is about the disk.
type Step struct {
	Op    Op            `json:"op"`
	Part  int           `json:"part,omitempty"`
	Src   extent.Extent `json:"src,omitzero"`
	Dst   extent.Extent `json:"dst,omitzero"`
	Bytes int64         `json:"bytes"` // to be moved, at most; -1 = not known
	Note  string        `json:"note,omitempty"`
	Area  string        `json:"area,omitempty"` // of an eMMC: "boot0"
}

// A Plan is all that a restore or clone will do. It is made of data by
// PlanRestore, printed, agreed to, and then executed without a further
// decision.
type Plan struct {
	From    string         `json:"from"`   // the source, for people
	Target  Target         `json:"target"` // the disk to be overwritten
	Head    *manifest.Head `json:"head"`   // what the source has
	Table   manifest.Table `json:"table"`  // what the target will have
	Steps   []Step         `json:"steps"`
	Smaller *Smaller       `json:"smaller,omitempty"` // the part that becomes smaller
	Changes []Change       `json:"changes,omitempty"` // IDs that become others
	Stamp   *Stamp         `json:"stamp,omitempty"`
	Stays   []int          `json:"stays,omitempty"`  // parts of the target that stay as they are
	Empty   []int          `json:"empty,omitempty"`  // parts that nothing is written to
	Board   string         `json:"board,omitempty"`  // that is to boot it, by its name in package boards
	Device  string         `json:"device,omitempty"` // what the disk will be called: names by place follow
	Guests  []GuestPart    `json:"guests,omitempty"` // parts that come from the second of two disks
	Beside  *Beside        `json:"beside,omitempty"` // the other disk of the same system
	Notes   []speech.Text  `json:"notes,omitempty"`
}

// Target is what the plan says of the disk to be overwritten.
type Target struct {
	Path   string `json:"path"`
	Model  string `json:"model,omitempty"`
	Serial string `json:"serial,omitempty"`
	Size   int64  `json:"size"`
	Sector int64  `json:"sector"`
	Holds  string `json:"holds"`          // "blank", or the ID of the disk it is now
	Word   string `json:"word,omitempty"` // what a person types to agree
	File   bool   `json:"file,omitempty"`
	Slot   string `json:"slot,omitempty"` // where it will be at boot, in the words of a job; "" = not known
}

// A Stamp is a small file that is put on the boot part: a finished job.
type Stamp struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

// IDs says whether the target keeps the identity of the source.
type IDs string

const (
	KeepIDs IDs = "keep" // it replaces the source, which is dead or goes away
	NewIDs  IDs = "new"  // both will be plugged in
)

// Special values of Options.Grow; others are the number of a part.
const (
	GrowLast = 0 // the last part that can
	GrowNone = -1
)

// Options are a user's or a job's wishes. The zero value keeps IDs, grows the
// last part and verifies.
type Options struct {
	From     string
	IDs      IDs
	Grow     int
	NoVerify bool
	Random   io.Reader // for new IDs
	Stamp    *Stamp
	Parts    []int         // only these are written; none = all
	Keep     []int         // these stay as they are on the target
	Present  *Present      // what the target holds, where Parts or Keep are given
	Smaller  *Smaller      // of the source, where the target is smaller; nil = no part becomes smaller
	Board    string        // that is to boot it; "" = nobody asks
	Device   string        // what the target will be called where it boots: "/dev/nvme0n1"; "" = as the source
	Guests   []GuestPart   // of a source that was merged of two
	Notes    []speech.Text // what is known of the source, as sentences
}

// A Refusal is a no before anything was written. Hint says what to do.
type Refusal struct {
	Err  error
	Hint string
}

func (r *Refusal) Error() string { return r.Err.Error() }
func (r *Refusal) Unwrap() error { return r.Err }

func refuse(hint, format string, args ...any) error {
	return &Refusal{fmt.Errorf(format, args...), hint}
}

// PlanRestore says how the disk of h comes to lie on the target f. It is a pure
// function, but for the random bytes of new IDs. A *Refusal says why it cannot.
func PlanRestore(h *manifest.Head, f disk.Facts, o Options) (*Plan, error) {
	p := &Plan{From: o.From, Target: targetOf(f), Head: h, Stamp: o.Stamp, Board: o.Board, Device: o.Device}
	if err := p.pick(o); err != nil {
		return nil, err
	}
	if err := p.rename(o); err != nil {
		return nil, err
	}
	p.steps(o)
	p.areas(f.Disk.Areas, o)
	p.note(o)
	return p, nil
}

func targetOf(f disk.Facts) Target {
	return Target{
		Path: f.Disk.Path, Model: f.Disk.Model, Serial: f.Disk.Serial,
		Size: f.Disk.Size, Sector: f.Disk.Sector,
		Holds: f.Holds, Word: f.Word, File: f.File, Slot: slotOf(f.Disk),
	}
}

// slotOf is where a disk is put, where that tells something of its boot: a card
// in a USB reader will be in a card slot.
func slotOf(d disk.Disk) string {
	if d.Slot == "usb" && d.Removable {
		return ""
	}
	return d.Slot
}

// fit makes the table that the target will have.
func (p *Plan) fit(o Options) error {
	h := p.Head
	if h.Sector != p.Target.Sector && h.Table.Kind != manifest.NoTable {
		return refuse("choose a target with the same sector size",
			"the source counts in sectors of %d bytes, %s in sectors of %d", h.Sector, p.Target.Path, p.Target.Sector)
	}
	if h.Table.Kind == manifest.NoTable {
		p.Table = h.Table
		if missing := h.Size - p.Target.Size; missing > 0 {
			return o.Smaller.tooSmall(p.Target, missing, &layout.TooSmallError{Missing: missing})
		}
		return nil
	}
	var err error
	grow, slide := p.growing(o)
	p.Table, err = layout.Fit(h.Table, p.Target.Size, h.Sector, layout.Options{Grow: grow, Slide: slide, Min: o.Smaller.least(grow)})
	var small *layout.TooSmallError
	if errors.As(err, &small) {
		return o.Smaller.tooSmall(p.Target, small.Missing, err)
	}
	if err != nil {
		return &Refusal{Err: fmt.Errorf("partition table for %s: %w", p.Target.Path, err)}
	}
	return p.shrink(o.Smaller)
}

func tooSmall(t Target, missing int64, err error) error {
	return &Refusal{
		fmt.Errorf("%s is too small: %w", t.Path, err),
		fmt.Sprintf("take a card that is larger by %s", progress.Bytes(missing)),
	}
}

// growing says which part takes the room of a larger target, and which parts
// behind it may slide because they are made anew. What is not understood is not
// grown unless it was asked for.
func (p *Plan) growing(o Options) (grow int, slide []int) {
	for _, part := range p.Head.Parts {
		if part.Content == manifest.None {
			slide = append(slide, part.Num)
		}
	}
	switch o.Grow {
	case GrowNone:
		return 0, slide
	case GrowLast:
		num := layout.Last(p.Head.Table, slide)
		if part, ok := p.Head.Part(num); ok && mayGrow(part.FS.Type) && part.Why == "" {
			return num, slide
		}
		return 0, slide
	}
	return o.Grow, slide
}

// mayGrow tells whether a file system can be made larger: ext can. What is not
// known yet is looked at when it lies on the target.
func mayGrow(fsType string) bool {
	return fsType == "" || filesystem.IsExt(fsType)
}

// place is the extent of a part on the target.
func (p *Plan) place(num int) (extent.Extent, bool) {
	if p.Table.Kind == manifest.NoTable {
		return extent.Extent{Off: 0, Len: p.Head.Size}, num == 0
	}
	for _, e := range p.Table.Entries {
		if e.Num == num {
			return e.Extent, true
		}
	}
	return extent.Extent{}, false
}

// steps lists what is to be done, in the order of docs/SAFETY.md.
func (p *Plan) steps(o Options) {
	p.add(Step{Op: Wipe, Dst: extent.Extent{Off: 0, Len: p.Target.Size}})
	for _, gap := range p.Head.Gaps().Subtract(p.kept()) {
		p.add(Step{Op: Move, Src: gap, Dst: gap, Bytes: gap.Len, Note: "outside of parts"})
	}
	p.eachPart(func(part manifest.Part, dst extent.Extent) {
		if part.Content == manifest.Blocks {
			src, dst := p.cut(part, dst)
			p.add(Step{Op: Move, Part: part.Num, Src: src, Dst: dst, Bytes: part.Used, Note: part.Why})
		}
	})
	slices.SortStableFunc(p.Steps[1:], func(a, b Step) int { return cmp.Compare(a.Src.Off, b.Src.Off) })
	p.addShrink()
	p.eachPart(func(part manifest.Part, dst extent.Extent) {
		if part.Content == manifest.None {
			p.add(Step{Op: Swap, Part: part.Num, Dst: dst})
		}
	})
	if !o.NoVerify {
		p.add(Step{Op: Verify, Bytes: p.Moved()})
	}
	p.eachPart(func(part manifest.Part, dst extent.Extent) {
		if part.Content == manifest.Blocks && checkable(part.FS.Type) {
			_, dst = p.cut(part, dst)
			p.add(Step{Op: Check, Part: part.Num, Dst: dst})
		}
	})
	p.eachPart(func(part manifest.Part, dst extent.Extent) {
		if part.Content == manifest.Blocks && dst.Len > part.Extent.Len && mayGrow(part.FS.Type) {
			p.add(Step{Op: Resize, Part: part.Num, Dst: dst})
		}
	})
	p.add(Step{Op: Identity})
	p.add(Step{Op: Table})
}

func (p *Plan) add(s Step) { p.Steps = append(p.Steps, s) }

// cut is which bytes of a part go where: what does not fit in a smaller part is
// not in use, unless the file system becomes smaller.
func (p *Plan) cut(part manifest.Part, dst extent.Extent) (src, to extent.Extent) {
	n := min(part.Extent.Len, dst.Len)
	src, to = part.Extent, extent.Extent{Off: dst.Off, Len: n}
	if l := p.shrinks(); l == nil || l.Part != part.Num {
		src.Len = n
	}
	return src, to
}

// addShrink adds the step that makes a part smaller: before its blocks come, if
// by plan, else behind them.
func (p *Plan) addShrink() {
	switch l := p.shrinks(); {
	case l == nil:
	case l.from != nil:
		p.Steps = slices.Insert(p.Steps, 1, p.shrinkStep())
	default:
		p.add(p.shrinkStep())
	}
}

// eachPart goes through the parts that are written.
func (p *Plan) eachPart(do func(part manifest.Part, dst extent.Extent)) {
	for _, part := range p.Head.Parts {
		if dst, ok := p.place(part.Num); ok && p.writes(part.Num) {
			do(part, dst)
		}
	}
}

func checkable(fsType string) bool {
	return fsType == "vfat" || mayGrow(fsType)
}

// Programs are those of other people that Execute will start.
func (p *Plan) Programs() []string {
	var names []string
	for _, s := range p.Steps {
		if part, ok := p.Head.Part(s.Part); ok && (s.Op == Check || s.Op == Resize) {
			names = append(names, filesystem.Programs(part.FS.Type)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Want is what Execute reads of the source.
func (p *Plan) Want() extent.Set {
	var want []extent.Extent
	for _, s := range p.Steps {
		if s.Op == Move {
			want = append(want, s.Src)
		}
	}
	return extent.Of(want...)
}

// Moved is the sum of the bytes to be copied, at most; -1 where a part's is not
// known.
func (p *Plan) Moved() int64 {
	var sum int64
	for _, s := range p.Steps {
		if s.Op != Move {
			continue
		}
		if s.Bytes < 0 {
			return -1
		}
		sum += s.Bytes
	}
	return sum
}

// note tells what a person should know before agreeing.
func (p *Plan) note(o Options) {
	p.Notes = append(p.Notes, p.Head.Table.Notes...)
	if words := LostWords(p.Head, p.Head.Unreadable); !words.IsZero() {
		p.Notes = append(p.Notes, words)
	}
	p.Notes = append(p.Notes, o.Notes...)
	for _, part := range p.Head.Parts {
		if !p.writes(part.Num) {
			continue
		}
		if part.Why != "" {
			p.Notes = append(p.Notes, speech.New("part %d: all bytes are copied: %s", part.Num, part.Why))
		}
		if part.FS.Type == "" && part.Used < 0 && part.Content == manifest.Blocks {
			p.Notes = append(p.Notes, speech.New("part %d is not known before it is read: if it is ext2, ext3 or ext4, %s", part.Num, p.ifExt(part)))
		}
		if part.FS.Dirty {
			p.Notes = append(p.Notes, speech.New("part %d was not cleanly unmounted: its journal is replayed on the target", part.Num))
		}
	}
	if l := p.shrinks(); l != nil {
		p.Notes = append(p.Notes, l.words())
	}
	if p.Device != "" {
		p.Notes = append(p.Notes, speech.New("names of parts by place, as /dev/mmcblk0p2, become those of %s", p.Device))
	}
	if warning := oldWarning(p.Head.Parts); o.IDs == NewIDs && !warning.IsZero() {
		p.Notes = append(p.Notes, warning)
	}
}
