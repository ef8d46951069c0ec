package main

import (
	"context"
	"fmt"
	"io"

	"lifeboat/clone/filesystem"
	"lifeboat/clone/filesystem/ext4"
	"lifeboat/clone/manifest"
)

// straysShown is how many inodes of a part are named.
const straysShown = 5

// lookAtMaps holds the maps of all files against the bitmaps of their file system:
// a copy of what is in use lacks what those call free.
func (n *inspection) lookAtMaps(ctx context.Context, r io.ReaderAt) error {
	for _, p := range n.Head.Parts {
		if !filesystem.IsExt(p.FS.Type) || p.Why != "" {
			continue
		}
		if p.FS.Dirty {
			n.Notes = append(n.Notes, p.Title()+": its journal must be replayed before its files can be checked")
			continue
		}
		strays, err := straysOf(ctx, io.NewSectionReader(r, p.Extent.Off, p.Extent.Len), p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Title(), err)
		}
		for i, s := range strays {
			if i == straysShown {
				n.Stray = append(n.Stray, fmt.Sprintf("%s: and %d more files", p.Title(), len(strays)-i))
				break
			}
			n.Stray = append(n.Stray, fmt.Sprintf("%s: inode %d: %s", p.Title(), s.Inode, s.Why))
		}
	}
	if len(n.Stray) > 0 {
		n.Notes = append(n.Notes, "a backup would lack these blocks: let e2fsck repair the file system first")
	}
	return nil
}

func straysOf(ctx context.Context, r *io.SectionReader, p manifest.Part) ([]ext4.Stray, error) {
	f, err := ext4.Open(r, p.Extent.Len)
	if err != nil {
		return nil, err
	}
	used, err := f.Used()
	if err != nil {
		return nil, err
	}
	return f.Strays(ctx, used)
}
