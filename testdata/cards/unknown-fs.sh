#!/bin/bash
# unknown-fs.sh OUT: an ext4 with an incompatible feature that nobody knows, as
# a future kernel may make it.
#
# Its bitmaps may mean anything: all of its bytes count as used, and no tool may
# grow, shrink or check it. Bit 30 of the incompatible features is not assigned
# in Linux 6.12.
. "$(dirname "$0")/lib.sh"
begin "$1" $((24 * MiB))
table <<END
label: dos
label-id: 0x6c6966f5
start=1MiB, size=16MiB, type=83
END
echo unknown | put etc/hostname
for i in $(seq 1 20); do text $((i * 500)) "file $i" | put "file-$i.txt"; done
# has_journal .. metadata_csum, and 0x40000000. The set above is 0x2c2.
ext4 $((1 * MiB)) $((16 * MiB)) 55555555-2222-3333-4444-555555555501 -L future <<END
set_super_value feature_incompat 0x400002c2
END
