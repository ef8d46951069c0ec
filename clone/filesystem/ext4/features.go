package ext4

import "fmt"

// Features: Linux v6.12, fs/ext4/ext4.h, EXT4_FEATURE_*.
const (
	compatHasJournal   = 0x4
	compatSparseSuper2 = 0x200

	incompatFileType   = 0x2
	incompatRecover    = 0x4
	incompatJournalDev = 0x8
	incompatMetaBG     = 0x10
	incompatExtents    = 0x40
	incompat64Bit      = 0x80
	incompatCsumSeed   = 0x2000
	incompatLargeDir   = 0x4000

	roSparseSuper  = 0x1
	roLargeFile    = 0x2
	roBtreeDir     = 0x4
	roGDTCsum      = 0x10
	roBigalloc     = 0x200
	roMetadataCsum = 0x400
	roSharedBlocks = 0x4000
)

// What libblkid takes for the sets that ext2 and ext3 understand.
const (
	ext3Incompat = incompatFileType | incompatRecover | incompatMetaBG
	ext3RO       = roSparseSuper | roLargeFile | roBtreeDir
)

// A feature is one bit that we know the meaning of. The names are those of
// e2fsprogs, lib/e2p/feature.c.
type feature struct {
	bit  uint32
	name string
}

var (
	compatFeatures = []feature{
		{0x1, "dir_prealloc"}, {0x2, "imagic_inodes"}, {0x4, "has_journal"}, {0x8, "ext_attr"},
		{0x10, "resize_inode"}, {0x20, "dir_index"}, {0x200, "sparse_super2"}, {0x400, "fast_commit"},
		{0x800, "stable_inodes"}, {0x1000, "orphan_file"},
	}
	incompatFeatures = []feature{
		{0x2, "filetype"}, {0x4, "needs_recovery"}, {0x8, "journal_dev"}, {0x10, "meta_bg"},
		{0x40, "extent"}, {0x80, "64bit"}, {0x100, "mmp"}, {0x200, "flex_bg"}, {0x400, "ea_inode"},
		{0x2000, "metadata_csum_seed"}, {0x4000, "large_dir"}, {0x8000, "inline_data"},
		{0x10000, "encrypt"}, {0x20000, "casefold"},
	}
	roFeatures = []feature{
		{0x1, "sparse_super"}, {0x2, "large_file"}, {0x8, "huge_file"}, {0x10, "uninit_bg"},
		{0x20, "dir_nlink"}, {0x40, "extra_isize"}, {0x100, "quota"}, {0x200, "bigalloc"},
		{0x400, "metadata_csum"}, {0x1000, "read-only"}, {0x2000, "project"},
		{0x4000, "shared_blocks"}, {0x8000, "verity"}, {0x10000, "orphan_present"},
	}
)

// names lists the bits of set; an unknown one gets the name that e2fsprogs would
// give it, from its word's letter.
func names(set uint32, known []feature, word string) (all, unknown []string) {
	for i := range 32 {
		bit := uint32(1) << i
		if set&bit == 0 {
			continue
		}
		name := ""
		for _, f := range known {
			if f.bit == bit {
				name = f.name
			}
		}
		if name == "" {
			name = fmt.Sprintf("FEATURE_%s%d", word, i)
			unknown = append(unknown, name)
		}
		all = append(all, name)
	}
	return all, unknown
}

func (s *super) featureNames() []string {
	compat, _ := names(s.compat, compatFeatures, "C")
	incompat, _ := names(s.incompat, incompatFeatures, "I")
	ro, _ := names(s.ro, roFeatures, "R")
	return append(append(compat, incompat...), ro...)
}

// unknownFeatures are those that may give the map another meaning: bigalloc was
// once an unknown read-only feature, and sparse_super2 an unknown compatible
// one.
func (s *super) unknownFeatures() []string {
	_, compat := names(s.compat, compatFeatures, "C")
	_, incompat := names(s.incompat, incompatFeatures, "I")
	_, ro := names(s.ro, roFeatures, "R")
	return append(append(compat, incompat...), ro...)
}

// kind is the file system's type in the words of blkid.
func (s *super) kind() string {
	switch {
	case s.incompat&incompatJournalDev != 0:
		return "jbd"
	case s.incompat&^ext3Incompat != 0 || s.ro&^ext3RO != 0:
		return "ext4"
	case s.compat&compatHasJournal != 0:
		return "ext3"
	}
	return "ext2"
}
