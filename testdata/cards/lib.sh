# lib.sh: what the cards' scripts share. A card is a plain, sparse file: no
# root, loop device or mount is needed, and each ID and time is fixed, so its
# checksum is too. (mke2fs -d would be shorter, but its inodes keep the times of
# the moment: hence debugfs.)
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC MTOOLS_SKIP_CHECK=1
export SOURCE_DATE_EPOCH=1720000000 # 2024-07-03 09:46:40, all times on all cards
export E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH
PATH=$PATH:/usr/sbin:/sbin

# The tools that made the checksums in SHA256SUMS; others may lay out a card
# differently, and are right too.
made_with="mke2fs 1.47.0, sfdisk 2.38.1, mkfs.fat 4.2, mtools 4.0.32"

MiB=$((1 << 20))

# begin OUT SIZE: an empty card of SIZE bytes, and $tree, an empty folder to be
# filled with what a part holds.
begin() {
	card=$1
	rm -f "$card"
	truncate -s "$2" "$card"
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	tree=$work/tree
	mkdir "$tree"
}

# table < SCRIPT: cuts the card up as sfdisk's script says.
table() { sfdisk -q --no-reread --no-tell-kernel "$card"; }

# put FILE: standard input becomes a file of the tree.
put() {
	mkdir -p "$tree/$(dirname "$1")"
	cat >"$tree/$1"
}

# text BYTES WORD: that many bytes of text, the same each time, no two blocks
# alike.
text() { seq -f "$2 %.0f" 1 "$1" 2>/dev/null | head -c "$1" || true; }

# raw OFF: standard input goes to that place on the card.
raw() { dd of="$card" bs=64k oflag=seek_bytes seek="$1" conv=notrunc status=none; }

# list TYPE: the tree's paths of that type, in a fixed order.
list() { (cd "$tree" && find . -mindepth 1 -type "$1" | sed 's|^\./||' | sort); }

# fat OFF SIZE OPTION...: a FAT file system with the tree's content, which is
# then gone.
fat() {
	local off=$1 size=$2 path
	shift 2
	mkfs.vfat --invariant "$@" --offset $((off / 512)) "$card" $((size / 1024)) >"$work/log" 2>&1
	find "$tree" -exec touch -d @$SOURCE_DATE_EPOCH {} +
	list d | while read -r path; do mmd -i "$card@@$off" "::$path"; done
	list f | while read -r path; do mcopy -m -i "$card@@$off" "$tree/$path" "::$path"; done
	rm -rf "$tree"
	mkdir "$tree"
}

# ext4 OFF SIZE UUID OPTION...: an ext4 with the tree's content, which is then
# gone. Standard input is debugfs commands to be run on it at last, or empty.
ext4() {
	local off=$1 size=$2 uuid=$3
	shift 3
	mke2fs -q -t ext4 -b 4096 -I 256 -U "$uuid" -E "offset=$off,hash_seed=$uuid,lazy_itable_init=0,nodiscard" "$@" \
		-O none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum \
		"$card" $((size / 1024))k
	{ fill; cat; } >"$work/commands"
	debugfs -w -f "$work/commands" "$card?offset=$off" >"$work/log" 2>&1
	if grep -v -e '^debugfs' -e '^Allocated inode' "$work/log"; then
		echo "debugfs complained of $card" >&2
		exit 1
	fi
	rm -rf "$tree"
	mkdir "$tree"
}

# fill prints the debugfs commands that copy the tree.
fill() {
	local path field mode
	list d | while read -r path; do echo "mkdir \"$path\""; done
	list f | while read -r path; do echo "write \"$tree/$path\" \"$path\""; done
	list l | while read -r path; do echo "symlink \"$path\" \"$(readlink "$tree/$path")\""; done
	{ list d; list f; list l; echo lost+found; } | while read -r path; do
		for field in atime ctime mtime crtime; do
			echo "sif \"$path\" $field @$SOURCE_DATE_EPOCH"
			echo "sif \"$path\" ${field}_extra 0"
		done
		for field in generation uid gid; do echo "sif \"$path\" $field 0"; done
	done
	list f | while read -r path; do
		mode=$(stat -c %a "$tree/$path")
		printf 'sif "%s" mode 0%o\n' "$path" $((0100000 | 0$mode))
	done
	echo "sif / generation 0"
}
