package ext4

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"iter"
	"time"

	"lifeboat/clone/extent"
)

// Inode: Linux v6.12, fs/ext4/ext4.h, struct ext4_inode.
const (
	offMode        = 0x0
	offUID         = 0x2
	offSize        = 0x4
	offCTime       = 0xc
	offMTime       = 0x10
	offGID         = 0x18
	offLinks       = 0x1a
	offFlags       = 0x20
	offIBlock      = 0x28
	offGeneration  = 0x64
	offSizeHigh    = 0x6c
	offUIDHigh     = 0x78
	offGIDHigh     = 0x7a
	offInodeCsum   = 0x7c
	oldInodeSize   = 0x80
	offExtraSize   = 0x80
	offInodeCsumHi = 0x82
	offCTimeExtra  = 0x84
	offMTimeExtra  = 0x88

	iblockSize = 60

	flagEncrypt    = 0x800
	flagExtents    = 0x80000
	flagVerity     = 0x100000
	flagEAInode    = 0x200000
	flagInlineData = 0x10000000

	rootInode = 2
)

// An inode is one file's entry in the inode tables.
type inode struct {
	num  uint32
	raw  []byte
	off  int64 // of raw, bytes from the part's start
	size int64 // of the file, bytes

	flags uint32
}

// inode reads and checks the inode num.
func (v *view) inode(num uint32) (*inode, error) {
	s := v.sb
	if num == 0 || int64(num) > s.inodes {
		return nil, fmt.Errorf("there is no inode %d", num)
	}
	g, i := int64(num-1)/s.inodesPerGroup, int64(num-1)%s.inodesPerGroup
	table := v.group(g).InodeTable
	if !s.holds(table, s.inodeTableBlocks()) {
		return nil, fmt.Errorf("inode %d: its table lies outside of the file system", num)
	}
	in := &inode{num: num, raw: make([]byte, s.inodeSize), off: table*s.block + i*s.inodeSize}
	if err := readAt(v.r, in.raw, in.off); err != nil {
		return nil, fmt.Errorf("inode %d: %w", num, err)
	}
	return in, s.parseInode(in)
}

// table reads the part of a group's inode table that was written, in whole blocks.
// off is where b begins in the table; b is valid until do returns.
func (v *view) table(g int64, x Group, do func(off int64, b []byte) error) error {
	s := v.sb
	buf := extent.Buffer()
	defer extent.Release(buf)
	end := (x.inodes*s.inodeSize + s.block - 1) / s.block * s.block
	for off := int64(0); off < end; off += extent.BufferSize {
		b := buf[:min(extent.BufferSize, end-off)]
		if err := readAt(v.r, b, x.InodeTable*s.block+off); err != nil {
			return fmt.Errorf("inodes of group %d: %w", g, err)
		}
		if err := do(off, b); err != nil {
			return err
		}
	}
	return nil
}

// inodesIn are those in a piece that table read, not checked yet.
func (v *view) inodesIn(g int64, x Group, off int64, b []byte) iter.Seq[*inode] {
	s := v.sb
	return func(yield func(*inode) bool) {
		for i := off / s.inodeSize; i < min(x.inodes, (off+int64(len(b)))/s.inodeSize); i++ {
			at := i*s.inodeSize - off
			in := &inode{num: uint32(g*s.inodesPerGroup + i + 1), raw: b[at : at+s.inodeSize], off: x.InodeTable*s.block + i*s.inodeSize}
			if !yield(in) {
				return
			}
		}
	}
}

// parseInode checks an inode that was read.
func (s *super) parseInode(in *inode) error {
	if err := s.checkInode(in); err != nil {
		return err
	}
	le := binary.LittleEndian
	in.flags = le.Uint32(in.raw[offFlags:])
	in.size = int64(le.Uint32(in.raw[offSize:]))
	if in.isRegular() || s.incompat&incompatLargeDir != 0 {
		in.size |= int64(le.Uint32(in.raw[offSizeHigh:])) << 32
	}
	if in.size < 0 {
		return fmt.Errorf("inode %d: its size is negative", in.num)
	}
	return nil
}

func (s *super) checkInode(in *inode) error {
	if !s.hasCsum() {
		return nil
	}
	le := binary.LittleEndian
	sum := s.inodeCsum(in)
	got := uint32(le.Uint16(in.raw[offInodeCsum:]))
	if in.has(offInodeCsumHi + 2) {
		got |= uint32(le.Uint16(in.raw[offInodeCsumHi:])) << 16
	} else {
		sum &= 0xffff
	}
	if got != sum {
		return fmt.Errorf("inode %d: its checksum is wrong", in.num)
	}
	return nil
}

