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
	var root mount
	for _, m := range mounts { // the last one lies on top
		if m.point == "/" {
			root = m
		}
	}
	if root.fstype == "" {
		return "", refuse("", "the running system's root is not in the list of mounts")
	}
	if root.dev.major == 0 {
		return "", refuseRoot(root)
	}
	name, err := h.diskOf(root.dev)
	if err != nil {
		return "", err
	}
	return filepath.Join(sys.Dev, name), nil
}

// refuseRoot says why a root without a device of its own cannot be copied.
func refuseRoot(m mount) error {
	switch {
	case m.fstype == "overlay":
		return refuse("switch the overlay off (raspi-config), or save the card in a reader",
			"the running system's root is an overlay: what it holds is on no disk as a whole")
	case strings.HasPrefix(m.fstype, "nfs") || m.fstype == "cifs" || m.fstype == "9p":
		return refuse("save it where it lies", "the running system's root comes over the network (%s)", m.fstype)
	case m.fstype == "rootfs" || m.fstype == "tmpfs" || m.fstype == "ramfs":
		return refuse("give the disk to be saved by its node", "the running system's root lives in memory")
	}
	return refuse("save the disk while its system does not run",
		"the running system's root is %s: lifeboat knows no way to hold that still", m.fstype)
}

// diskOf is the name of the whole disk that a device number belongs to.
func (h host) diskOf(no devno) (string, error) {
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
