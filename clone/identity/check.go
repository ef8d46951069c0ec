package identity

import (
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"lifeboat/clone/manifest"
	"lifeboat/internal/speech"
)

// A Finding says where a reference leads.
type Finding struct {
	Ref
	OK   bool        `json:"ok"`   // it leads to a part of this disk that can be meant
	Part int         `json:"part"` // that part's number; 0 = none
	Text speech.Text `json:"text"` // for people: what is wrong and what would be right
	// Elsewhere says that the part is one of another disk of the same system.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// Serious tells whether the board would not boot, or stop on the way.
func (f Finding) Serious() bool { return !f.OK && !f.Optional }

// Check resolves each reference of the boot part and the root against the disk
// that head describes. A reference to another disk is not OK; where it is also
// Optional, that is mostly meant so. Where the system lies on more disks, those
// are the others: what this disk does not have, may be there.
func Check(head *manifest.Head, boot, root fs.FS, others ...*manifest.Head) ([]Finding, error) {
	files, err := find(boot, root)
	if err != nil {
		return nil, err
	}
	var refs []Ref
	for _, f := range files {
		refs = append(refs, f.refs()...)
	}
	c := checker{head, diskOf(refs)}
	var findings []Finding
	for _, r := range refs {
		f := c.check(r)
		for _, other := range others {
			if !f.OK {
				f = f.seek(checker{other, ""})
			}
		}
		findings = append(findings, f)
	}
	if len(others) > 0 && !slices.ContainsFunc(files, isBoot) {
		return findings, nil // another disk boots
	}
	lacks := missing(head, files, refs, boot, root)
	for i := range lacks {
		// A disk without a root boots none, unless that is on another.
		lacks[i].Optional = lacks[i].Optional || rootless(head) && len(others) == 0
	}
	return append(findings, lacks...), nil
}

// RootOf is the number of the part that the boot files name as the root, when
// the changes are made that Rewrite would make; 0 = none, or not on this disk.
func RootOf(head *manifest.Head, boot fs.FS, changes map[string]string) (int, error) {
	files, err := find(boot, nil)
	if err != nil {
		return 0, err
	}
	var refs []Ref
	for _, f := range files {
		f.data, _ = Rewrite(f.data, changes)
		refs = append(refs, f.refs()...)
	}
	c := checker{head, diskOf(refs)}
	for _, r := range refs {
		if num := c.resolve(r); namesRoot(r) && num > 0 {
			return num, nil
		}
	}
	return 0, nil
}

// seek looks for what was not found on another disk. A name by place may be any
// disk's: it counts where the part suits.
func (f Finding) seek(c checker) Finding {
	num := c.resolve(f.Ref)
	if e, ok := c.entry(num); num == 0 || ok && e.Extended || !c.suits(f.Ref, num) {
		return f
	}
	f.OK, f.Elsewhere, f.Part = true, true, num
	f.Text = speech.New("%s: %s: %s is part %d of the other disk", f.place(), f.Use, f.Ref, num)
	return f
}

func isBoot(f file) bool { return !strings.HasPrefix(f.name, "etc/") }

// missing says what should be there, and is not.
func missing(head *manifest.Head, files []file, refs []Ref, boot, root fs.FS) []Finding {
	isRoot := func(r Ref) bool { return namesRoot(r) && !strings.HasPrefix(r.File, "etc/") }
	var text speech.Text
	scripted := false
	for _, name := range []string{"boot.scr", "boot/boot.scr", "recovery.cmdline", "grub/grub.cfg", "boot/grub/grub.cfg"} {
		scripted = scripted || exists(boot, name) || exists(root, name)
	}
	switch {
	case boot == nil && root == nil:
		text = speech.New("no part of this disk could be looked into: whether it boots is not known")
	case !slices.ContainsFunc(files, isBoot):
		text = speech.New("there is no cmdline.txt, extlinux.conf, armbianEnv.txt, uEnv.txt or boot.ini: nothing tells the kernel where its root is")
	case !slices.ContainsFunc(refs, isRoot):
		text = speech.New("no root= in any of the boot files: nothing tells the kernel where its root is")
	default:
		return nil
	}
	if scripted {
		text = speech.New("%s, unless the boot script does", text)
	}
	return []Finding{{Ref: Ref{Where: Boot, Use: "root=", Optional: scripted}, Text: text}}
}

// rootless tells whether no part can be a root: rescue media run from memory,
// and sticks boot nothing.
func rootless(head *manifest.Head) bool {
	return len(head.Parts) > 0 && !slices.ContainsFunc(head.Parts, func(p manifest.Part) bool {
		return p.FS.Type != "vfat" && p.FS.Type != "swap"
	})
}

func exists(tree fs.FS, name string) bool {
	if tree == nil {
		return false
	}
	_, err := fs.Stat(tree, name)
	return err == nil
}

// namesRoot: LibreELEC calls it disk=, Armbian rootdev=, and Debian's
// raspi-firmware ROOTPART=.
func namesRoot(r Ref) bool {
	return slices.Contains([]string{"root=", "rootdev=", "disk=", "ROOTPART=", "fstab /"}, r.Use)
}

func namesBoot(r Ref) bool {
	return r.Use == "boot=" || r.Use == "boot_partition=" || strings.HasPrefix(r.Use, "fstab /boot")
}

// A checker resolves references.
type checker struct {
	head *manifest.Head
	disk string // what the files call this disk: "mmcblk0"; "" = not known
}

// diskOf takes the disk that the root is said to be on for this one.
func diskOf(refs []Ref) string {
	for _, r := range refs {
		if namesRoot(r) && r.Kind == Device {
			disk, _ := splitDevice(r.Value)
			return disk
		}
	}
	return ""
}

// splitDevice parts "/dev/mmcblk0p2" into "mmcblk0" and 2.
func splitDevice(value string) (disk string, num int) {
	name := strings.TrimPrefix(value, "/dev/")
	disk = strings.TrimRight(name, "0123456789")
	num, _ = strconv.Atoi(name[len(disk):])
	if before, ok := strings.CutSuffix(disk, "p"); ok && strings.ContainsAny(before, "0123456789") {
		disk = before
	}
	return disk, num
}

func (c checker) check(r Ref) Finding {
	f := Finding{Ref: r}
	if r.Kind == Other {
		// root=/dev/nfs, /dev/ram0, /dev/mapper/…, 179:2, $rootdev
		f.OK = true
		f.Text = speech.New("%s: %s%s: not a part, or not a name that can be resolved here", r.place(), r.Use, r)
		return f
	}
	f.Part = c.resolve(r)
	switch e, ok := c.entry(f.Part); {
	case f.Part == 0 && c.other(r):
		f.Text = speech.New("%s: %s: %s is not on this disk%s", r.place(), r.Use, r, c.consequence(r))
	case f.Part == 0:
		f.Text = speech.New("%s: %s: %s is not on this disk%s%s", r.place(), r.Use, r, c.consequence(r), c.advice(r))
	case ok && e.Extended:
		f.Text = speech.New("%s: %s: %s is the extended part %d, which holds parts and no files%s", r.place(), r.Use, r, f.Part, c.advice(r))
	case !c.suits(r, f.Part):
		f.Text = speech.New("%s: %s: %s is part %d, which holds %s%s", r.place(), r.Use, r, f.Part, c.holds(f.Part), c.advice(r))
	default:
		f.OK = true
		f.Text = speech.New("%s: %s: %s is part %d", r.place(), r.Use, r, f.Part)
	}
	return f
}

func (r Ref) place() speech.Text { return speech.New("%s part: %s line %d", r.Where, r.File, r.Line) }

func (c checker) consequence(r Ref) speech.Text {
	if r.Optional {
		return speech.New(" (the boot goes on without it)")
	}
	return speech.Text{}
}

// other tells whether a device name is another disk's.
func (c checker) other(r Ref) bool {
	disk, _ := splitDevice(r.Value)
	return r.Kind == Device && c.disk != "" && disk != c.disk
}

func (c checker) entry(num int) (manifest.Entry, bool) {
	for _, e := range c.head.Table.Entries {
		if e.Num == num {
			return e, true
		}
	}
	return manifest.Entry{}, false
}

// resolve finds the part that a reference means; 0 = none.
func (c checker) resolve(r Ref) int {
	switch r.Kind {
	case PartUUID:
		return c.byPartUUID(r.Value)
	case Device:
		if _, num := splitDevice(r.Value); !c.other(r) {
			return c.known(num)
		}
		return 0
	case Number:
		num, _ := strconv.Atoi(r.Value)
		return c.known(num)
	case PartLabel:
		for _, e := range c.head.Table.Entries {
			if e.Name != "" && e.Name == plain(r.Value) {
				return e.Num
			}
		}
		return 0
	}
	for _, p := range c.head.Parts {
		if r.Kind == UUID && p.FS.UUID != "" && strings.EqualFold(p.FS.UUID, r.Value) ||
			r.Kind == Label && p.FS.Label != "" && p.FS.Label == plain(r.Value) {
			return p.Num
		}
	}
	return 0
}

func (c checker) known(num int) int {
	if _, ok := c.entry(num); ok {
		return num
	}
	return 0
}

func (c checker) byPartUUID(value string) int {
	id, offset, _ := strings.Cut(value, partnroff)
	for _, e := range c.head.Table.Entries {
		if e.UUID != "" && strings.EqualFold(e.UUID, id) {
			n, _ := strconv.Atoi(offset)
			return c.known(e.Num + n)
		}
	}
	return 0
}

func (c checker) holds(num int) speech.Text {
	if p, ok := c.head.Part(num); ok && p.FS.Type != "" {
		return speech.Plain(p.FS.Type)
	}
	return speech.New("nothing that is known")
}

// noRoot are contents that no root lies on.
var noRoot = []string{"vfat", "swap", "exfat", "iso9660"}

// suits tells whether the part can be what the reference uses it for. What is
// not known is given the benefit of the doubt.
func (c checker) suits(r Ref, num int) bool {
	p, ok := c.head.Part(num)
	if !ok || p.FS.Type == "" {
		return true
	}
	switch {
	case namesRoot(r):
		return !slices.Contains(noRoot, p.FS.Type)
	case r.Use == "fstab swap":
		return p.FS.Type == "swap"
	case r.Use == "boot_partition=":
		return p.FS.Type == "vfat"
	}
	return true
}

// advice names what the reference should be, where that can be known.
func (c checker) advice(r Ref) speech.Text {
	p, ok := c.meant(r)
	if !ok {
		return speech.Text{}
	}
	right := c.name(p, r.Kind)
	if right == "" {
		return speech.Text{}
	}
	return speech.New("; part %d (%s) is %s", p.Num, strings.TrimSpace(p.FS.Type+" "+p.FS.Label), right)
}

// meant guesses the part: the only one that suits; among several the one whose
// number an MBR's PARTUUID or a device name has kept.
func (c checker) meant(r Ref) (manifest.Part, bool) {
	var candidates []manifest.Part
	for _, p := range c.head.Parts {
		isRoot := p.FS.Type != "" && !slices.Contains(noRoot, p.FS.Type)
		if namesRoot(r) && isRoot || namesBoot(r) && p.FS.Type == "vfat" || r.Use == "fstab swap" && p.FS.Type == "swap" {
			candidates = append(candidates, p)
		}
	}
	if len(candidates) == 1 {
		return candidates[0], true
	}
	num := keptNumber(r)
	for _, p := range candidates {
		if p.Num == num {
			return p, true
		}
	}
	return manifest.Part{}, false
}

func keptNumber(r Ref) int {
	switch {
	case r.Kind == Device:
		_, num := splitDevice(r.Value)
		return num
	case r.Kind == PartUUID && len(r.Value) == len("12345678-01"):
		num, _ := strconv.ParseInt(r.Value[len("12345678-"):], 16, 32)
		return int(num)
	}
	return 0
}

// name names a part in the wanted way, or another where it has none.
func (c checker) name(p manifest.Part, kind Kind) string {
	r, ok := c.named(p, kind)
	if !ok {
		return ""
	}
	return r.String()
}
