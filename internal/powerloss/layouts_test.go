package powerloss_test

// A layoutCase is a file system that a kernel writes to until its power fails.
type layoutCase struct {
	Name    string
	Args    string // of mke2fs
	Options string // of mount
	Why     string // a word of why all bytes are copied; "" = used blocks
	Journal string // arguments of mke2fs for a part of its own that holds the journal
}

// layouts are those of the campaign; the first shortLayouts are enough for a
// look.
var layouts = []layoutCase{
	{Name: "4k", Args: "-t ext4 -b 4096 -g 2048 -J size=4"},
	{Name: "raspios", Args: "-t ext4 -b 4096 -J size=4 -O ^64bit,^metadata_csum,^huge_file"},
	{Name: "1k", Args: "-t ext4 -b 1024 -J size=1"},
	{Name: "fast_commit", Args: "-t ext4 -b 4096 -J size=6 -O fast_commit", Why: "fast commit"},
	{Name: "2k 32 bit", Args: "-t ext4 -b 2048 -J size=2 -O ^64bit"},
	{Name: "ext3", Args: "-t ext3 -b 1024 -J size=1"},
	{Name: "ext3 4k", Args: "-t ext3 -b 4096 -J size=4 -O ^dir_index,^resize_inode"},
	{Name: "v1 sums", Args: "-t ext4 -b 1024 -J size=2 -O ^metadata_csum,^64bit", Options: "journal_checksum"},
	{Name: "v1 sums async", Args: "-t ext4 -b 4096 -J size=4 -O ^metadata_csum", Options: "journal_async_commit,data=writeback"},
	{Name: "v3 async", Args: "-t ext4 -b 2048 -J size=2", Options: "journal_async_commit,data=writeback"},
	{Name: "data journal", Args: "-t ext4 -b 1024 -J size=8", Options: "data=journal"},
	{Name: "data journal 4k", Args: "-t ext4 -b 4096 -J size=8 -O ^metadata_csum,^64bit", Options: "data=journal"},
	{Name: "trixie", Args: "-t ext4 -b 4096 -g 4096 -J size=4 -O orphan_file,metadata_csum_seed"},
	{Name: "bigalloc", Args: "-t ext4 -b 1024 -C 8192 -J size=2 -O bigalloc"},
	{Name: "meta_bg", Args: "-t ext4 -b 1024 -g 1024 -J size=2 -O meta_bg,^resize_inode"},
	{Name: "inline data", Args: "-t ext4 -b 4096 -J size=4 -O inline_data"},
	{Name: "uninit groups", Args: "-t ext4 -b 1024 -g 2048 -J size=2 -O ^metadata_csum,uninit_bg,^flex_bg"},
	{Name: "sparse_super2", Args: "-t ext4 -b 1024 -J size=2 -O sparse_super2,^resize_inode"},
	{Name: "large folders", Args: "-t ext4 -b 1024 -I 128 -J size=4 -O large_dir,ea_inode"},
	{Name: "no journal", Args: "-t ext4 -b 4096 -O ^has_journal", Why: "not cleanly unmounted"},
	{Name: "external journal", Args: "-t ext4 -b 4096", Journal: "-b 4096 -O journal_dev", Why: "another disk"},
}

const shortLayouts = 4
