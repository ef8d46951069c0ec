package filesystem

import (
	"fmt"
	"io"
	"os"
	"slices"

	"lifeboat/clone/filesystem/ext4"
)

// replayFastCommits lets the kernel replay the journal of the ext file system at
// path, a block device, if fast commits may wait in it. e2fsck 1.47.0 cannot: on
// what Linux 6.18 wrote it ended with "No free space in the directory" and a
// wrong superblock, or left most files out, where the kernel lost none.
//
// After an error nothing was written, and e2fsck must not be let near.
func replayFastCommits(path string) error {
	if !fastCommits(path) {
		return nil
	}
	mount, err := mountUnseen(path, "ext4")
	if err != nil {
		return fmt.Errorf("the journal of %s waits for a replay with fast commits, which only a kernel does right, and this one cannot: %w", path, err)
	}
	return mount.Close()
}

// fastCommits tells whether the journal at path waits for its replay, and may
// hold fast commits. Of what cannot be read somebody else will tell.
func fastCommits(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return false
	}
	ext, err := ext4.Open(f, size)
	if err != nil {
		return false
	}
	s := ext.Super()
	return s.Dirty && slices.Contains(s.Features, "fast_commit")
}
