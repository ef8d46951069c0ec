package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/mount"
	"golang.org/x/sys/unix"

	"lifeboat/clone/disk"
	"lifeboat/initramfs"
	"lifeboat/netboot"
)

const (
	stickJob  = "lifeboat/job.toml"   // on the medium's FAT part
	stickInfo = "lifeboat/build.json" // whose medium it is
	mediaRoot = "/run/media"
)

// media are the file systems that the rescue system has mounted to read images
// from, or to save to.
type media struct {
	points []*mount.MountPoint
}

// open mounts a part, unless it is mounted already, and returns the folder.
func (m *media) open(p disk.Partition, fsType string, readOnly bool) (string, error) {
	dir := filepath.Join(mediaRoot, p.Name)
	for _, at := range m.points {
		if at.Path == dir {
			return dir, nil
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	flags, data := uintptr(unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC), ""
	if readOnly {
		flags |= unix.MS_RDONLY
		if fsType == "ext4" {
			data = "noload" // else the kernel replays the journal: it writes to a disk that may be dying
		}
	}
	at, err := mount.Mount("/dev/"+p.Name, dir, fsType, data, flags)
	if err != nil {
		return "", fmt.Errorf("mount %s: %w", p.Name, err)
	}
	m.points = append(m.points, at)
	return dir, nil
}

// close unmounts all.
func (m *media) close() error {
	var errs []error
	for _, at := range slices.Backward(m.points) {
		errs = append(errs, at.Unmount(0))
	}
	m.points = nil
	return errors.Join(errs...)
}

// jobOnStick looks for a job on the medium that the system was started from. It
// is consent by presence.
func (r *rescuer) jobOnStick() (*netboot.Found, error) {
	disks, err := r.disks()
	if err != nil {
		return nil, err
	}
	for _, d := range disks {
		var part disk.Partition
		var job []byte
		err := eachFAT(r.env.sys, d.Path, func(p disk.Partition, files fs.FS) error {
			if data, err := fs.ReadFile(files, stickJob); err == nil && r.isOurs(files) {
				part, job = p, data
			}
			return nil
		})
		if err != nil {
			r.sayf("%s: %v", d.Path, err)
		}
		if job != nil {
			return r.stickJob(part, job)
		}
	}
	return nil, nil
}

// isOurs tells whether these are the files of the medium that this system was
// made with.
func (r *rescuer) isOurs(files fs.FS) bool {
	b, err := fs.ReadFile(files, stickInfo)
	if err != nil {
		return false
	}
	var info initramfs.Info
	return json.Unmarshal(b, &info) == nil && info.ID == r.info.ID
}

// stickJob reads the job, and mounts the stick for the image beside it.
func (r *rescuer) stickJob(p disk.Partition, data []byte) (*netboot.Found, error) {
	job, err := netboot.ParseJob(data)
	if err != nil {
		return nil, fmt.Errorf("%s on %s: %w", stickJob, p.Name, err)
	}
	dir, err := r.media.open(p, "vfat", true)
	if err != nil {
		return nil, err
	}
	r.say("job %s on the stick (%s)", job.ID, p.Name)
	return &netboot.Found{Job: job, URL: filepath.Join(dir, stickJob), Obey: true}, nil
}

// imageEndings are those of files that a restore takes.
var imageEndings = []string{".img", ".img.gz", ".img.zst", ".img.xz", ".img.bz2", ".zip"}

// images lists the images on all parts of all disks that nobody uses, and
// mounts these parts for reading.
func (r *rescuer) images() ([]string, error) {
	disks, err := r.disks()
	if err != nil {
		return nil, err
	}
	var found []string
	for _, d := range disks {
		for _, p := range d.Parts {
			found = append(found, r.imagesOn(p)...)
		}
	}
	return found, nil
}

// imagesOn mounts a part, and unmounts it where it has no image.
func (r *rescuer) imagesOn(p disk.Partition) []string {
	before := len(r.media.points)
	dir, err := r.mountAny(p, true)
	if err != nil {
		return nil
	}
	var found []string
	for _, folder := range []string{dir, filepath.Join(dir, "lifeboat")} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if hasEnding(e.Name(), imageEndings) {
				found = append(found, filepath.Join(folder, e.Name()))
			}
		}
	}
	if len(found) == 0 && len(r.media.points) > before {
		last := len(r.media.points) - 1
		if err := r.media.points[last].Unmount(0); err == nil {
			r.media.points = r.media.points[:last]
		}
	}
	return found
}

// mountAny mounts a part of whatever type it is.
func (r *rescuer) mountAny(p disk.Partition, readOnly bool) (string, error) {
	var err error
	for _, fsType := range []string{"vfat", "ext4", "exfat", "ntfs3", "btrfs", "f2fs"} {
		var dir string
		if dir, err = r.media.open(p, fsType, readOnly); err == nil {
			return dir, nil
		}
	}
	return "", err
}

func hasEnding(name string, endings []string) bool {
	return slices.ContainsFunc(endings, func(end string) bool { return strings.HasSuffix(strings.ToLower(name), end) })
}
