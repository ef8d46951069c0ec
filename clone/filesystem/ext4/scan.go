package ext4

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"lifeboat/clone/extent"
)

// ScanOptions say what a scan is held against.
type ScanOptions struct {
	Was *State // of an earlier scan; nil = none
	// Look is a time at which all of the file system lay on the disk. Who writes
	// later is noticed by other means.
	Look time.Time
	// Signs are places, in bytes from the part's start, where a swap signature was
	// seen when all was read: files that own one change without their inode.
	Signs extent.Set
}

// A Scan is what the metadata tell.
type Scan struct {
	State *State
	// Same are the bytes from the part's start that are proven to be what they were
	// when Was was made, or that are free: the caller knows what is in use.
	Same extent.Set
	// Reset says why nothing is: all of the part may have changed. "" = it is not so.
	Reset string
}

const (
	racy        = 20 * time.Millisecond // two ticks of the slowest kernel, 100 Hz
	maxScan     = 1 << 30               // blocks: 128 MiB of bits
	largestScan = 4096                  // bytes of a block: larger ones were not tried

	groupInodeZeroed = 4 // EXT4_BG_INODE_ZEROED

	flagImmutable = 0x10
	flagNoAtime   = 0x80

	incompatEncrypt  = 0x10000
	incompatCasefold = 0x20000
	roVerity         = 0x8000
)

// ScanMounted reads the metadata of a file system that is mounted, from a part of
// size bytes: what lies on the disk, not what the journal would make of it. What
// is written from Look on may be seen or not. *UnsureError says why it can tell
// nothing about this file system.
func ScanMounted(ctx context.Context, r io.ReaderAt, size int64, o ScanOptions) (*Scan, error) {
	s := &scanner{o: o, v: view{r: r}, state: &State{}}
	var err error
	if s.v.sb, err = readSuper(r, size); err != nil {
		return nil, err
	}
	if err := s.mayScan(size); err != nil {
		return nil, err
	}
	if s.v.gdt, err = s.v.readDescriptors(); err != nil {
		return nil, err
	}
	if err := s.v.checkDescriptors(); err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	for g := range s.v.sb.groups {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.group(g); err != nil {
			return nil, err
		}
	}
	if err := s.attributes(); err != nil {
		return nil, err
	}
	slices.SortFunc(s.state.blocks, func(a, b blockSum) int { return cmp.Compare(a.block, b.block) })
	s.state.blocks = slices.CompactFunc(s.state.blocks, func(a, b blockSum) bool { return a.block == b.block })
	return &Scan{State: s.state, Same: s.same(), Reset: s.reset}, nil
}

// A scanner goes through all groups.
type scanner struct {
	// config
	o     ScanOptions
	v     view
	was   *State // nil: nothing is proven
	reset string

	// state
	state  *State
	proven []uint64 // one bit a block
	acls   []int64  // blocks of extended attributes
	window []byte   // what was read last for bitmaps
	at     int64    // where it begins, bytes
}

// mayScan refuses what was not tried.
func (s *scanner) mayScan(size int64) error {
	sb := s.v.sb
	if err := sb.check(size); err != nil {
		return err
	}
	switch unknown := sb.unknownFeatures(); {
	case len(unknown) > 0:
		return unsure("it has unknown features: %s", strings.Join(unknown, " "))
	case sb.compat&compatHasJournal == 0 || sb.externalJournal():
		return unsure("it has no journal of its own")
	case sb.incompat&(incompatEncrypt|incompatCasefold) != 0 || sb.ro&(roVerity|roSharedBlocks) != 0:
		return unsure("increments were not tried with encryption, casefold, verity or shared blocks")
	case sb.block > largestScan:
		return unsure("increments were not tried with blocks of %d bytes", sb.block)
	case sb.blocks > maxScan:
		return unsure("it has %d blocks", sb.blocks)
	}
	return nil
}

