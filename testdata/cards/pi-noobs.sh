#!/bin/bash
# pi-noobs.sh OUT: a card that NOOBS or PINN set up: the system lies in logical
# parts, and holes lie between them.
#
# MBR with a FAT16 RECOVERY part, an extended part, in it settings (ext4), boot
# (FAT32, number 6) and root (ext4, number 7), each behind a gap with its link
# sector. Here numbers, extended boot records and PARTUUIDs above -04 matter.
. "$(dirname "$0")/lib.sh"
begin "$1" $((160 * MiB))
disk_id=6c696e62
table <<END
label: dos
label-id: 0x$disk_id
1 : start=4MiB, size=16MiB, type=e
2 : start=24MiB, size=136MiB, type=5
5 : start=28MiB, size=16MiB, type=83
6 : start=48MiB, size=40MiB, type=c
7 : start=92MiB, size=64MiB, type=83
END

text 20000 recovery | put recovery.img
echo 'runinstaller quiet' | put recovery.cmdline
text 4000 os | put os/raspios/os.json
fat $((4 * MiB)) $((16 * MiB)) -F 16 -n RECOVERY

echo '{"installed_os": [{"name": "Raspberry Pi OS", "partitions": ["/dev/mmcblk0p6", "/dev/mmcblk0p7"]}]}' | put installed_os.json
ext4 $((28 * MiB)) $((16 * MiB)) 22222222-2222-3333-4444-555555555505 -L SETTINGS <<<''

put cmdline.txt <<END
console=serial0,115200 console=tty1 root=PARTUUID=$disk_id-07 rootfstype=ext4 fsck.repair=yes rootwait
END
echo 'arm_64bit=1' | put config.txt
text 50000 kernel | put kernel8.img
text 3000 overlay | put overlays/vc4-kms-v3d.dtbo
fat $((48 * MiB)) $((40 * MiB)) -F 32 -s 1 -n boot

put etc/fstab <<END
proc            /proc           proc    defaults          0       0
PARTUUID=$disk_id-06  /boot/firmware  vfat    defaults          0       2
PARTUUID=$disk_id-07  /               ext4    defaults,noatime  0       1
END
echo raspberrypi | put etc/hostname
mkdir -p "$tree"/{boot/firmware,dev,proc,sys,run,tmp}
for i in $(seq 1 60); do text $((i * 100)) "file $i" | put "usr/share/file-$i.txt"; done
ext4 $((92 * MiB)) $((64 * MiB)) 22222222-2222-3333-4444-555555555507 -L root <<<''
