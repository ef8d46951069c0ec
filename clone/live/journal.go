package live

import (
	"encoding/binary"

	"lifeboat/clone/extent"
)

// Superblock: Linux v6.12, fs/ext4/ext4.h, struct ext4_super_block.
const (
	superOff        = 1024
	superSize       = 1024
	offMagic        = 0x38
	offCompat       = 0x5c
	offJournalInode = 0xe0

	superMagic       = 0xef53
	compatHasJournal = 0x4
)

// ownJournals refuses a file system whose journal lies on another disk: without
// that it cannot be mounted.
func (s *Source) ownJournals() error {
	for _, p := range s.parts {
		if p.state != freezing {
			continue
		}
		b := make([]byte, superSize)
		if err := extent.ReadFull(s.disk, b, p.extent.Off+superOff); err != nil {
			return err
		}
		if foreignJournal(b) {
			return refuse("save the disk while its system does not run", "the journal of %s lies on another disk", p.name)
		}
	}
	return nil
}

func foreignJournal(super []byte) bool {
	le := binary.LittleEndian
	return le.Uint16(super[offMagic:]) == superMagic &&
		le.Uint32(super[offCompat:])&compatHasJournal != 0 && le.Uint32(super[offJournalInode:]) == 0
}
