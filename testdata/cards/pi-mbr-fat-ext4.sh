#!/bin/bash
# pi-mbr-fat-ext4.sh OUT: a card as Raspberry Pi OS leaves it, in small.
#
# MBR, FAT32 boot part (long names, overlays, cmdline.txt and config.txt), ext4
# root that fstab and cmdline.txt name by PARTUUID, a few hundred files: deep
# and wide folders, hard links, both kinds of symlinks, a sparse file, unwritten
# and zero blocks, a device node, extended attributes, odd names. The card that
# most tests stand on.
. "$(dirname "$0")/lib.sh"
begin "$1" $((128 * MiB))
disk_id=6c696665
table <<END
label: dos
label-id: 0x$disk_id
start=4MiB, size=40MiB, type=c
start=44MiB, size=84MiB, type=83
END

put cmdline.txt <<END
console=serial0,115200 console=tty1 root=PARTUUID=$disk_id-02 rootfstype=ext4 fsck.repair=yes rootwait quiet splash
END
put config.txt <<END
# For more options and information see
# http://rptl.io/configtxt
dtparam=audio=on
arm_64bit=1
[cm4]
otg_mode=1
[all]
enable_uart=1
END
text 150000 kernel | put kernel8.img
text 30000 start | put start4.elf
text 5000 fixup | put fixup4.dat
text 27000 dtb | put bcm2710-rpi-3-b.dtb
text 28000 dtb | put bcm2711-rpi-4-b.dtb
text 900 readme | put overlays/README
for o in vc4-kms-v3d disable-bt miniuart-bt gpio-shutdown i2c-rtc; do
	text 1200 $o | put overlays/$o.dtbo
done
: | put overlays/empty.dtbo
fat $((4 * MiB)) $((40 * MiB)) -F 32 -s 1 -n bootfs

put etc/fstab <<END
proc            /proc           proc    defaults          0       0
PARTUUID=$disk_id-01  /boot/firmware  vfat    defaults          0       2
PARTUUID=$disk_id-02  /               ext4    defaults,noatime  0       1
END
echo raspberrypi | put etc/hostname
echo 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"' | put usr/lib/os-release
mkdir -p "$tree"/{boot/firmware,dev,proc,sys,run,tmp,mnt,var/log,a/b/c/d/e/f/g/h}
for i in $(seq 1 200); do
	text $((i * i % 9000)) "file $i" | put "usr/share/doc/package-$((i % 20))/file-$i.txt"
done
for i in $(seq 1 120); do text 40 "$i" | put "var/lib/wide/a-rather-long-name-in-one-wide-folder-$i"; done
text 300000 log | put var/log/syslog
text 100 secret | put etc/shadow
chmod 640 "$tree/etc/shadow"
text 800 tool | put usr/bin/tool
chmod 4755 "$tree/usr/bin/tool"
text 200 deep | put a/b/c/d/e/f/g/h/leaf
text 50 odd | put 'home/pi/Ünïcödé – ñame with spaces'
: | put home/pi/empty
head -c 200000 /dev/zero | put home/pi/zeros
{ text 5000 head; head -c 9000000 /dev/zero; text 5000 tail; } | put home/pi/sparse
ln -s ../usr/lib/os-release "$tree/etc/os-release"
ln -s "/$(printf 'long/%.0s' $(seq 1 20))target" "$tree/home/pi/slow-symlink"
ext4 $((44 * MiB)) $((84 * MiB)) 11111111-2222-3333-4444-555555555502 -L rootfs <<END
ln usr/bin/tool usr/bin/same-tool
sif usr/bin/tool links_count 2
write /dev/null home/pi/unwritten
fallocate home/pi/unwritten 0 99
sif home/pi/unwritten size 409600
sif home/pi/unwritten mode 0100644
sif home/pi/unwritten generation 0
cd dev
mknod null c 1 3
sif null generation 0
cd /
ea_set home/pi/empty user.comment "kept beside the file"
set_super_value lastcheck $SOURCE_DATE_EPOCH
END
