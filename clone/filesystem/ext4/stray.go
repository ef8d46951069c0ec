package ext4

import (
	"context"
	"fmt"

	"lifeboat/clone/extent"
)

const firstFile = 11 // inodes before it are the file system's own; but for the root

// A Stray is an inode of which something is wrong that the bitmaps do not tell.
type Stray struct {
	Inode uint32
	Why   string
}

// Strays reads all inodes, and yields those that have blocks which used, the
// answer of Used, lacks: they would be in no copy. It reads the inode tables as far
// as they were written, and all maps of files, but no file. Of a file system whose
// journal holds data it tells nothing.
func (f *FS) Strays(ctx context.Context, used extent.Set) ([]Stray, error) {
	if f.log != nil {
		return nil, nil
	}
	var strays []Stray
	v := f.now
	for g := range v.sb.groups {
		x := v.group(g)
		err := v.table(g, x, func(off int64, b []byte) error {
			for in := range v.inodesIn(g, x, off, b) {
				if why := v.stray(in, used); why != "" {
					strays = append(strays, Stray{in.num, why})
				}
			}
			return ctx.Err()
		})
		if err != nil {
			return nil, err
		}
	}
	return strays, nil
}

// stray says what is wrong with an inode; "" = nothing.
func (v *view) stray(in *inode, used extent.Set) string {
	if in.links() == 0 || in.num < firstFile && in.num != rootInode {
		return ""
	}
	if err := v.sb.parseInode(in); err != nil {
		return err.Error()
	}
	lost := func(block, n int64) bool { return !used.Contains(v.sb.bytes(extent.Extent{Off: block, Len: n})) }
	if acl := in.fileACL(); acl != 0 && lost(acl, 1) {
		return fmt.Sprintf("its extended attributes are in block %d, which the bitmap calls free", acl)
	}
	if !in.hasMap() {
		return ""
	}
	m, err := v.mapping(in)
	if err != nil {
		return err.Error()
	}
	for _, r := range m.runs {
		if lost(r.disk, r.count) {
			return fmt.Sprintf("it has blocks in %d to %d that the bitmap calls free", r.disk, r.disk+r.count-1)
		}
	}
	for _, block := range m.nodes {
		if lost(block, 1) {
			return fmt.Sprintf("its map is in block %d, which the bitmap calls free", block)
		}
	}
	return ""
}
