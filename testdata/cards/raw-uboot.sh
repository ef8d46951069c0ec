#!/bin/bash
# raw-uboot.sh OUT: an Allwinner board's card, as Armbian makes it: the boot
# loader lies in the gap before the first part, and one ext4 holds all else.
#
# eGON header at 8 KiB (sector 16), U-Boot behind it at 40 KiB, its environment
# at 544 KiB, the part at 4 MiB. A clone without the gap does not boot, and shows
# nothing at all.
. "$(dirname "$0")/lib.sh"
begin "$1" $((96 * MiB))
root=77777777-2222-3333-4444-555555555501
table <<END
label: dos
label-id: 0x6c69667b
start=4MiB, size=88MiB, type=83
END
{ printf '\x16\x00\x00\xeaeGON.BT0'; text 24000 spl; } | raw $((8 * 1024))
text 400000 u-boot | raw $((40 * 1024))
printf '\xde\xad\xbe\xefbootdelay=1\0bootcmd=run distro_bootcmd\0\0' | raw $((544 * 1024))

put boot/armbianEnv.txt <<END
verbosity=1
console=serial
overlay_prefix=sun8i-h3
rootdev=UUID=$root
rootfstype=ext4
END
text 3000 script | put boot/boot.scr
text 60000 kernel | put boot/vmlinuz-6.12-sunxi
ln -s vmlinuz-6.12-sunxi "$tree/boot/zImage"
text 9000 dtb | put boot/dtb/sun8i-h3-orangepi-pc.dtb
put etc/fstab <<END
UUID=$root / ext4 defaults,noatime,commit=600,errors=remount-ro 0 1
tmpfs /tmp tmpfs defaults,nosuid 0 0
END
echo orangepi | put etc/hostname
mkdir -p "$tree"/{dev,proc,sys,run,tmp}
for i in $(seq 1 60); do text $((i * 100)) "file $i" | put "usr/share/file-$i.txt"; done
ext4 $((4 * MiB)) $((88 * MiB)) $root -L armbi_root <<<''
