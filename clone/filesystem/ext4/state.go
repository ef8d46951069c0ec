package ext4

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"lifeboat/clone/extent"
)

// A State is what the metadata of a file system said at one time: enough to tell
// later which of its bytes are still the same. It is made by Scan.
type State struct {
	salt   [saltSize]byte // nobody can make up two inodes with one digest
	super  []byte         // the fields of superFields
	groups []groupState
	blocks []blockSum // ascending
}

// A groupState is of one group.
type groupState struct {
	flags  uint16
	tables [3]int64 // block bitmap, inode bitmap, inode table: block numbers
	inodes []uint64 // digests, as many as its table was written for; 0 = unknown, or not in use
}

// A blockSum is the digest of a block of metadata.
type blockSum struct {
	block int64
	sum   uint64
}

const (
	saltSize   = 16
	digestSize = 8
)

// digest is a short one of the bytes of an inode or block; never 0.
func (s *State) digest(b []byte) uint64 {
	h := sha512.New512_256()
	h.Write(s.salt[:])
	h.Write(b)
	var sum [sha512.Size256]byte
	return max(1, binary.LittleEndian.Uint64(h.Sum(sum[:0])))
}

// inode is the digest of an inode, 0 where it is not known.
func (s *State) inode(group, i int64) uint64 {
	if s == nil || group >= int64(len(s.groups)) || i >= int64(len(s.groups[group].inodes)) {
		return 0
	}
	return s.groups[group].inodes[i]
}

// has tells whether a block is known to have had that digest.
func (s *State) has(block int64, sum uint64) bool {
	if s == nil {
		return false
	}
	i, ok := slices.BinarySearchFunc(s.blocks, block, func(b blockSum, at int64) int { return int(min(max(b.block-at, -1), 1)) })
	return ok && s.blocks[i].sum == sum
}

// Forget makes unknown what lies in the set, in bytes from the part's start:
// blocks, and the inodes of tables.
func (s *State) Forget(set extent.Set) {
	block, inodeSize := s.sizes()
	s.blocks = slices.DeleteFunc(s.blocks, func(b blockSum) bool {
		return len(set.Clip(extent.Extent{Off: b.block * block, Len: block})) > 0
	})
	for _, g := range s.groups {
		table := extent.Extent{Off: g.tables[2] * block, Len: int64(len(g.inodes)) * inodeSize}
		for _, e := range set.Clip(table) {
			first, end := (e.Off-table.Off)/inodeSize, (e.End()-table.Off+inodeSize-1)/inodeSize
			clear(g.inodes[first:min(end, int64(len(g.inodes)))])
		}
	}
}

// Superblock fields: Linux v6.12, fs/ext4/ext4.h, struct ext4_super_block. Where
// one of them changed, equal inodes prove nothing.
var superFields = []struct {
	off, size int64
	why       string
}{
	{offUUID, 16, "it is another file system"},
	{offInodes, 8, whyResized},     // and blocks
	{offFirstData, 24, whyResized}, // first block, sizes, and what a group has
	{offReservedGDT, 2, whyResized},
	{offBlocksHigh, 4, whyResized},
	{offFirstMetaBG, 4, whyResized},
	{offBackupGroups, 8, whyResized},
	{offDescSize, 2, whyResized},
	{offRevision, 4, whyFeatures},
	{offFirstInode, 6, whyFeatures}, // and the size of an inode
	{offCompat, 12, whyFeatures},    // all three words
	{offJournalInode, 4, whyFeatures},
	{offHashSeed, 17, whyFeatures}, // and the hash's version
	{offUserQuota, 8, whyFeatures}, // and of groups
	{offProjectQuota, 4, whyFeatures},
	{offCsumSeed, 4, whyFeatures},
	{offOrphanFile, 4, whyFeatures},
	{offLastCheck, 4, whyChecked},
	{offLastCheckHigh, 1, whyChecked},
	{offMountTime, 4, whyMounted},
	{offMountTimeHigh, 1, whyMounted},
	{offMountCount, 2, whyMounted},
	{offErrorCount, 4, "the kernel found errors in it"},
}

const (
	offMountTime     = 0x2c
	offMountCount    = 0x34
	offLastCheck     = 0x40
	offHashSeed      = 0xec
	offErrorCount    = 0x194
	offUserQuota     = 0x240
	offMountTimeHigh = 0x275
	offLastCheckHigh = 0x277

	whyResized  = "it was resized"
	whyFeatures = "its features were changed"
	whyChecked  = "it was checked by e2fsck"
	whyMounted  = "it was mounted or remounted"

	roOrphanPresent = 0x10000
)

