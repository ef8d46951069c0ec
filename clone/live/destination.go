package live

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"lifeboat/clone/disk"
)

// nesting bounds how deep loop devices and overlays may lie in one another.
const nesting = 8

// mayWrite refuses a destination on a file system that will be frozen: the
// backup would contain itself, and its writing would wait for the thaw.
func (h host) mayWrite(destination string, parts []part) error {
	if destination == "" || strings.Contains(destination, "://") {
		return nil
	}
	info, err := os.Stat(destination)
	if err == nil && info.Mode()&fs.ModeDevice != 0 {
		return nil // a disk: its claim tells
	}
	dir, err := folderOf(destination)
	if err != nil {
		return err
	}
	mounts, err := h.mounts()
	if err != nil {
		return err
	}
	for range nesting {
		no, err := deviceUnder(dir)
		if err != nil {
			return err
		}
		for _, p := range parts {
			if p.dev == no && len(p.mounts) > 0 {
				return refuse("write it to another disk or over the network",
					"%s lies on %s, which is being saved: the backup would contain itself", destination, p.name)
			}
		}
		if dir = h.below(no, mounts); dir == "" {
			return nil
		}
	}
	return nil
}

// folderOf is the folder that a file lies in, or will: links followed, as far as
// it exists.
func folderOf(file string) (string, error) {
	dir, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	for {
		real, err := filepath.EvalSymlinks(dir)
		if err == nil {
			return real, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return "", err
		}
		dir = filepath.Dir(dir)
	}
}

// below is where the bytes of a file system lie that is kept in a file of
// another: under a loop device, or an overlay. "" is nowhere else.
func (h host) below(no disk.Number, mounts []disk.Mount) string {
	for _, dir := range []string{"dev/block/" + no.String(), "dev/block/" + no.String() + "/.."} {
		if file := h.text(dir + "/loop/backing_file"); file != "" {
			return file
		}
	}
	for _, m := range mounts {
		if m.Number == no && m.Type == "overlay" {
			return m.Option("upperdir")
		}
	}
	return ""
}

func deviceUnder(path string) (disk.Number, error) {
	st, err := stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return disk.Number{}, nil // of another name space, or deleted
	}
	return numberOf(st.Dev), err
}
