package live

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"lifeboat/clone/disk"
)

// RootDisk is the node of the disk that the running system's root lies on:
// "/dev/mmcblk0". A *RefusedError says why none can be named.
func RootDisk(sys *disk.Sys) (string, error) {
	h := host{sys: sys}
	mounts, err := h.mounts()
	if err != nil {
		return "", err
	}
	var root disk.Mount
	for _, m := range mounts { // the last one lies on top
		if m.Point == "/" {
			root = m
		}
	}
	if root.Type == "" {
		return "", refuse("", "the running system's root is not in the list of mounts")
	}
	if root.Number.Major == 0 {
		return "", refuseRoot(root)
	}
	name, err := h.diskOf(root.Number)
	if err != nil {
		return "", err
	}
	return filepath.Join(sys.Dev, name), nil
}

// refuseRoot says why a root without a device of its own cannot be copied.
func refuseRoot(m disk.Mount) error {
	switch {
	case m.Type == "overlay":
		return refuse("switch the overlay off (raspi-config), or save the card in a reader",
			"the running system's root is an overlay: what it holds is on no disk as a whole")
	case strings.HasPrefix(m.Type, "nfs") || m.Type == "cifs" || m.Type == "9p":
		return refuse("save it where it lies", "the running system's root comes over the network (%s)", m.Type)
	case m.Type == "rootfs" || m.Type == "tmpfs" || m.Type == "ramfs":
		return refuse("give the disk to be saved by its node", "the running system's root lives in memory")
	}
	return refuse("save the disk while its system does not run",
		"the running system's root is %s: lifeboat knows no way to hold that still", m.Type)
}

// diskOf is the name of the whole disk that a device number belongs to.
func (h host) diskOf(no disk.Number) (string, error) {
	dir := "dev/block/" + no.String()
	link, err := fs.ReadLink(h.sys.Sys, dir)
	if err != nil {
		return "", fmt.Errorf("device %s: %w", no, err)
	}
	name := path.Base(link)
	if h.exists(dir + "/partition") {
		name = path.Base(path.Dir(link))
	}
	if strings.HasPrefix(name, "dm-") || strings.HasPrefix(name, "md") {
		return "", refuse("save the disk while its system does not run",
			"%s is made of other devices (LVM, encryption, RAID): lifeboat knows no way to hold those still", name)
	}
	return name, nil
}

// bootPoints are where the part is mounted that a Raspberry Pi boots from: since
// bookworm, and before.
var bootPoints = [...]string{"/boot/firmware", "/boot"}

// BootDisk is the node of the disk that the boot part lies on, and where that is
// mounted, if it is another disk than root; "" where it is not.
func BootDisk(sys *disk.Sys, root string) (path, point string, err error) {
	h := host{sys: sys}
	mounts, err := h.mounts()
	if err != nil {
		return "", "", err
	}
	for _, point := range bootPoints {
		for _, m := range mounts {
			if m.Point != point || m.Number.Major == 0 {
				continue
			}
			name, err := h.diskOf(m.Number)
			if err != nil {
				return "", "", err
			}
			if path := filepath.Join(sys.Dev, name); path != root {
				return path, point, nil
			}
		}
	}
	return "", "", nil
}
