package live

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
)

// A state says what a part does while the disk is copied.
type state int

const (
	idle     state = iota // nobody writes to it, or may not
	freezing              // a file system that can be frozen
	loose                 // mounted for writing, and cannot be frozen: vfat
	swapped               // swapped to: what it holds is of no instant
)

// A part is one of the disk's parts (the whole disk is part 0), and who uses it.
type part struct {
	num    int
	name   string // the kernel's: "mmcblk0p2"
	dev    disk.Number
	extent extent.Extent
	state  state
	rw     bool // mounted, and may be written
	mounts []disk.Mount
}

// partsOf finds out what each part of a disk does. A *RefusedError names one
// that cannot be held.
func (h host) partsOf(d disk.Disk, inUse bool) ([]part, error) {
	whole := part{name: d.Name, extent: extent.Extent{Off: 0, Len: d.Size}}
	parts := []part{whole}
	for _, p := range d.Parts {
		parts = append(parts, part{num: p.Num, name: p.Name, extent: p.Extent})
	}
	mounts, err := h.mounts()
	if err != nil {
		return nil, err
	}
	for i := range parts {
		p := &parts[i]
		if p.dev, err = h.number(p.name); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		for _, m := range mounts {
			if m.Number == p.dev || m.Number.Major == 0 && h.sameNode(m.Source, p.dev) {
				p.mounts = append(p.mounts, m)
			}
		}
		if err := h.judge(p, inUse); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// sameNode tells whether a mount's source is that device: btrfs shows a number
// of its own.
func (h host) sameNode(source string, no disk.Number) bool {
	if !strings.HasPrefix(source, "/dev/") {
		return false
	}
	var st unix.Stat_t
	return unix.Stat(filepath.Join(h.sys.Dev, strings.TrimPrefix(source, "/dev/")), &st) == nil &&
		st.Mode&unix.S_IFMT == unix.S_IFBLK && numberOf(st.Rdev) == no
}

// judge finds the state of a part, or refuses.
func (h host) judge(p *part, inUse bool) error {
	holders, err := fs.ReadDir(h.sys.Sys, path.Join("class/block", p.name, "holders"))
	if err == nil && len(holders) > 0 {
		return refuse("save the disk while its system does not run",
			"%s carries %s (LVM, encryption, RAID): lifeboat knows no way to hold that still", p.name, holders[0].Name())
	}
	for _, m := range p.mounts {
		p.rw = p.rw || !m.ReadOnly
	}
	switch {
	case len(p.mounts) == 0 && h.swapsTo(p):
		p.state = swapped
	case len(p.mounts) == 0:
		return h.nobody(p, inUse)
	case isExt(p.mounts[0].Type):
		p.state = freezing
	case !p.rw:
	case p.mounts[0].Type == "vfat" || p.mounts[0].Type == "msdos":
		p.state = loose
	default:
		return refuse("unmount it, or save the disk while its system does not run",
			"%s is %s, mounted on %s: lifeboat knows no exact way to copy that while it is in use", p.name, p.mounts[0].Type, p.mounts[0].Point)
	}
	return nil
}

func isExt(fstype string) bool { return slices.Contains([]string{"ext2", "ext3", "ext4"}, fstype) }

func (h host) swapsTo(p *part) bool {
	return slices.ContainsFunc(h.swaps(), func(name string) bool { return h.sameNode(name, p.dev) })
}

// nobody makes sure that a part without mounts is free: the mounts of other
// name spaces are not listed, but the kernel lets nobody else claim their
// devices.
func (h host) nobody(p *part, inUse bool) error {
	if !inUse || p.num == 0 {
		return nil // we hold the disk ourselves; or its parts speak for it
	}
	f, err := os.OpenFile(filepath.Join(h.sys.Dev, p.name), os.O_RDONLY|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return refuse("look into containers and services with mounts of their own",
			"%s is held by something that cannot be seen from here", p.name)
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// sameUse tells what changed about the use of parts, "" if nothing did.
func sameUse(was, is []part) string {
	for i := range was {
		if i >= len(is) || was[i].name != is[i].name || was[i].extent != is[i].extent {
			return "its parts were changed"
		}
		if was[i].state != is[i].state || was[i].rw != is[i].rw {
			return fmt.Sprintf("%s was mounted, unmounted or remounted", was[i].name)
		}
	}
	return ""
}

// anyWritable tells whether a file system of the disk may be written.
func anyWritable(parts []part) bool {
	return slices.ContainsFunc(parts, func(p part) bool { return p.rw || p.state == swapped })
}

// in is the set of bytes of all parts in one state.
func in(parts []part, want state) extent.Set {
	var set extent.Set
	for _, p := range parts {
		if p.state == want && (p.num > 0 || len(p.mounts) > 0) {
			set = set.Union(extent.Of(p.extent))
		}
	}
	return set
}