// begin makes the state, and decides whether the earlier one proves anything.
func (s *scanner) begin() error {
	sb := s.v.sb
	s.proven = make([]uint64, (sb.blocks+63)/64)
	s.state.super = superState(sb.raw)
	s.state.groups = make([]groupState, sb.groups)
	for g := range sb.groups {
		x := s.v.group(g)
		s.state.groups[g] = groupState{
			flags:  binary.LittleEndian.Uint16(s.v.descriptor(g)[offGroupFlags:]),
			tables: [3]int64{x.BlockBitmap, x.InodeBitmap, x.InodeTable},
			inodes: make([]uint64, x.inodes),
		}
	}
	if w := s.o.Was; w != nil {
		if s.reset = w.changed(s.state); s.reset == "" {
			s.was, s.state.salt = w, w.salt
			return nil
		}
	}
	_, err := rand.Read(s.state.salt[:])
	return err
}

// prove sets n blocks from block on.
func (s *scanner) prove(block, n int64) {
	for b := block; b < block+n; b++ {
		s.proven[b/64] |= 1 << (b % 64)
	}
}

// note keeps the digest of a block that was read, and tells whether it is what it
// was. The block's number is part of it, so that two digests say nothing of each
// other.
func (s *scanner) note(block int64, content []byte) bool {
	sum := s.state.digest(binary.LittleEndian.AppendUint64(content[:len(content):len(content)], uint64(block)))
	s.state.blocks = append(s.state.blocks, blockSum{block, sum})
	if !s.was.has(block, sum) {
		return false
	}
	s.prove(block, 1)
	return true
}

// group goes through one group: what is fixed, and its inodes.
func (s *scanner) group(g int64) error {
	sb, x := s.v.sb, s.v.group(g)
	base := sb.base(g)
	kept := int64(0)
	if sb.hasSuper(g) && !sb.inMetaBG(g) {
		kept = min(sb.reservedGDT, base.Len)
	}
	for b := base.Off; b < min(base.End()-kept, sb.blocks); b++ {
		if _, err := s.read(b); err != nil {
			return err
		}
	}
	if s.was != nil { // only a change of the layout writes there, which is a reset
		s.prove(base.End()-kept, min(kept, sb.blocks-base.End()+kept))
	}
	if _, err := s.read(x.BlockBitmap); err != nil {
		return err
	}
	bitmap, err := s.read(x.InodeBitmap)
	if err != nil {
		return err
	}
	s.unusedTable(g, x)
	return s.inodes(g, x, slices.Clone(bitmap))
}

// windowSize is what is read for a bitmap: those of groups that are taken together
// lie side by side.
const windowSize = 64 << 10

// read reads and notes one block; neighbours come along. The bytes are valid
// until the next call.
func (s *scanner) read(block int64) ([]byte, error) {
	bs := s.v.sb.block
	off := block * bs
	if off < s.at || off+bs > s.at+int64(len(s.window)) {
		s.at = off
		s.window = slices.Grow(s.window[:0], windowSize)[:min(windowSize, s.v.sb.blocks*bs-off)]
		if err := readAt(s.v.r, s.window, off); err != nil {
			s.window = s.window[:0]
			return nil, err
		}
	}
	b := s.window[off-s.at:][:bs]
	s.note(block, b)
	return b, nil
}

// unusedTable proves the part of an inode table that was never written for
// inodes, where it has been zeroed before.
func (s *scanner) unusedTable(g int64, x Group) {
	if s.was == nil {
		return
	}
	was, is := s.was.groups[g], s.state.groups[g]
	if was.flags != is.flags || is.flags&groupInodeZeroed == 0 || len(was.inodes) != len(is.inodes) {
		return
	}
	used := (x.inodes*s.v.sb.inodeSize + s.v.sb.block - 1) / s.v.sb.block
	s.prove(x.InodeTable+used, s.v.sb.inodeTableBlocks()-used)
}

// inodes goes through the used part of a group's table.
func (s *scanner) inodes(g int64, x Group, bitmap []byte) error {
	sb := s.v.sb
	return s.v.table(g, x, func(off int64, b []byte) error {
		for at := int64(0); at < int64(len(b)); at += sb.block {
			s.note(x.InodeTable+(off+at)/sb.block, b[at:at+sb.block])
		}
		for in := range s.v.inodesIn(g, x, off, b) {
			i := int64(in.num-1) % sb.inodesPerGroup
			if bitmap[i/8]&(1<<(i%8)) == 0 {
				continue
			}
			if err := s.inode(g, i, in); err != nil {
				return err
			}
		}
		return nil
	})
}

