package ext4

import (
	"encoding/binary"
	"slices"
)

// Inode: Linux v6.12, fs/ext4/ext4.h, struct ext4_inode.
const (
	offATime      = 0x8
	offFileACL    = 0x68
	offFileACLHi  = 0x76
	offATimeExtra = 0x8c
)

// steady is the inode without what changes by itself: the access time and the
// checksum over it. An inode that holds an attribute's value keeps its hash there.
func (in *inode) steady() []byte {
	raw := slices.Clone(in.raw)
	if in.flags&flagEAInode == 0 {
		clear(raw[offATime : offATime+4])
		if in.has(offATimeExtra + 4) {
			clear(raw[offATimeExtra : offATimeExtra+4])
		}
	}
	clear(raw[offInodeCsum : offInodeCsum+2])
	if in.has(offInodeCsumHi + 2) {
		clear(raw[offInodeCsumHi : offInodeCsumHi+2])
	}
	return raw
}

// fileACL is the block of its extended attributes; 0 = none.
func (in *inode) fileACL() int64 {
	le := binary.LittleEndian
	return int64(le.Uint32(in.raw[offFileACL:])) | int64(le.Uint16(in.raw[offFileACLHi:]))<<32
}

// hasMap tells whether the inode's pointers lead to blocks.
func (in *inode) hasMap() bool {
	switch {
	case in.flags&flagInlineData != 0:
		return false
	case in.isSymlink():
		return in.size >= iblockSize || in.flags&flagExtents != 0
	}
	return in.isRegular() || in.isDir()
}