// has tells whether the inode has the field that ends at end, behind those of the
// old inode.
func (in *inode) has(end int64) bool {
	return int64(len(in.raw)) >= end && oldInodeSize+in.extraSize() >= end
}

// extraSize is the number of bytes of fields behind the old inode's.
func (in *inode) extraSize() int64 {
	if len(in.raw) < offExtraSize+2 {
		return 0
	}
	return int64(binary.LittleEndian.Uint16(in.raw[offExtraSize:]))
}

// inodeCsum computes an inode's checksum. Linux v6.12, fs/ext4/inode.c,
// ext4_inode_csum.
func (s *super) inodeCsum(in *inode) uint32 {
	le, none := binary.LittleEndian, []byte{0, 0}
	c := crc32cLE32(s.seed, in.num)
	c = crc32cLE32(c, le.Uint32(in.raw[offGeneration:]))
	c = crc32c(c, in.raw[:offInodeCsum])
	c = crc32c(c, none)
	c = crc32c(c, in.raw[offInodeCsum+2:oldInodeSize])
	if len(in.raw) == oldInodeSize {
		return c
	}
	c = crc32c(c, in.raw[oldInodeSize:offInodeCsumHi])
	if in.has(offInodeCsumHi + 2) {
		c = crc32c(c, none)
		return crc32c(c, in.raw[offInodeCsumHi+2:])
	}
	return crc32c(c, in.raw[offInodeCsumHi:])
}

// setCsum writes the checksum into raw.
func (s *super) setCsum(in *inode) {
	if !s.hasCsum() {
		return
	}
	sum := s.inodeCsum(in)
	binary.LittleEndian.PutUint16(in.raw[offInodeCsum:], uint16(sum))
	if in.has(offInodeCsumHi + 2) {
		binary.LittleEndian.PutUint16(in.raw[offInodeCsumHi:], uint16(sum>>16))
	}
}

func (in *inode) links() uint16    { return binary.LittleEndian.Uint16(in.raw[offLinks:]) }
func (in *inode) unixMode() uint16 { return binary.LittleEndian.Uint16(in.raw[offMode:]) }
func (in *inode) iblock() []byte   { return in.raw[offIBlock : offIBlock+iblockSize] }
func (in *inode) isRegular() bool  { return in.unixMode()&0xf000 == 0x8000 }
func (in *inode) isDir() bool      { return in.unixMode()&0xf000 == 0x4000 }
func (in *inode) isSymlink() bool  { return in.unixMode()&0xf000 == 0xa000 }

// fsMode is the inode's mode in Go's words.
func (in *inode) fsMode() fs.FileMode {
	u := in.unixMode()
	m := fs.FileMode(u&0o777) | typeOf[u>>12]
	if u&0o4000 != 0 {
		m |= fs.ModeSetuid
	}
	if u&0o2000 != 0 {
		m |= fs.ModeSetgid
	}
	if u&0o1000 != 0 {
		m |= fs.ModeSticky
	}
	return m
}

// typeOf turns the upper four bits of a Unix mode into Go's.
var typeOf = [16]fs.FileMode{
	0x1: fs.ModeNamedPipe, 0x2: fs.ModeDevice | fs.ModeCharDevice, 0x4: fs.ModeDir,
	0x6: fs.ModeDevice, 0xa: fs.ModeSymlink, 0xc: fs.ModeSocket,
}

// Stat is what Sys of a FileInfo points to.
type Stat struct {
	Ino, UID, GID, Links uint32
	Mode                 uint16 // as Unix has it
	Major, Minor         uint32 // of a device
	ModTime, ChangeTime  time.Time
	Times                Times // both, for SetTimes
}

func (in *inode) stat() *Stat {
	le := binary.LittleEndian
	st := &Stat{
		Ino:   in.num,
		UID:   uint32(le.Uint16(in.raw[offUID:])) | uint32(le.Uint16(in.raw[offUIDHigh:]))<<16,
		GID:   uint32(le.Uint16(in.raw[offGID:])) | uint32(le.Uint16(in.raw[offGIDHigh:]))<<16,
		Links: uint32(in.links()),
		Mode:  in.unixMode(),
		Times: in.times(),
	}
	st.ModTime, st.ChangeTime = st.Times.mod(), st.Times.change()
	if in.fsMode()&fs.ModeDevice != 0 {
		// The old form is in the first word, else the new one in the second.
		if old := le.Uint32(in.iblock()); old != 0 {
			st.Major, st.Minor = old>>8&0xff, old&0xff
		} else {
			dev := le.Uint32(in.iblock()[4:])
			st.Major, st.Minor = dev>>8&0xfff, dev&0xff|dev>>12&0xfff00
		}
	}
	return st
}
