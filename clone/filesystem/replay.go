package filesystem

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"lifeboat/clone/filesystem/ext4"
)

// errJournalElsewhere is why e2fsck is not let near: it looks for the journal by
// its UUID, on all disks, and would replay and empty that of the source.
var errJournalElsewhere = errors.New("its journal lies on another disk: it is left as it is")

// beforeFsck makes the ext file system at path, a block device, ready for e2fsck
// and tune2fs, which replay a journal first. They must not where that lies on
// another disk, and cannot where fast commits may wait in it: e2fsck 1.47.0 ended
// with "No free space in the directory" and a wrong superblock on what Linux 6.18
// had written, or left most files out, where the kernel lost none. The kernel
// does it then.
//
// After an error they must not be started; nothing was written but what a kernel
// that failed to mount notes in the superblock.
func beforeFsck(path string) error {
	s, ok := superOf(path)
	switch {
	case !ok: // somebody else will tell
		return nil
	case s.ExternalJournal:
		return fmt.Errorf("%s: %w", path, errJournalElsewhere)
	case !s.Dirty || !slices.Contains(s.Features, "fast_commit"):
		return nil
	}
	mount, err := mountUnseen(path, "ext4")
	if err != nil {
		return fmt.Errorf("the journal of %s waits for a replay with fast commits, which only a kernel does right, and this one cannot: %w", path, err)
	}
	return mount.Close()
}

// superOf reads what the superblock at path tells.
func superOf(path string) (ext4.Super, bool) {
	f, err := os.Open(path)
	if err != nil {
		return ext4.Super{}, false
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ext4.Super{}, false
	}
	ext, err := ext4.Open(f, size)
	if err != nil {
		return ext4.Super{}, false
	}
	return ext.Super(), true
}
