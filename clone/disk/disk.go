// Package disk answers: which disks are there, who uses them, and may I
// overwrite this one? It is the only package that opens a disk for writing, and
// Claim is the only door to it.
//
// It sees a disk as bytes: of its table it reads no more than the ID, file
// systems it leaves to others. What a target is filled with, and in which
// order, is the engine's affair.
//
// All sizes and offsets are bytes.
package disk

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"lifeboat/clone/extent"
)

// A Sys is what the kernel says of its devices. Tests hand in another one.
type Sys struct {
	Proc, Sys fs.FS  // what lies under /proc and /sys
	Dev       string // the folder with the device nodes
	Dir       string // the folder that Sys shows, for the one setting that is changed there; "" = none can be
}

// Host is the running system.
func Host() *Sys {
	return &Sys{Proc: os.DirFS("/proc"), Sys: os.DirFS("/sys"), Dev: "/dev", Dir: "/sys"}
}

// A Disk is a whole disk as the kernel describes it.
type Disk struct {
	Name         string // the kernel's name: "mmcblk0"
	Path         string // its node: "/dev/mmcblk0"; of an image file, the file
	Major, Minor uint32
	Seq          uint64 // counts what was ever plugged in; 0 where the kernel is too old to (before 5.15)
	Size         int64  // 0 = no medium in it
	Sector       int64  // logical sector size
	Model        string
	Serial       string // of a card in a USB reader: the reader's
	Bus          string // how it is connected: sd, emmc, usb, nvme, ata, scsi, virtio, loop, ubd, …; "file"
	Slot         string // the same in the words of a job: sd, emmc, usb, nvme, sata, virtio; "" = none of these
	Removable    bool
	ReadOnly     bool // the lock switch of a card, or the kernel's own setting
	Hidden       bool // has no node: the kernel shows it as a part of another
	Parts        []Partition
	Areas        []Area // boot areas of an eMMC
}

// A Partition is a part of a disk as the kernel sees it, which needs not be what
// the table says.
type Partition struct {
	Num    int
	Name   string // the kernel's name: "mmcblk0p2"
	Extent extent.Extent
}

// sysSector is the unit of all sizes in sysfs, whatever the disk's sectors are
// (Linux, include/linux/blk_types.h: SECTOR_SHIFT).
const sysSector = 512

// Disks lists the disks that a person could mean, in the order of their device
// numbers. Empty card readers are among them (Size is 0); memory disks, optical
// disks, loop devices without a file, the boot areas of an eMMC, mappings and
// hidden twins are not.
func (s *Sys) Disks() ([]Disk, error) {
	entries, err := fs.ReadDir(s.Sys, "block")
	if err != nil {
		return nil, fmt.Errorf("list the disks: %w", err)
	}
	var disks []Disk
	for _, e := range entries {
		if notADisk(e.Name()) {
			continue
		}
		d, err := s.disk(e.Name())
		switch {
		case errors.Is(err, fs.ErrNotExist): // unplugged meanwhile
		case err != nil:
			return nil, err
		case d.Hidden, d.Size == 0 && !slices.Contains([]string{"sd", "emmc", "usb", "ata", "scsi"}, d.Bus):
		default:
			disks = append(disks, d)
		}
	}
	slices.SortFunc(disks, func(a, b Disk) int {
		return cmp.Or(cmp.Compare(a.Major, b.Major), cmp.Compare(a.Minor, b.Minor))
	})
	return disks, nil
}

// notADisk tells by its name what nobody would copy or overwrite as a disk.
func notADisk(name string) bool {
	for _, prefix := range []string{"ram", "zram", "sr", "fd", "mtdblock", "dm-", "md"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && rest != "" && rest[0] <= '9' {
			return true
		}
	}
	return diskOfArea(name) != ""
}

// disk reads what sysfs knows of block/NAME.
func (s *Sys) disk(name string) (Disk, error) {
	dir := path.Join("block", name)
	no, err := s.number(dir)
	if err != nil {
		return Disk{}, err
	}
	d := Disk{
		Name: name, Path: s.node(name),
		Major: no.Major, Minor: no.Minor,
		Seq:       uint64(s.int(dir + "/diskseq")),
		Size:      s.int(dir+"/size") * sysSector,
		Sector:    max(s.int(dir+"/queue/logical_block_size"), sysSector),
		Removable: s.int(dir+"/removable") == 1,
		ReadOnly:  s.int(dir+"/ro") == 1,
		Hidden:    s.int(dir+"/hidden") == 1,
	}
	s.describe(&d, dir)
	if d.Areas, err = s.areasOf(name); err != nil {
		return Disk{}, err
	}
	d.Parts, err = s.parts(name)
	return d, err
}

func (s *Sys) parts(name string) ([]Partition, error) {
	dir := path.Join("block", name)
	entries, err := fs.ReadDir(s.Sys, dir)
	if err != nil {
		return nil, fmt.Errorf("list the parts of %s: %w", s.node(name), err)
	}
	var parts []Partition
	for _, e := range entries {
		sub := path.Join(dir, e.Name())
		if !strings.HasPrefix(e.Name(), name) || !s.exists(sub+"/partition") {
			continue
		}
		parts = append(parts, Partition{
			Num:    int(s.int(sub + "/partition")),
			Name:   e.Name(),
			Extent: extent.Extent{Off: s.int(sub+"/start") * sysSector, Len: s.int(sub+"/size") * sysSector},
		})
	}
	slices.SortFunc(parts, func(a, b Partition) int { return cmp.Compare(a.Num, b.Num) })
	return parts, nil
}

// node is the path of a device's node. sysfs writes '!' for a '/' in its name.
func (s *Sys) node(name string) string {
	return filepath.Join(s.Dev, strings.ReplaceAll(name, "!", "/"))
}

func (s *Sys) number(dir string) (Number, error) {
	b, err := fs.ReadFile(s.Sys, dir+"/dev")
	if err != nil {
		return Number{}, fmt.Errorf("device number of %s: %w", path.Base(dir), err)
	}
	return ParseNumber(strings.TrimSpace(string(b)))
}

// text is the content of a file in sysfs without the space around it, "" where
// there is none.
func (s *Sys) text(name string) string {
	b, err := fs.ReadFile(s.Sys, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// int is the number in a file in sysfs, 0 where there is none.
func (s *Sys) int(name string) int64 {
	n, err := strconv.ParseInt(s.text(name), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (s *Sys) exists(name string) bool {
	_, err := fs.Stat(s.Sys, name)
	return err == nil
}
