#!/bin/bash
# swap-behind-root.sh OUT: the root cannot grow where it lies: a swap part is
# behind it.
#
# MBR, FAT32 boot, ext4 root, swap that fstab names by UUID. Swap holds nothing
# that is worth a copy; it is made anew, with the same UUID and label.
. "$(dirname "$0")/lib.sh"
begin "$1" $((128 * MiB))
disk_id=6c69665a
swap=66666666-2222-3333-4444-555555555503
table <<END
label: dos
label-id: 0x$disk_id
start=4MiB, size=40MiB, type=c
start=44MiB, size=60MiB, type=83
start=104MiB, size=20MiB, type=82
END

put cmdline.txt <<END
console=tty1 root=PARTUUID=$disk_id-02 rootfstype=ext4 rootwait resume=UUID=$swap
END
echo 'arm_64bit=1' | put config.txt
text 50000 kernel | put kernel8.img
fat $((4 * MiB)) $((40 * MiB)) -F 32 -s 1 -n bootfs

put etc/fstab <<END
PARTUUID=$disk_id-01  /boot/firmware  vfat  defaults          0  2
PARTUUID=$disk_id-02  /               ext4  defaults,noatime  0  1
UUID=$swap  none  swap  sw  0  0
END
echo raspberrypi | put etc/hostname
mkdir -p "$tree"/{boot/firmware,dev,proc,sys,run,tmp}
for i in $(seq 1 40); do text $((i * 200)) "file $i" | put "usr/share/file-$i.txt"; done
ext4 $((44 * MiB)) $((60 * MiB)) 66666666-2222-3333-4444-555555555502 -L rootfs <<<''

truncate -s $((20 * MiB)) "$work/swap"
mkswap -q -U $swap -L swap "$work/swap"
text 200000 'swapped out long ago' | dd of="$work/swap" bs=4096 seek=1 conv=notrunc status=none
raw $((104 * MiB)) <"$work/swap"
