package nightly

import (
	"errors"
	"fmt"

	"lifeboat/internal/progress"
)

// An Estimate is what is known of a backup before it is made, in bytes.
type Estimate struct {
	Used int64 // by the disk's parts
	Size int64 // of the disk
	Last int64 // of the last snapshot of this type, or what snapshots have added lately; 0 is unknown
}

// A limited file system is one that cannot hold everything.
type limited struct {
	name    string
	maxFile int64 // bytes; 0 is none that matters
	sparse  bool  // holes take no room
}

// fatMost is the largest file of FAT (Linux, fs/fat/inode.c: s_maxbytes).
const fatMost = 1<<32 - 1

// limitsOf says what a file system cannot do, by its type in mountinfo.
func limitsOf(fstype string) limited {
	switch fstype {
	case "vfat", "msdos":
		return limited{"FAT", fatMost, false}
	case "exfat":
		return limited{"exFAT", 0, false}
	case "hfs", "hfsplus":
		return limited{"HFS", 0, false}
	case "fuse", "fuse.davfs", "davfs":
		return limited{"WebDAV", 0, false}
	}
	return limited{fstype, 0, true}
}

// packedMargin is added to the last snapshot's size for the next one: a quarter.
const packedMargin = 4

// A snapshot is taken to add at most twice what one of the last has added, and
// a twentieth of what is in use in any case: a quiet week says little of an upgrade.
const (
	snapshotMargin = 2
	snapshotLeast  = 20
)

// need is the room that a run needs at its peak. A packed image of a disk in use
// is spooled unpacked beside its place.
func (e Estimate) need(l limited, kind string) int64 {
	if kind == SnapshotType {
		if e.Last > 0 {
			return min(e.Used, max(snapshotMargin*e.Last, e.Used/snapshotLeast))
		}
		return e.Used
	}
	whole := e.Size
	if l.sparse {
		whole = e.Used
	}
	if kind == "img" {
		return whole
	}
	packed := e.Used
	if e.Last > 0 {
		packed = min(e.Used, e.Last+e.Last/packedMargin)
	}
	return whole + packed
}

// fits tells beforehand what a destination cannot hold, and what would fit.
func (e Estimate) fits(fstype, kind string, free, keep int64) error {
	l := limitsOf(fstype)
	var errs []error
	if l.maxFile > 0 && kind != SnapshotType && e.Size > l.maxFile {
		errs = append(errs, fmt.Errorf("the destination is %s, where a file has at most %s, and the image of the disk has %s while it is made: "+
			"make it ext4 or exFAT, or take a network folder", l.name, progress.Bytes(l.maxFile), progress.Bytes(e.Size)))
	}
	need := e.need(l, kind)
	if room := free - keep; need > room {
		hint := ""
		if kind == SnapshotType {
			hint = ": fewer snapshots (keep…) need less, once what they leave is pruned"
		} else if kind != "img" && e.need(l, "img") <= room {
			hint = ": type = \"img\" would fit, which is not packed and needs no spool"
		} else if !l.sparse && (Estimate{e.Used, e.Used, e.Last}).need(l, kind) <= room {
			hint = fmt.Sprintf(": on %s gaps take room; on ext4 it would fit", l.name)
		}
		errs = append(errs, fmt.Errorf("the destination has %s free, of which %s stay free, and the run needs up to %s%s",
			progress.Bytes(free), progress.Bytes(keep), progress.Bytes(need), hint))
	}
	return errors.Join(errs...)
}
