package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"

	"lifeboat/clone/extent"
)

// Journal superblock: Linux v6.12, include/linux/jbd2.h, struct
// journal_superblock_s. A journal's numbers are big-endian.
const (
	journalMagic = 0xc03b3998

	offJType      = 0x4
	offJBlock     = 0xc
	offJMaxLen    = 0x10
	offJFirst     = 0x14
	offJSequence  = 0x18
	offJStart     = 0x1c
	offJErrno     = 0x20
	offJCompat    = 0x24
	offJIncompat  = 0x28
	offJRO        = 0x2c
	offJUUID      = 0x30
	offJCsumType  = 0x50
	offJCsum      = 0xfc
	journalHeader = 1024

	journalSuperV1 = 3
	journalSuperV2 = 4

	jCompatChecksum = 0x1

	jIncompat64Bit      = 0x2
	jIncompatAsync      = 0x4
	jIncompatCsumV2     = 0x8
	jIncompatCsumV3     = 0x10
	jIncompatFastCommit = 0x20
	jIncompatKnown      = 0x1f // with revoke, without fast commits

	minJournal = 1024       // blocks; JBD2_MIN_JOURNAL_BLOCKS
	maxJournal = 10_240_000 // blocks; the most that mke2fs makes
)

// A journal is the log in inode 8 as its superblock describes it. Places are
// numbers of its own blocks.
type journal struct {
	v   *view
	in  *inode
	m   *mapping
	seq uint32 // of the first transaction to replay

	first, last, start     int64 // the log's ring; start = 0: empty
	compat, incompat, errn uint32
	seed                   uint32 // of checksums
}

// openJournal finds the journal and reads its superblock.
func (f *FS) openJournal() error {
	sb := f.raw.sb
	switch {
	case sb.compat&compatHasJournal == 0 && sb.dirty():
		return unsure("its journal must be replayed, but it has none")
	case sb.compat&compatHasJournal == 0:
		return nil
	case sb.externalJournal():
		return unsure("its journal lies on another disk")
	}
	in, err := f.raw.inode(sb.journalInode)
	var m *mapping
	if err == nil {
		m, err = f.raw.mapping(in)
	}
	var reader *readError
	if errors.As(err, &reader) {
		return fmt.Errorf("journal: %w", err)
	} else if err != nil {
		return unsure("its journal: %v", err)
	}
	j := &journal{v: &f.raw, in: in, m: m}
	if err := j.readSuper(); err != nil {
		return err
	}
	f.journal = j
	return nil
}

func (j *journal) readSuper() error {
	b := make([]byte, journalHeader)
	if err := j.m.read(b, 0); err != nil {
		return fmt.Errorf("journal superblock: %w", err)
	}
	be := binary.BigEndian
	kind := be.Uint32(b[offJType:])
	if be.Uint32(b) != journalMagic || kind != journalSuperV1 && kind != journalSuperV2 {
		return unsure("its journal has no superblock")
	}
	if int64(be.Uint32(b[offJBlock:])) != j.v.sb.block {
		return unsure("its journal has blocks of %d bytes", be.Uint32(b[offJBlock:]))
	}
	j.last, j.first = int64(be.Uint32(b[offJMaxLen:])), int64(be.Uint32(b[offJFirst:]))
	j.start, j.seq = int64(be.Uint32(b[offJStart:])), be.Uint32(b[offJSequence:])
	if kind == journalSuperV2 {
		j.compat, j.incompat, j.errn = be.Uint32(b[offJCompat:]), be.Uint32(b[offJIncompat:]), be.Uint32(b[offJErrno:])
	}
	return j.check(b)
}

// check holds the journal's superblock against its checksum, the inode, and what
// we know how to replay.
func (j *journal) check(b []byte) error {
	be := binary.BigEndian
	v2, v3 := j.incompat&jIncompatCsumV2 != 0, j.incompat&jIncompatCsumV3 != 0
	switch {
	case j.incompat&jIncompatFastCommit != 0 && j.v.sb.dirty():
		return unsure("its journal holds fast commits")
	case j.incompat&^(jIncompatKnown|jIncompatFastCommit) != 0, j.compat&^jCompatChecksum != 0, be.Uint32(b[offJRO:]) != 0:
		return unsure("its journal has unknown features: %#x %#x %#x", j.compat, j.incompat, be.Uint32(b[offJRO:]))
	case v2 && v3, (v2 || v3) && j.compat&jCompatChecksum != 0:
		return unsure("its journal has two kinds of checksums")
	case j.errn != 0:
		return unsure("its journal was aborted")
	case j.last < minJournal || j.last > maxJournal || j.last > j.in.size/j.v.sb.block:
		return unsure("its journal has %d blocks", j.last)
	case j.first < 1 || j.first >= j.last || j.start != 0 && (j.start < j.first || j.start >= j.last):
		return unsure("its journal begins at block %d of %d", j.start, j.last)
	}
	if v2 || v3 {
		if b[offJCsumType] != 4 { // JBD2_CRC32C_CHKSUM
			return unsure("its journal has checksums of the unknown type %d", b[offJCsumType])
		}
		sum := be.Uint32(b[offJCsum:])
		clear(b[offJCsum : offJCsum+4])
		if crc32c(^uint32(0), b) != sum {
			return unsure("the checksum of its journal's superblock is wrong")
		}
	}
	j.seed = crc32c(^uint32(0), b[offJUUID:offJUUID+16])
	return nil
}

func (j *journal) csumV2or3() bool { return j.incompat&(jIncompatCsumV2|jIncompatCsumV3) != 0 }

// next is the place behind n blocks from at on, in the ring.
func (j *journal) next(at, n int64) int64 {
	at += n
	if at >= j.last {
		at = j.first + (at-j.last)%(j.last-j.first)
	}
	return at
}

// read reads one block of the journal.
func (j *journal) read(b []byte, at int64) error {
	if err := j.m.read(b, at*j.v.sb.block); err != nil {
		return fmt.Errorf("journal block %d: %w", at, err)
	}
	return nil
}

// blocks are the bytes that the journal lies in.
func (j *journal) blocks() extent.Set {
	bs := j.v.sb.block
	var es []extent.Extent
	for _, r := range j.m.runs {
		es = append(es, extent.Extent{Off: r.disk * bs, Len: r.count * bs})
	}
	for _, b := range j.m.nodes {
		es = append(es, extent.Extent{Off: b * bs, Len: bs})
	}
	return extent.Of(es...)
}
