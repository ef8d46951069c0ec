package fit

import (
	"sort"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/ext4"
)

// An Answer tells whether a file system fits in a smaller part. It is a rule,
// computed from maps alone: measured, it asks for at most 0.2 % more than
// resize2fs does. Only a plan (Options.From) knows exactly.
type Answer struct {
	Fits          bool
	MissingBytes  int64 // more would be needed; 0 where enough
	MissingInodes int64 // more files there are than a part of that size can hold
	Min           int64 // smallest size that the rule passes, bytes
}

// What resize2fs leaves alone: resize2fs.c of e2fsprogs 1.47.0, adjust_fs_info
// drops a last group with fewer blocks than its tables and 50 more.
const (
	lastGroupRoom = 50
	slackBlocks   = 50
	treeShare     = 500 // extent trees grow by so much of what moves
)

// Need tells whether f fits in size bytes.
func Need(f *Facts, size int64) Answer {
	n := newNeed(f)
	blocks, inodes := n.missing(f.room(size))
	return Answer{
		Fits:         blocks <= 0 && inodes <= 0,
		MissingBytes: max(0, blocks) * f.Block, MissingInodes: max(0, inodes),
		Min: n.minimum() * f.Block,
	}
}

// A need is the rule, prepared.
type need struct {
	*Facts
	nontable extent.Set
	inodes   int64
	bytes    int64 // of nontable
}

func newNeed(f *Facts) need {
	n := need{Facts: f, nontable: f.Used.Subtract(f.Tables), inodes: f.usedInodes}
	if n.bytes = n.nontable.Bytes(); f.Used == nil {
		n.bytes = max(0, f.Size-f.free-f.Tables.Bytes())
	}
	return n
}

// moved are the blocks that lie behind the end of inside: where that is not
// known, all.
func (n need) moved(inside extent.Extent) int64 {
	return (n.bytes - n.nontable.Clip(inside).Bytes()) / n.Block
}

// minimum is the smallest number of blocks that the rule passes. The rule is not
// quite monotonic: what it passes below a size that it refuses does not count.
func (n need) minimum() int64 {
	unit := n.geo.ClusterBlocks
	low := (n.geo.First + 2*slackBlocks + unit - 1) / unit
	return unit * (low + int64(sort.Search(int(n.geo.Blocks/unit-low), func(i int) bool {
		blocks, inodes := n.missing(unit * (low + int64(i)))
		return blocks <= 0 && inodes <= 0
	})))
}

// missing counts the blocks and inodes that a size of so many blocks lacks.
func (n need) missing(blocks int64) (missingBlocks, missingInodes int64) {
	g := &n.geo
	blocks = usable(g, blocks)
	groups := g.GroupsOf(blocks)
	inside := extent.Extent{Off: 0, Len: blocks * g.Block}
	// Tables of groups that go are kept where they are while others move.
	need := n.bytes/g.Block + n.Tables.Clip(inside).Bytes()/g.Block
	for _, x := range n.groups[:min(groups, int64(len(n.groups)))] {
		if x.BlockBitmap >= blocks {
			need++
		}
		if x.InodeBitmap >= blocks {
			need++
		}
		if x.InodeTable+g.TableBlocks > blocks {
			need += g.TableBlocks
		}
	}
	need += slackBlocks
	if g.Extents {
		need += n.moved(inside) / treeShare
	}
	return need - blocks, n.inodes - groups*g.GroupInodes
}

// usable is what resize2fs makes of a size of so many blocks.
func usable(g *ext4.Geometry, blocks int64) int64 {
	for {
		groups := g.GroupsOf(blocks)
		rest := (blocks - g.First) % g.GroupBlocks
		least := 2 + g.TableBlocks + lastGroupRoom
		if g.HasSuper(groups - 1) {
			least += 1 + g.DescriptorBlocks(groups) + g.ReservedBlocks
		}
		if groups <= 1 || rest == 0 || rest >= least {
			return blocks
		}
		blocks -= rest
	}
}
