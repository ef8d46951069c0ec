package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A Use is one reason why a disk must be left alone. Its String is a sentence.
type Use struct {
	Part string // the node of the part, or of the disk itself; an image file
	How  string // "is mounted on /boot"
}

func (u Use) String() string { return u.Part + " " + u.How }

// A layer is a device that a disk's bytes are part of: the disk itself, a part,
// or what was built on it.
type layer struct {
	dir  string // in sysfs
	part string // node of the part (or disk) of ours that it stands on
	via  string // "" for that part itself, else "carries dm-0, which "
}

// Users tells everything that uses the disk or a part of it: mounts, swap,
// mappings, RAIDs and loop devices, and again what uses those. Nobody is left
// out because of another name space but who mounted it there: the kernel tells
// that only to Claim.
func (s *Sys) Users(d Disk) ([]Use, error) {
	var uses []Use
	if d.Hidden {
		uses = append(uses, Use{d.Path, "is hidden by the kernel behind another disk"})
	}
	layers, held, err := s.layers(d)
	if err != nil {
		return nil, err
	}
	uses = append(uses, held...)
	mounted, err := s.mountedOn(layers)
	if err != nil {
		return nil, err
	}
	swapped, err := s.swappedOn(layers)
	if err != nil {
		return nil, err
	}
	uses = slices.Concat(uses, mounted, s.btrfsOn(layers), swapped)
	return unique(uses), nil
}

// layers walks from the disk up through holders/ and loop devices. Each step is
// a use.
func (s *Sys) layers(d Disk) (map[Number]layer, []Use, error) {
	loops, err := s.loops()
	if err != nil {
		return nil, nil, err
	}
	queue := []layer{{dir: path.Join("block", d.Name), part: d.Path}}
	for _, p := range d.Parts {
		queue = append(queue, layer{dir: path.Join("block", d.Name, p.Name), part: s.node(p.Name)})
	}
	for _, a := range d.Areas {
		queue = append(queue, layer{dir: path.Join("block", path.Base(a.Path)), part: a.Path})
	}
	found := map[Number]layer{}
	var uses []Use
	for len(queue) > 0 {
		l := queue[0]
		queue = queue[1:]
		no, err := s.number(l.dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, nil, err
		}
		if _, seen := found[no]; seen {
			continue
		}
		found[no] = l
		for _, name := range append(s.holders(l.dir), loops[no]...) {
			uses = append(uses, Use{l.part, l.via + "carries " + s.called(name)})
			queue = append(queue, s.above(l, name)...)
		}
	}
	return found, uses, nil
}

// above are the device called name, which stands on l, and its parts.
func (s *Sys) above(l layer, name string) []layer {
	up := layer{dir: path.Join("block", name), part: l.part, via: fmt.Sprintf("carries %s, which ", s.called(name))}
	all := []layer{up}
	parts, err := s.parts(name)
	if err != nil {
		return all
	}
	for _, p := range parts {
		all = append(all, layer{dir: path.Join(up.dir, p.Name), part: l.part, via: up.via})
	}
	return all
}

// holders are the names of the devices that the kernel built on this one.
func (s *Sys) holders(dir string) []string {
	entries, err := fs.ReadDir(s.Sys, dir+"/holders")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// called is a device's name for people: "dm-0 (vg-root)".
func (s *Sys) called(name string) string {
	if label := s.text(path.Join("block", name, "dm/name")); label != "" {
		return fmt.Sprintf("%s (%s)", name, printable(label))
	}
	return name
}

// loops tells which loop devices lie on which devices. The kernel lists no loop
// device under holders/.
func (s *Sys) loops() (map[Number][]string, error) {
	entries, err := fs.ReadDir(s.Sys, "block")
	if err != nil {
		return nil, fmt.Errorf("list the disks: %w", err)
	}
	loops := map[Number][]string{}
	for _, e := range entries {
		file := s.text(path.Join("block", e.Name(), "loop/backing_file"))
		if no, ok := s.lookup(file); ok {
			loops[no] = append(loops[no], e.Name())
		}
	}
	return loops, nil
}

func (s *Sys) mountedOn(layers map[Number]layer) ([]Use, error) {
	mounts, err := s.mounts()
	if err != nil {
		return nil, err
	}
	var uses []Use
	for _, m := range mounts {
		l, ok := layers[m.Number]
		switch {
		case !ok:
		case m.Point == "/":
			uses = append(uses, Use{l.part, l.via + "is the running system's root"})
		default:
			uses = append(uses, Use{l.part, l.via + "is mounted on " + printable(m.Point)})
		}
	}
	return uses, nil
}

// btrfsOn finds the members of mounted btrfs file systems, of which mountinfo
// names one.
func (s *Sys) btrfsOn(layers map[Number]layer) []Use {
	members, err := fs.Glob(s.Sys, "fs/btrfs/*/devices/*")
	if err != nil {
		return nil
	}
	var uses []Use
	for _, m := range members {
		no, err := s.number(path.Join("class/block", path.Base(m)))
		if err != nil {
			continue
		}
		if l, ok := layers[no]; ok {
			uses = append(uses, Use{l.part, l.via + "belongs to a mounted btrfs"})
		}
	}
	return uses
}

func (s *Sys) swappedOn(layers map[Number]layer) ([]Use, error) {
	names, err := s.swaps()
	if err != nil {
		return nil, err
	}
	var uses []Use
	for _, name := range names {
		if no, ok := s.lookup(name); ok {
			if l, ok := layers[no]; ok {
				uses = append(uses, Use{l.part, l.via + "is swap space in use"})
			}
		}
	}
	return uses, nil
}

func unique(uses []Use) []Use {
	var out []Use
	for _, u := range uses {
		if !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	return out
}

// sentence joins uses for an error message, and keeps it readable where there
// are many.
func sentence(uses []Use) string {
	const most = 4
	var all []string
	for i, u := range uses {
		if i == most {
			all = append(all, fmt.Sprintf("and %d more", len(uses)-most))
			break
		}
		all = append(all, u.String())
	}
	return strings.Join(all, "; ")
}
