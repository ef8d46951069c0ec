#!/bin/bash
# debian-card.sh OUT SIZE [NONCE]: a card with a real Debian for arm64, as a
# Raspberry Pi's is made up: MBR, FAT32 boot part, ext4 root, all references by
# PARTUUID. Its disk ID is a new one each time. SIZE is in bytes, or as in 2G.
#
# "virt" of QEMU boots it with U-Boot, as an NVMe disk: power on, U-Boot,
# extlinux.conf, kernel, systemd, login. Before the login prompt its console says
#   NONCE nonce ROOTSIZE bytes DISKSIZE bytes DISK serial
# with NONCE's text (/etc/nonce), the size of the root file system and of the
# disk that it runs from. root logs in without a password.
#
# It needs root, for the owners of files. The second run takes seconds: what is
# slow is kept by testdata/need.sh.
set -euo pipefail
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
card=${1:?debian-card.sh OUT SIZE [NONCE]}
size=$(numfmt --from=iec "${2:?debian-card.sh OUT SIZE [NONCE]}")
nonce=${3:-$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')}
[ "$(id -u)" = 0 ] || { echo "debian-card.sh: needs root, for the owners of files" >&2; exit 1; }

need=$(dirname "$0")/need.sh
MiB=$((1 << 20))
boot_off=$((4 * MiB)) boot_size=$((128 * MiB))
root_off=$((boot_off + boot_size)) root_size=$((size - boot_off - boot_size))
[ $root_size -ge $((700 * MiB)) ] || { echo "debian-card.sh: $size bytes are too few" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root boot=$work/boot
mkdir -p "$root" "$boot/extlinux"

# The system, and the kernel's files out of its package.
"$need" debs
tar -C "$root" --zstd -xpf "$("$need" root)"
dpkg-deb -x "$("$need" cache)"/debs/linux-image-*-cloud-arm64_*.deb "$work/kernel"
version=$(ls "$work"/kernel/boot | sed -n 's/^vmlinuz-//p')
modules=$(find "$work/kernel" -type d -path "*lib/modules/$version")
mkdir -p "$root/usr/lib/modules"
cp -a "$modules" "$root/usr/lib/modules/"
depmod -b "$root" "$version"

# Who it is.
disk_id=$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')
echo raspberrypi >"$root/etc/hostname"
echo "127.0.0.1 localhost raspberrypi" >"$root/etc/hosts"
od -An -N16 -tx8 /dev/urandom | tr -d ' \n' >"$root/etc/machine-id"
echo >>"$root/etc/machine-id"
echo "$nonce" >"$root/etc/nonce"
sed -i 's/^root:[^:]*:/root::/' "$root/etc/shadow"
mkdir -p "$root/boot/firmware"
# On a slow host udev may need longer than systemd's 90 s for an emulated disk.
cat >"$root/etc/fstab" <<END
proc            /proc           proc    defaults          0       0
PARTUUID=$disk_id-01  /boot/firmware  vfat    defaults,x-systemd.device-timeout=15min  0       2
PARTUUID=$disk_id-02  /               ext4    defaults,noatime  0       1
END

# What it says before the login prompt.
cat >"$root/usr/local/sbin/say-nonce" <<'END'
#!/bin/sh
part=$(findmnt -no SOURCE /)
disk=/dev/$(lsblk -ndo PKNAME "$part")
echo "NONCE $(cat /etc/nonce) ROOTSIZE $(findmnt -bno SIZE /) DISKSIZE $(lsblk -bndo SIZE "$disk") DISK $(lsblk -ndo SERIAL "$disk")"
END
chmod 755 "$root/usr/local/sbin/say-nonce"
cat >"$root/etc/systemd/system/say-nonce.service" <<END
[Unit]
Description=Say which card this is
Before=serial-getty@ttyAMA0.service
After=local-fs.target

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/say-nonce
StandardOutput=tty
TTYPath=/dev/ttyAMA0

[Install]
WantedBy=multi-user.target
END
mkdir -p "$root/etc/systemd/system/multi-user.target.wants" "$root/etc/systemd/network"
ln -sf ../say-nonce.service "$root/etc/systemd/system/multi-user.target.wants/"
printf '[Match]\nName=e*\n\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/wired.network"
ln -sf /lib/systemd/system/systemd-networkd.service "$root/etc/systemd/system/multi-user.target.wants/"

# How it starts.
cp "$work/kernel/boot/vmlinuz-$version" "$boot/vmlinuz"
echo "console=ttyAMA0 root=PARTUUID=$disk_id-02 rootfstype=ext4 rootwait rw" >"$boot/cmdline.txt"
printf 'arm_64bit=1\nkernel=vmlinuz\n' >"$boot/config.txt"
cat >"$boot/extlinux/extlinux.conf" <<END
default debian
timeout 1
label debian
  linux /vmlinuz
  append console=ttyAMA0 root=PARTUUID=$disk_id-02 rootwait rw
END

# The card.
rm -f "$card"
truncate -s "$size" "$card"
sfdisk -q --no-reread --no-tell-kernel "$card" <<END
label: dos
label-id: 0x$disk_id
start=4MiB, size=128MiB, type=c, bootable
start=132MiB, type=83
END
mkfs.vfat -F 32 -s 2 -n BOOTFS --offset $((boot_off / 512)) "$card" $((boot_size / 1024)) >"$work/log" 2>&1 ||
	{ cat "$work/log" >&2; exit 1; }
mcopy -s -m -i "$card@@$boot_off" "$boot"/* ::
mke2fs -q -t ext4 -L rootfs -d "$root" -E "offset=$root_off" "$card" $((root_size / 1024))k
echo "$nonce"
