#!/bin/bash
# fat-only.sh OUT: a card with one FAT16 part and no root: what cameras leave,
# and what one finds in a drawer.
#
# Files were removed again, so that clusters are free before and between those
# in use; the part does not reach the card's end.
. "$(dirname "$0")/lib.sh"
begin "$1" $((48 * MiB))
table <<END
label: dos
label-id: 0x6c6966fa
start=1MiB, size=40MiB, type=6
END
for i in $(seq 1 40); do text $((i * 3000)) "picture $i" | put "DCIM/100CANON/IMG_$i.JPG"; done
text 10 note | put 'A note about the pictures.txt'
fat $((1 * MiB)) $((40 * MiB)) -F 16 -s 4 -n CAMERA
for i in $(seq 1 3 40); do mdel -i "$card@@$((1 * MiB))" "::DCIM/100CANON/IMG_$i.JPG"; done