// superState picks the fields out of a superblock. Two features come and go with
// the freeze: that the journal is to be replayed, and that there are orphans.
func superState(raw []byte) []byte {
	b := bytes.Clone(raw)
	le := binary.LittleEndian
	le.PutUint32(b[offIncompat:], le.Uint32(b[offIncompat:])&^incompatRecover)
	le.PutUint32(b[offRO:], le.Uint32(b[offRO:])&^roOrphanPresent)
	var out []byte
	for _, f := range superFields {
		out = append(out, b[f.off:f.off+f.size]...)
	}
	return out
}

// changed tells why the inodes of s prove nothing about those of is; "" where
// they do.
func (s *State) changed(is *State) string {
	at := int64(0)
	for _, f := range superFields {
		if !bytes.Equal(s.super[at:at+f.size], is.super[at:at+f.size]) {
			return f.why
		}
		at += f.size
	}
	if len(s.groups) != len(is.groups) {
		return whyResized
	}
	for i := range s.groups {
		if s.groups[i].tables != is.groups[i].tables {
			return whyResized
		}
	}
	return ""
}

// field is where a field lies in super.
func field(off int64) int64 {
	at := int64(0)
	for _, f := range superFields {
		if off >= f.off && off < f.off+f.size {
			return at + off - f.off
		}
		at += f.size
	}
	panic("BUG: no such field is kept")
}

// sizes are those of a block and of an inode, bytes.
func (s *State) sizes() (block, inode int64) {
	le := binary.LittleEndian
	block, inode = 1024<<(le.Uint32(s.super[field(offLogBlock):])&7), oldInodeSize
	if le.Uint32(s.super[field(offRevision):]) > 0 {
		inode = max(oldInodeSize, int64(le.Uint16(s.super[field(offInodeSize):])))
	}
	return block, inode
}

// AppendBinary implements encoding.BinaryAppender: salt, the superblock's fields,
// the count of groups and each group (flags, tables, count of inodes, digests),
// the count of blocks and each block (number, digest); little-endian, counts of 4
// bytes.
func (s *State) AppendBinary(b []byte) ([]byte, error) {
	le := binary.LittleEndian
	b = append(append(b, s.salt[:]...), s.super...)
	b = le.AppendUint32(b, uint32(len(s.groups)))
	for _, g := range s.groups {
		b = le.AppendUint16(b, g.flags)
		for _, t := range g.tables {
			b = le.AppendUint64(b, uint64(t))
		}
		b = le.AppendUint32(b, uint32(len(g.inodes)))
		for _, sum := range g.inodes {
			b = le.AppendUint64(b, sum)
		}
	}
	b = le.AppendUint32(b, uint32(len(s.blocks)))
	for _, x := range s.blocks {
		b = le.AppendUint64(le.AppendUint64(b, uint64(x.block)), x.sum)
	}
	return b, nil
}

var errState = errors.New("the state of a file system is cut short or damaged")

// UnmarshalBinary implements encoding.BinaryUnmarshaler. What it takes is bounded
// by the length of b.
func (s *State) UnmarshalBinary(b []byte) error {
	d := decoder{b: b}
	copy(s.salt[:], d.take(saltSize))
	size := int64(0)
	for _, f := range superFields {
		size += f.size
	}
	s.super = bytes.Clone(d.take(size))
	s.groups = make([]groupState, d.count(2+3*8+4))
	for i := range s.groups {
		g := &s.groups[i]
		g.flags = uint16(d.uint(2))
		for j := range g.tables {
			if g.tables[j] = int64(d.uint(8)); g.tables[j] < 0 || g.tables[j] > 1<<46 {
				return fmt.Errorf("group %d: %w", i, errState)
			}
		}
		g.inodes = make([]uint64, d.count(digestSize))
		for j := range g.inodes {
			g.inodes[j] = d.uint(8)
		}
	}
	s.blocks = make([]blockSum, d.count(8+digestSize))
	for i := range s.blocks {
		x := &s.blocks[i]
		x.block, x.sum = int64(d.uint(8)), d.uint(8)
		if x.block < 0 || x.block > 1<<46 || i > 0 && x.block <= s.blocks[i-1].block {
			return errState
		}
	}
	if d.short || len(d.b) > 0 {
		return errState
	}
	return nil
}

// A decoder takes pieces off the front of bytes; behind the end are zeros.
type decoder struct {
	b     []byte
	short bool
}

func (d *decoder) take(n int64) []byte {
	if int64(len(d.b)) < n {
		d.short, d.b = true, nil
		return make([]byte, n)
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) uint(n int64) uint64 {
	var b [8]byte
	copy(b[:], d.take(n))
	return binary.LittleEndian.Uint64(b[:])
}

// count takes a number of things that have each bytes at least.
func (d *decoder) count(each int64) int64 {
	n := int64(d.uint(4))
	if n > int64(len(d.b))/each {
		d.short, d.b = true, nil
		return 0
	}
	return n
}
