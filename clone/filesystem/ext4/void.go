package ext4

import (
	"bytes"
	"encoding/binary"

	"lifeboat/clone/extent"
)

// The superblock's copy of the journal's inode: Linux v6.12, fs/ext4/ext4.h,
// s_jnl_backup_type and s_jnl_blocks; e2fsprogs 1.47.2, lib/ext2fs/ext2_fs.h,
// EXT3_JNL_BACKUP_BLOCKS: its i_block, then the upper and the lower half of its
// size.
const (
	offJournalBackup = 0xfd
	offJournalBlocks = 0x10c

	journalBackupBlocks = 1
)

// Void is the set of bytes that are in use and hold nothing: the body of a journal
// that is empty. No replay reads it, and the next mount writes it anew; a copy may
// have zeros there. The journal's superblock is not among them.
//
// It is empty where anything is doubtful, and where the superblock's copy does not
// bear out where the journal lies: zeros are for nobody's data.
func (f *FS) Void() extent.Set {
	j := f.journal
	if j == nil || f.log != nil || j.start != 0 || f.doubt() != nil || !j.backedUp() {
		return nil
	}
	bs := j.v.sb.block
	var body []extent.Extent
	for _, r := range j.m.runs {
		if r.at == 0 { // the journal's superblock
			r.disk, r.count = r.disk+1, r.count-1
		}
		body = append(body, extent.Extent{Off: r.disk * bs, Len: r.count * bs})
	}
	return extent.Of(body...)
}

// backedUp tells whether the superblock's copy of the journal's inode is equal to
// it.
func (j *journal) backedUp() bool {
	super, le := j.v.sb.raw, binary.LittleEndian
	kept := super[offJournalBlocks:][:iblockSize+8]
	high, low := le.Uint32(kept[iblockSize:]), le.Uint32(kept[iblockSize+4:])
	return super[offJournalBackup] == journalBackupBlocks &&
		bytes.Equal(kept[:iblockSize], j.in.iblock()) && int64(high)<<32|int64(low) == j.in.size
}
