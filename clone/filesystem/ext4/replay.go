package ext4

import (
	"encoding/binary"
	"io"
)

// Blocks of the log: Linux v6.12, include/linux/jbd2.h. What is done with them
// follows fs/jbd2/recovery.c, do_one_pass.
const (
	logHeader = 12 // magic, type, sequence

	logDescriptor = 1
	logCommit     = 2
	logRevoke     = 5

	tagEscaped  = 1
	tagSameUUID = 2
	tagLast     = 8
	tagUUIDSize = 16

	offCommitCsumType = 0xc
	offCommitCsumSize = 0xd
	offCommitCsum     = 0x10
	offCommitTime     = 0x30

	offRevokeCount = 0xc
	revokeHeader   = 0x10

	logTailSize = 4 // checksum at the end of descriptor and revoke blocks
)

// A tag says that a block of the log belongs to a block of the file system.
type tag struct {
	block   int64 // of the file system
	at      int64 // in the log
	seq     uint32
	csum    uint32
	escaped bool
}

// A scan walks the log once.
type scan struct {
	// config
	j    *journal
	size int64 // of the part

	// state
	at       int64 // the next block
	steps    int64 // blocks so far
	seq      uint32
	lastTime uint64 // of the last commit
	tags     []tag  // of whole transactions
	revoked  map[int64]uint32

	// state of the transaction that is being read
	open        []tag
	openRevoked []int64
	suspect     bool  // a block had a wrong checksum
	damage      error // what makes the log useless if the transaction is whole
	crc         uint32
}

// replay reads the log as jbd2 would. A last transaction that was not finished
// is left out; damage before it is an *UnsureError, where a kernel would refuse
// to mount.
func (j *journal) replay(r io.ReaderAt, size int64) (*overlay, error) {
	o := &overlay{r: r, block: j.v.sb.block, logged: map[int64]logged{}}
	if j.start == 0 {
		return o, nil
	}
	s := &scan{j: j, size: size, at: j.start, seq: j.seq, revoked: map[int64]uint32{}, crc: ^uint32(0)}
	block := make([]byte, j.v.sb.block)
	for more := true; more; {
		var err error
		if more, err = s.step(block); err != nil {
			return nil, err
		}
	}
	return o, s.fill(o, block)
}

// step reads the next block that is not data; false at the end of the log.
func (s *scan) step(b []byte) (bool, error) {
	if err := s.next(b); err != nil {
		return false, err
	}
	be := binary.BigEndian
	if be.Uint32(b) != journalMagic || be.Uint32(b[8:]) != s.seq {
		return false, nil
	}
	switch be.Uint32(b[offJType:]) {
	case logDescriptor:
		return true, s.descriptor(b)
	case logRevoke:
		s.revoke(b)
		return true, nil
	case logCommit:
		return s.commit(b)
	}
	return false, nil
}

// next reads one block and moves on.
func (s *scan) next(b []byte) error {
	if err := s.skip(1); err != nil {
		return err
	}
	at := s.at
	s.at = s.j.next(s.at, 1)
	return s.j.read(b, at)
}

// skip counts blocks: a log that is longer than its ring is damaged.
func (s *scan) skip(n int64) error {
	if s.steps += n; s.steps > s.j.last-s.j.first+1 {
		return unsure("its journal is longer than the room it has")
	}
	return nil
}

// descriptor reads the tags of a descriptor block and passes the data behind it.
func (s *scan) descriptor(b []byte) error {
	if s.j.csumV2or3() && !s.tailCsumOK(b) {
		s.suspect = true
	}
	summed := s.j.compat&jCompatChecksum != 0 && !s.suspect
	if summed {
		s.crc = crc32be(s.crc, b)
	}
	tags := s.j.parseTags(b, s.seq)
	if err := s.skip(int64(len(tags))); err != nil {
		return err
	}
	if len(s.tags)+len(s.open)+len(tags) > maxLogged {
		return unsure("its journal holds more than %d blocks", maxLogged)
	}
	for _, t := range tags {
		t.at = s.at
		s.at = s.j.next(s.at, 1)
		s.open = append(s.open, t)
		if summed {
			if err := s.j.read(b, t.at); err != nil {
				return err
			}
			s.crc = crc32be(s.crc, b)
		}
		if _, ok := s.j.m.place(t.at); !ok {
			s.damage = unsure("its journal has a hole")
		}
		if bs := s.j.v.sb.block; t.block < 0 || t.block >= s.size/bs {
			s.damage = unsure("its journal wants to write block %d, which is outside of the part", t.block)
		}
	}
	return nil
}