// inode looks at an inode that is in use: it is kept in the state, and what it
// owns is proven if nothing changed.
func (s *scanner) inode(g, i int64, in *inode) error {
	if s.v.sb.parseInode(in) != nil {
		return nil // damaged, or torn: it proves nothing
	}
	sum := s.state.digest(in.steady())
	if !s.isRacy(in) {
		s.state.groups[g].inodes[i] = sum
	}
	if acl := in.fileACL(); acl > 0 && s.v.sb.holds(acl, 1) {
		s.acls = append(s.acls, acl)
	}
	if !in.hasMap() {
		return nil
	}
	tree := noting{s, true}
	m, err := (&view{r: &tree, sb: s.v.sb}).mapping(in)
	var bad *readError
	switch {
	case errors.As(err, &bad):
		return err
	case err != nil, !tree.same, s.was.inode(g, i) != sum, s.isOwn(in):
		return nil
	}
	for _, r := range m.runs {
		if s.swaps(r) {
			return nil
		}
	}
	for _, r := range m.runs {
		s.prove(r.disk, r.count)
	}
	return nil
}

// noting notes the blocks of a tree while it is walked.
type noting struct {
	s    *scanner
	same bool // all of them are what they were
}

func (n *noting) ReadAt(p []byte, off int64) (int, error) {
	if err := readAt(n.s.v.r, p, off); err != nil {
		return 0, err
	}
	if !n.s.note(off/n.s.v.sb.block, p) {
		n.same = false
	}
	return len(p), nil
}

// isOwn tells the file system's own files, which it writes past their inodes;
// quota files that are in use are marked so (Linux v6.12, fs/ext4/super.c,
// ext4_quota_on).
func (s *scanner) isOwn(in *inode) bool {
	sb, le := s.v.sb, binary.LittleEndian
	own := []uint32{sb.journalInode, sb.ownInodes[0], sb.ownInodes[1], le.Uint32(sb.raw[offUserQuota:]), le.Uint32(sb.raw[offUserQuota+4:])}
	return int64(in.num) < sb.firstInode && in.num != rootInode || slices.Contains(own, in.num) ||
		in.isRegular() && in.flags&(flagImmutable|flagNoAtime) == flagImmutable|flagNoAtime
}

// swaps tells whether a swap signature was seen in a run.
func (s *scanner) swaps(r run) bool {
	return len(s.o.Signs) > 0 && len(s.o.Signs.Clip(s.v.sb.bytes(extent.Extent{Off: r.disk, Len: r.count}))) > 0
}

// isRacy tells whether an inode changed so shortly before the look that a later
// change may leave the same time. An inode that holds an attribute's value keeps
// a count in place of the time, and is never written to.
func (s *scanner) isRacy(in *inode) bool {
	limit := s.o.Look.Add(-racy)
	if !in.has(offCTimeExtra + 4) {
		limit = limit.Truncate(time.Second)
	}
	return in.flags&flagEAInode == 0 && !in.times().change().Before(limit)
}

// attributes reads the blocks of extended attributes, each once.
func (s *scanner) attributes() error {
	slices.Sort(s.acls)
	b := make([]byte, s.v.sb.block)
	for _, block := range slices.Compact(s.acls) {
		if err := readAt(s.v.r, b, block*s.v.sb.block); err != nil {
			return fmt.Errorf("extended attributes: %w", err)
		}
		s.note(block, b)
	}
	return nil
}

// same is what is proven, in bytes.
func (s *scanner) same() extent.Set {
	b := make([]byte, 8*len(s.proven))
	for i, w := range s.proven {
		binary.LittleEndian.PutUint64(b[8*i:], w)
	}
	var set extent.Set
	end := s.v.sb.blocks
	for i := nextBit(b, 0, end, true); i < end; {
		j := nextBit(b, i, end, false)
		set = set.Append(s.v.sb.bytes(extent.Extent{Off: i, Len: j - i}))
		i = nextBit(b, j, end, true)
	}
	return set
}
