package fit

import (
	"context"
	"fmt"
	"hash/maphash"
	"io/fs"

	"lifeboat/clone/filesystem/ext4"
)

// dirTimes are the times of all directories, by the hash of their path: inode
// numbers change. resize2fs sets them to now where it changes an entry
// (resize2fs.c of e2fsprogs 1.47.0, check_and_change_inodes).
type dirTimes struct {
	seed  maphash.Seed
	known map[uint64]ext4.Times
}

// dirTimes notes the times of all directories, nothing where no inode gets a new
// number.
func (p *Parker) dirTimes(now *Facts, ext *ext4.FS) (*dirTimes, error) {
	t := &dirTimes{maphash.MakeSeed(), map[uint64]ext4.Times{}}
	g := &now.geo
	stays := g.GroupsOf(usable(g, p.dev.room))
	moves := false
	for i, x := range now.groups {
		moves = moves || int64(i) >= stays && x.FreeInodes < g.GroupInodes
	}
	if !moves {
		return t, nil
	}
	err := eachDir(ext, func(path string, st *ext4.Stat) error {
		t.known[maphash.String(t.seed, path)] = st.Times
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("times of directories: %w", err)
	}
	return t, nil
}

// setDirTimes gives directories the times that they had.
func (p *Parker) setDirTimes(ctx context.Context, t *dirTimes) error {
	if len(t.known) == 0 {
		return nil
	}
	d, set := p.dev, 0
	ext, err := ext4.Open(d, d.room*d.block)
	if err == nil {
		err = eachDir(ext, func(path string, st *ext4.Stat) error {
			was, ok := t.known[maphash.String(t.seed, path)]
			if !ok || was == st.Times {
				return ctx.Err()
			}
			set++
			return ext.SetTimes(d, st.Ino, was)
		})
	}
	if err != nil {
		return fmt.Errorf("times of directories: %w", err)
	}
	p.logf("gave %d directories their times back", set)
	return nil
}

// eachDir yields all directories.
func eachDir(ext *ext4.FS, do func(path string, st *ext4.Stat) error) error {
	return fs.WalkDir(ext.Files(), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*ext4.Stat)
		if !ok {
			return fmt.Errorf("%s has no inode", path)
		}
		return do(path, st)
	})
}