// parseTags reads the tags of a descriptor block. There are three forms.
func (j *journal) parseTags(b []byte, seq uint32) []tag {
	be := binary.BigEndian
	v3, wide := j.incompat&jIncompatCsumV3 != 0, j.incompat&jIncompat64Bit != 0
	size := 8
	switch {
	case v3:
		size = 16
	case j.incompat&jIncompatCsumV2 != 0:
		size += 2
	}
	if wide && !v3 {
		size += 4
	}
	end := len(b)
	if j.csumV2or3() {
		end -= logTailSize
	}
	var tags []tag
	for off := logHeader; off+size <= end; {
		p := b[off : off+size]
		flags := be.Uint16(p[6:])
		t := tag{block: int64(be.Uint32(p)), seq: seq, escaped: flags&tagEscaped != 0, csum: uint32(be.Uint16(p[4:]))}
		if wide {
			t.block |= int64(be.Uint32(p[8:])) << 32
		}
		if v3 {
			t.csum = be.Uint32(p[12:])
		}
		tags = append(tags, t)
		off += size
		if flags&tagSameUUID == 0 {
			off += tagUUIDSize
		}
		if flags&tagLast != 0 {
			break
		}
	}
	return tags
}

// revoke notes the blocks that must not be written from older transactions.
func (s *scan) revoke(b []byte) {
	end := len(b)
	if s.j.csumV2or3() {
		end -= logTailSize
		s.suspect = s.suspect || !s.tailCsumOK(b)
	}
	be := binary.BigEndian
	count, size := int64(be.Uint32(b[offRevokeCount:])), 4
	if s.j.incompat&jIncompat64Bit != 0 {
		size = 8
	}
	if count > int64(end) {
		s.damage = unsure("its journal revokes %d bytes of blocks in one", count)
		return
	}
	if len(s.revoked)+len(s.openRevoked)+int(count)/size > maxLogged {
		s.damage = unsure("its journal revokes more than %d blocks", maxLogged)
		return
	}
	for off := revokeHeader; off+size <= int(count); off += size {
		block := int64(be.Uint32(b[off:]))
		if size == 8 {
			block = int64(be.Uint64(b[off:]))
		}
		s.openRevoked = append(s.openRevoked, block)
	}
}

// commit ends a transaction: it counts from here on. False where the log ends
// with it.
func (s *scan) commit(b []byte) (bool, error) {
	time := binary.BigEndian.Uint64(b[offCommitTime:])
	stale := time < s.lastTime // of an older log that used this place
	switch ok := s.commitOK(b); {
	case (s.suspect || !ok) && stale:
		return false, nil
	case s.suspect:
		return false, unsure("a checksum in transaction %d of its journal is wrong", s.seq)
	case !ok && s.j.incompat&jIncompatAsync != 0:
		return false, nil // the commit block came to the disk before its data did
	case !ok:
		return false, unsure("the checksum of transaction %d of its journal is wrong", s.seq)
	case s.damage != nil:
		return false, s.damage
	}
	s.tags = append(s.tags, s.open...)
	for _, block := range s.openRevoked {
		s.revoked[block] = s.seq
	}
	s.lastTime = time
	s.open, s.openRevoked, s.crc = s.open[:0], s.openRevoked[:0], ^uint32(0)
	s.seq++
	return true, nil
}

// commitOK verifies a commit block, in the journal's own way.
func (s *scan) commitOK(b []byte) bool {
	be := binary.BigEndian
	found := be.Uint32(b[offCommitCsum:])
	if s.j.compat&jCompatChecksum != 0 {
		kind, size := b[offCommitCsumType], b[offCommitCsumSize]
		unused := kind == 0 && size == 0 && found == 0
		return unused || kind == 1 && size == 4 && found == s.crc // JBD2_CRC32_CHKSUM
	}
	if !s.j.csumV2or3() {
		return true
	}
	clear(b[offCommitCsum : offCommitCsum+4])
	return crc32c(s.j.seed, b) == found
}

// tailCsumOK verifies a descriptor or revoke block, which it leaves as it was.
func (s *scan) tailCsumOK(b []byte) bool {
	tail := b[len(b)-logTailSize:]
	c := crc32c(s.j.seed, b[:len(b)-logTailSize])
	return crc32c(c, []byte{0, 0, 0, 0}) == binary.BigEndian.Uint32(tail)
}

// fill puts the last state of each block into o, verified.
func (s *scan) fill(o *overlay, b []byte) error {
	for _, t := range s.tags {
		// A block that was revoked in this or in a later transaction stays as it is.
		if seq, ok := s.revoked[t.block]; ok && int32(seq-t.seq) >= 0 {
			continue
		}
		if err := s.j.read(b, t.at); err != nil {
			return err
		}
		if !s.tagCsumOK(t, b) {
			return unsure("the checksum of block %d in its journal is wrong", t.block)
		}
		place, _ := s.j.m.place(t.at)
		o.logged[t.block] = logged{off: place, escaped: t.escaped}
	}
	return nil
}

// tagCsumOK verifies a block of data in the log.
func (s *scan) tagCsumOK(t tag, b []byte) bool {
	if !s.j.csumV2or3() {
		return true
	}
	c := crc32c(s.j.seed, binary.BigEndian.AppendUint32(nil, t.seq))
	c = crc32c(c, b)
	if s.j.incompat&jIncompatCsumV3 == 0 {
		c &= 0xffff
	}
	return c == t.csum
}
