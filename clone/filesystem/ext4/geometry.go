package ext4

import (
	"bytes"

	"lifeboat/clone/extent"
)

// A Geometry is how a file system is cut up, for who lays it out anew and so asks
// about other sizes too. It and the groups are told as they lie there, not
// replayed: that is how their bytes come from a stream. Block is in bytes, all
// other numbers count what their names say.
type Geometry struct {
	Block          int64 // size of a block, bytes
	Blocks         int64 // of the file system
	First          int64 // the block that the first group begins with
	GroupBlocks    int64 // of a group; the last one may have fewer
	ClusterBlocks  int64 // that are taken together: 1, but for bigalloc
	GroupInodes    int64 // of a group
	TableBlocks    int64 // of a group's inode table
	ReservedBlocks int64 // behind each copy of the descriptors, kept for more of them
	Extents        bool  // files map extents

	s *super
}

// Geometry tells how the file system is cut up; *UnsureError where its superblock
// contradicts itself or its part.
func (f *FS) Geometry() (Geometry, error) {
	if f.raw.gdt == nil { // the only thing that goes wrong before they are read
		return Geometry{}, f.broken
	}
	s := f.raw.sb
	return Geometry{
		Block: s.block, Blocks: s.blocks, First: s.first, GroupBlocks: s.blocksPerGroup, ClusterBlocks: s.clusterBlocks,
		GroupInodes: s.inodesPerGroup, TableBlocks: s.inodeTableBlocks(), ReservedBlocks: s.reservedGDT,
		Extents: s.incompat&incompatExtents != 0, s: s,
	}, nil
}

// Groups are the descriptors; *UnsureError where a checksum or a place is wrong. A
// kernel refuses those too, and does so before it replays a journal (Linux v6.12,
// fs/ext4/super.c, ext4_check_descriptors).
func (f *FS) Groups() ([]Group, error) {
	if f.raw.gdt == nil {
		return nil, f.broken
	}
	if err := f.raw.checkDescriptors(); err != nil {
		return nil, err
	}
	groups := make([]Group, f.raw.sb.groups)
	for i := range groups {
		groups[i] = f.raw.group(int64(i))
	}
	return groups, nil
}

// Superblock are the bytes from SuperOff on that lie there.
func (f *FS) Superblock() []byte { return bytes.Clone(f.raw.sb.raw) }

// GroupsOf is the number of groups that so many blocks make.
func (g *Geometry) GroupsOf(blocks int64) int64 { return g.s.groupsOf(blocks) }

// DescriptorBlocks is the number of blocks that the descriptors of so many groups
// take.
func (g *Geometry) DescriptorBlocks(groups int64) int64 { return g.s.descriptorBlocks(groups) }

// Descriptors are the bytes of all descriptors.
func (g *Geometry) Descriptors() extent.Set { return g.s.descriptors() }

// HasSuper tells whether the group begins with a copy of the superblock.
func (g *Geometry) HasSuper(group int64) bool { return g.s.hasSuper(group) }

// Extent are the bytes of a group.
func (g *Geometry) Extent(group int64) extent.Extent {
	return g.s.bytes(extent.Extent{Off: g.s.groupFirst(group), Len: g.s.groupBlocks(group)})
}

// Tables are the bytes of bitmaps, inode tables, superblock and descriptors, their
// copies, and what is kept for more of them.
func (g *Geometry) Tables(groups []Group) extent.Set {
	s := g.s
	all := []extent.Extent{{Off: 0, Len: SuperOff/s.block + 1}}
	for i, x := range groups {
		own := s.tables(x)
		all = append(append(all, s.base(int64(i))), own[:]...)
	}
	for i, e := range all {
		all[i] = s.bytes(e)
	}
	return extent.Of(all...).Clip(extent.Extent{Off: 0, Len: s.blocks * s.block})
}

// Used are the bytes that group i has in use by its bitmap, which is one block; an
// Unwritten group has none. Where it contradicts the descriptor known is false, and
// used a hint at best.
func (g *Geometry) Used(i int64, x Group, bitmap []byte) (used extent.Set, known bool) {
	if !g.s.rightBitmap(x, bitmap) {
		return nil, false
	}
	used, free := g.s.appendRuns(nil, i, bitmap)
	return used, free == x.FreeClusters
}
