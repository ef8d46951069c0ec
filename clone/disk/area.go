package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// An Area is a boot area of an eMMC: a small device of its own beside the disk,
// from which the boot ROMs of some boards start. The kernel lets nobody write to
// it unless it is told to (force_ro in sysfs: Linux v6.12,
// drivers/mmc/core/block.c).
type Area struct {
	Name   string // "boot0"
	Path   string // its node: "/dev/mmcblk0boot0"
	Number Number
	Size   int64 // bytes
}

// maxArea is the largest area that there can be: BOOT_SIZE_MULT of the EXT_CSD
// counts 128 KiB in one byte (JEDEC JESD84-B51, 7.4).
const maxArea = 255 * 128 << 10

// areasOf lists the boot areas of the disk called name.
func (s *Sys) areasOf(name string) ([]Area, error) {
	if !strings.HasPrefix(name, "mmcblk") {
		return nil, nil
	}
	var areas []Area
	for _, area := range []string{"boot0", "boot1"} {
		dir := path.Join("block", name+area)
		if !s.exists(dir) {
			continue
		}
		no, err := s.number(dir)
		if err != nil {
			return nil, err
		}
		areas = append(areas, Area{Name: area, Path: s.node(name + area), Number: no, Size: s.int(dir+"/size") * sysSector})
	}
	return areas, nil
}

// diskOfArea is the disk that the boot area called name belongs to; "" where it
// is none.
func diskOfArea(name string) string {
	for _, area := range []string{"boot0", "boot1", "rpmb"} {
		if disk, ok := strings.CutSuffix(name, area); ok && strings.HasPrefix(disk, "mmcblk") {
			return disk
		}
	}
	return ""
}

// ReadArea reads all of a boot area, at most 32 MiB.
func (s *Sys) ReadArea(a Area) ([]byte, error) {
	h, err := openArea(a, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	data := make([]byte, a.Size)
	_, err = h.ReadAt(data, 0)
	return data, errors.Join(err, h.Close())
}

// openArea opens the node of an area, and makes sure that it is what it was.
func openArea(a Area, flags int) (*handle, error) {
	if a.Size <= 0 || a.Size > maxArea {
		return nil, fmt.Errorf("%s: a boot area of %d bytes makes no sense", a.Path, a.Size)
	}
	h, err := openHandle(a.Path, flags)
	if err != nil {
		return nil, err
	}
	info, err := h.any().Stat()
	if err == nil && h.disk {
		st := statOf(info)
		if open := (Number{unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))}); open != a.Number {
			err = &ChangedError{a.Path, "device number", a.Number.String(), open.String()}
		}
	}
	if err == nil && h.size != a.Size {
		err = &ChangedError{a.Path, "size", fmt.Sprint(a.Size), fmt.Sprint(h.size)}
	}
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// holdAreas claims the boot areas along with their disk: nobody else can mount
// them, or have them for himself, until Close.
func (t *Target) holdAreas() error {
	for _, a := range t.facts.Disk.Areas {
		h, err := openArea(a, os.O_RDONLY|os.O_EXCL)
		if errors.Is(err, unix.EBUSY) {
			return &InUseError{t.facts.Disk.Path, []Use{{a.Path, heldUnseen}}}
		}
		if err != nil {
			return err
		}
		t.areas = append(t.areas, h)
	}
	return nil
}

// WriteArea writes data to the front of the boot area called name, and reads it
// back past the cache. What the area holds already is not written. The kernel's
// lock is taken away for that time alone, and put back whatever happens.
func (t *Target) WriteArea(ctx context.Context, name string, data []byte) (err error) {
	var a Area
	for _, have := range t.facts.Disk.Areas {
		if have.Name == name {
			a = have
		}
	}
	if int64(len(data)) > a.Size {
		return fmt.Errorf("%s has %d bytes for the boot area %s, %d are to be written", t.path, a.Size, name, len(data))
	}
	have, err := t.sys.ReadArea(a)
	if err != nil || bytes.Equal(have[:len(data)], data) {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	lock, err := t.sys.unlockArea(a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock()) }()
	return writeArea(a, data)
}

// unlockArea lets an area be written, and returns what puts its lock back.
func (s *Sys) unlockArea(a Area) (lock func() error, err error) {
	file := path.Join("block", filepath.Base(a.Path), "force_ro")
	if s.text(file) == "0" {
		return func() error { return nil }, nil
	}
	set := func(value string) error {
		if err := os.WriteFile(filepath.Join(s.Dir, file), []byte(value), 0); err != nil {
			return fmt.Errorf("set force_ro of %s to %s: %w", a.Path, value, cause(err))
		}
		return nil
	}
	if err := set("0"); err != nil {
		return nil, err
	}
	return func() error { return set("1") }, nil
}

// writeArea writes, syncs, and compares.
func writeArea(a Area, data []byte) error {
	h, err := openArea(a, os.O_RDWR)
	if err == nil {
		err = errors.Join(h.writeBack(data), h.Close())
	}
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%s is write-protected, until the next power-on or for ever: %w", a.Path, err)
	}
	return err
}

// writeBack writes data to the front, and reads it back.
func (h *handle) writeBack(data []byte) error {
	if _, err := h.WriteAt(data, 0); err != nil {
		return err
	}
	if err := h.cached.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", h.path, cause(err))
	}
	if err := forget(h.cached); err != nil {
		return fmt.Errorf("drop the cache of %s: %w", h.path, err)
	}
	again := make([]byte, len(data))
	if _, err := h.ReadAt(again, 0); err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return fmt.Errorf("%s reads back differently than it was written", h.path)
	}
	return nil
}
