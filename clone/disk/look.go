package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Facts are what a look at a disk, or at an image file in a disk's place, told.
// A plan is made from them, a person agrees to them, and Claim holds the disk
// against them.
type Facts struct {
	Disk  Disk
	Holds string // ID of its table ("cafe0001", or a lower-case GUID), Blank or Untold; "" without a medium
	Users []Use  // why it must be left alone; none: it is free
	File  bool   // an image file: Disk has Path, Size and Sector only
	Word  string // the consent word; "" for a file, which needs none

	ino fileID // of an image file
}

// A fileID tells files apart.
type fileID struct{ dev, ino uint64 }

// Look finds out what is at path: the node of a disk, a link to one
// (/dev/disk/by-id/…), or an image file. A part, or something else that is no
// disk, is a *NotADiskError.
func (s *Sys) Look(path string) (Facts, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Facts{}, fmt.Errorf("look at %s: %w", path, cause(err))
	}
	info, err := os.Stat(real)
	if err != nil {
		return Facts{}, fmt.Errorf("look at %s: %w", path, cause(err))
	}
	if info.Mode().IsRegular() {
		return s.lookFile(real, info)
	}
	no, ok := deviceNumber(real)
	switch {
	case ok:
		return s.lookDisk(path, no)
	case info.IsDir():
		return Facts{}, &NotADiskError{Path: path, Why: "is a folder, not a disk"}
	}
	return Facts{}, &NotADiskError{Path: path, Why: "is neither a disk nor an image file"}
}

func (s *Sys) lookDisk(path string, no Number) (Facts, error) {
	name, err := s.wholeDisk(path, no)
	if err != nil {
		return Facts{}, err
	}
	d, err := s.disk(name)
	if err != nil {
		return Facts{}, fmt.Errorf("look at %s: %w", path, err)
	}
	f := Facts{Disk: d}
	if f.Users, err = s.Users(d); err != nil {
		return Facts{}, fmt.Errorf("who uses %s: %w", path, err)
	}
	if d.Size == 0 {
		return f, nil
	}
	h, err := openHandle(d.Path, os.O_RDONLY)
	if errors.Is(err, unix.ENOMEDIUM) {
		f.Disk.Size = 0
		return f, nil
	}
	if err != nil {
		return Facts{}, err
	}
	defer h.Close()
	if err := h.onlyDirect(); err != nil {
		return Facts{}, err
	}
	if f.Holds, err = holds(h, d.Size, d.Sector); err != nil {
		return Facts{}, err
	}
	f.Word = word(d, f.Holds)
	return f, nil
}

// wholeDisk is the name of the disk with that device number.
func (s *Sys) wholeDisk(node string, no Number) (string, error) {
	dir := "dev/block/" + no.String()
	link, err := fs.ReadLink(s.Sys, dir)
	if err != nil {
		return "", &NotADiskError{Path: node, Why: "is the node of a device that is not there: was it unplugged?"}
	}
	name := path.Base(link)
	if s.exists(dir + "/partition") {
		parent := s.node(path.Base(path.Dir(link)))
		return "", &NotADiskError{Path: node, Disk: parent, Why: "is a part of " + parent + ": give the disk"}
	}
	if whole := diskOfArea(name); whole != "" {
		parent := s.node(whole)
		return "", &NotADiskError{Path: node, Disk: parent, Why: "is a boot area of " + parent + ", and saved and restored with it: give the disk"}
	}
	if strings.HasPrefix(name, "dm-") || strings.HasPrefix(name, "md") {
		return "", &NotADiskError{Path: node, Why: "is made of other disks: give one of those"}
	}
	return name, nil
}

func (s *Sys) lookFile(path string, info fs.FileInfo) (Facts, error) {
	f := Facts{File: true, ino: idOf(info)}
	f.Disk = Disk{Name: filepath.Base(path), Path: path, Size: info.Size(), Sector: sysSector, Bus: "file"}
	var err error
	if f.Users, err = s.fileUsers(path, f.ino); err != nil {
		return Facts{}, fmt.Errorf("who uses %s: %w", path, err)
	}
	h, err := openHandle(path, os.O_RDONLY)
	if err != nil {
		return Facts{}, err
	}
	defer h.Close()
	if f.Holds, err = holds(h, h.size, sysSector); err != nil {
		return Facts{}, err
	}
	return f, nil
}

// fileUsers tells which loop devices lie on a file, and whether it is swap.
func (s *Sys) fileUsers(file string, id fileID) ([]Use, error) {
	entries, err := fs.ReadDir(s.Sys, "block")
	if err != nil {
		return nil, fmt.Errorf("list the disks: %w", err)
	}
	var uses []Use
	for _, e := range entries {
		backing := s.text(path.Join("block", e.Name(), "loop/backing_file"))
		if backing != "" && (sameFile(backing, id) || s.loopOn(e.Name(), id)) {
			uses = append(uses, Use{file, "lies under the loop device " + s.node(e.Name())})
		}
	}
	swaps, err := s.swaps()
	if err != nil {
		return nil, err
	}
	for _, name := range swaps {
		if sameFile(name, id) {
			uses = append(uses, Use{file, "is swap space in use"})
		}
	}
	return uses, nil
}

// loopOn asks the loop device itself: the name in sysfs may be of another name
// space, or gone. Who may not ask has the name only.
func (s *Sys) loopOn(name string, id fileID) bool {
	f, err := os.Open(s.node(name))
	if err != nil {
		return false
	}
	defer f.Close()
	st, err := loopStatus(f)
	return err == nil && st.Device == id.dev && st.Inode == id.ino
}

func sameFile(name string, id fileID) bool {
	info, err := os.Stat(name)
	return err == nil && idOf(info) == id
}

func idOf(info fs.FileInfo) fileID {
	st := statOf(info)
	return fileID{uint64(st.Dev), st.Ino}
}
