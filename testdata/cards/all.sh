#!/bin/bash
# all.sh: makes the committed cards anew, NAME.img.zst and SHA256SUMS (of the
# unpacked cards). "all.sh versions" tells which tools made them, and which are
# here.
. "$(dirname "$0")/lib.sh"
cd "$(dirname "$0")"

if [ "${1-}" = versions ]; then
	echo "$made_with"
	echo "$(mke2fs -V 2>&1 | awk '/^mke2fs/ { print $1, $2 }')," \
		"$(sfdisk --version | awk '{ print $1, $NF }')," \
		"$(mkfs.vfat 2>&1 | awk '/^mkfs.fat/ { print $1, $2 }')," \
		"$(mcopy --version | awk 'NR == 1 { print "mtools", $NF }')"
	exit
fi

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for script in *.sh; do
	case $script in lib.sh | all.sh) continue ;; esac
	name=${script%.sh}
	./"$script" "$out/$name.img"
	zstd -q -f -19 --no-progress "$out/$name.img" -o "$name.img.zst"
done
(cd "$out" && sha256sum *.img) >SHA256SUMS
