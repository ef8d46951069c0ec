package ext4

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"

	"lifeboat/clone/extent"
)

// Used is the set of bytes in use, from the part's start on: exact where the
// file system is clean. Of a dirty one it is what will be in use after the
// replay, what the log will write, the journal, and what the bitmaps that lie
// there say: enough for a kernel or e2fsck to replay the copy. *UnsureError
// means that it cannot be told; the caller takes all bytes.
func (f *FS) Used() (extent.Set, error) {
	if err := f.doubt(); err != nil {
		return nil, err
	}
	used, free, err := f.now.used(true)
	if err != nil {
		return nil, err
	}
	sb := f.now.sb
	if f.log == nil && free*sb.clusterBlocks != sb.freeBlocks {
		return nil, unsure("the bitmaps have %d free blocks, the superblock says %d", free*sb.clusterBlocks, sb.freeBlocks)
	}
	if f.log != nil {
		old, _, err := f.raw.used(false)
		if err != nil {
			return nil, err
		}
		used = used.Union(old).Union(f.log.targets()).Union(f.journal.blocks())
	}
	// Boot sector, superblock: block 0 belongs to no group where blocks are small.
	used = used.Union(extent.Of(extent.Extent{Off: 0, Len: SuperOff + superSize}))
	return used.Clip(extent.Extent{Off: 0, Len: f.size}), nil
}

// doubt is why the bitmaps are not to be trusted, nil where they are.
func (f *FS) doubt() error {
	sb := f.now.sb
	switch unknown := sb.unknownFeatures(); {
	case f.broken != nil:
		return f.broken
	case len(unknown) > 0:
		return unsure("it has unknown features: %s", strings.Join(unknown, " "))
	case sb.state&stateErrors != 0:
		return unsure("the kernel found errors in it")
	case sb.state&stateValid == 0:
		return unsure("it was not cleanly unmounted")
	case f.log == nil && f.journal != nil && f.journal.start != 0:
		return unsure("its journal holds data, its superblock says it does not")
	}
	return nil
}

// used reads all bitmaps: the bytes in use, and the number of free clusters.
// Bitmaps that are not trusted yet are read without checks: what cannot be read
// of them is left out.
func (v *view) used(checked bool) (used extent.Set, free int64, err error) {
	s := v.sb
	bitmap := make([]byte, s.block)
	var tables []extent.Extent
	for g := range s.groups {
		x := v.group(g)
		if err := v.readBitmap(g, x, bitmap); err != nil {
			return nil, 0, fmt.Errorf("block bitmap of group %d: %w", g, err)
		}
		if checked && !s.rightBitmap(x, bitmap) {
			return nil, 0, unsure("the checksum of group %d's block bitmap is wrong", g)
		}
		var freeHere int64
		used, freeHere = s.appendRuns(used, g, bitmap)
		if checked && freeHere != x.FreeClusters {
			return nil, 0, unsure("group %d's bitmap has %d free clusters, its descriptor says %d", g, freeHere, x.FreeClusters)
		}
		free += freeHere
		for _, e := range s.tables(x) {
			if s.holds(e.Off, e.Len) {
				tables = append(tables, s.bytes(e))
			}
		}
	}
	return used.Union(extent.Of(tables...)), free, nil
}

// readBitmap fills bitmap with group g's, read or computed.
func (v *view) readBitmap(g int64, x Group, bitmap []byte) error {
	switch s := v.sb; {
	case x.Unwritten:
		s.computeBitmap(g, x, bitmap)
	case !s.holds(x.BlockBitmap, 1):
		clear(bitmap) // only where it is not checked
	default:
		return readAt(v.r, bitmap, x.BlockBitmap*s.block)
	}
	return nil
}

// rightBitmap holds a bitmap against its checksum.
func (s *super) rightBitmap(x Group, bitmap []byte) bool {
	if x.Unwritten || !s.hasCsum() {
		return true
	}
	sum := crc32c(s.seed, bitmap[:s.clustersPerGroup()/8])
	if s.descSize < highDescSize {
		sum &= 0xffff
	}
	return sum == x.bitmapCsum
}

// computeBitmap makes the bitmap of a group that was never written to: only the
// file system's own tables are in use.
func (s *super) computeBitmap(g int64, x Group, bitmap []byte) {
	clear(bitmap)
	group := extent.Extent{Off: s.groupFirst(g), Len: s.groupBlocks(g)}
	mark := func(e extent.Extent) {
		e = e.Intersect(group)
		for b := e.Off; b < e.End(); b++ {
			c := (b - group.Off) / s.clusterBlocks
			bitmap[c/8] |= 1 << (c % 8)
		}
	}
	mark(s.base(g))
	for _, e := range s.tables(x) {
		mark(e)
	}
}

// appendRuns adds the runs of set bits of group g's bitmap, and counts the free
// clusters.
func (s *super) appendRuns(set extent.Set, g int64, bitmap []byte) (extent.Set, int64) {
	first, end := s.groupFirst(g), s.groupFirst(g)+s.groupBlocks(g)
	clusters := s.groupClusters(g)
	free := clusters
	for i := nextBit(bitmap, 0, clusters, true); i < clusters; {
		j := nextBit(bitmap, i, clusters, false)
		from, to := first+i*s.clusterBlocks, min(first+j*s.clusterBlocks, end)
		set = set.Append(s.bytes(extent.Extent{Off: from, Len: to - from}))
		free -= j - i
		i = nextBit(bitmap, j, clusters, true)
	}
	return set, free
}

// nextBit is the number of the first bit from i on that is set, or is not; end
// where there is none before it.
func nextBit(bitmap []byte, i, end int64, set bool) int64 {
	flip := uint64(0)
	if !set {
		flip = ^flip
	}
	for i < end {
		word := (binary.LittleEndian.Uint64(bitmap[i/64*8:]) ^ flip) >> (i % 64)
		if word != 0 {
			return min(end, i+int64(bits.TrailingZeros64(word)))
		}
		i = (i/64 + 1) * 64
	}
	return end
}
