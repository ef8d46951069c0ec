#!/bin/bash
# gpt-fat-ext4.sh OUT: a card with a GUID partition table, as boards with U-Boot
# or EFI have it.
#
# An EFI system part (FAT32) with extlinux.conf, a root (ext4); both are named
# by PARTUUID and by UUID. The table has a backup at the card's end, which must
# move when the card grows; numbers 1 and 3: there is no part 2.
. "$(dirname "$0")/lib.sh"
begin "$1" $((128 * MiB))
boot=0fc63daf-0000-4000-8000-000000000001
root=0fc63daf-0000-4000-8000-000000000003
fsid=33333333-2222-3333-4444-555555555503
table <<END
label: gpt
label-id: 6c696665-b0a7-4000-8000-6c696665b0a7
1 : start=1MiB, size=40MiB, type=c12a7328-f81f-11d2-ba4b-00a0c93ec93b, uuid=$boot, name="EFI system"
3 : start=41MiB, size=80MiB, type=b921b045-1df0-41c3-af44-4c6f280d3fae, uuid=$root, name="root", attrs="GUID:59"
END

put extlinux/extlinux.conf <<END
default l0
timeout 1
label l0
  linux /vmlinuz
  append console=ttyAMA0 root=PARTUUID=$root rootwait rw
END
text 90000 kernel | put vmlinuz
text 20000 efi | put EFI/BOOT/BOOTAA64.EFI
fat $((1 * MiB)) $((40 * MiB)) -F 32 -s 1 -i 1234ABCE -n EFI

put etc/fstab <<END
UUID=$fsid  /          ext4  defaults,errors=remount-ro  0  1
UUID=1234-ABCE  /boot/efi  vfat  umask=0077                0  2
END
echo board | put etc/hostname
mkdir -p "$tree"/{boot/efi,dev,proc,sys,run,tmp}
for i in $(seq 1 60); do text $((i * 120)) "file $i" | put "usr/share/file-$i.txt"; done
ext4 $((41 * MiB)) $((80 * MiB)) $fsid -L root <<<''
