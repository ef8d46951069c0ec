#!/bin/bash
# need.sh: installs what tests and demo need on a fresh Debian 12, and fetches
# the packages for arm64 and armhf that the emulated boards boot.
#
#   need.sh test       all that "make test" uses
#   need.sh demo       only what the demo uses
#   need.sh debs       arm64 packages into debs of the cache, those for boards of
#                      32 bits into debs-armhf
#   need.sh root       a small Debian for arm64 with systemd, as an archive in
#                      the cache; prints its name
#   need.sh broken     e2fsprogs' own broken images, out of its source package;
#                      prints the folder with one folder for each
#   need.sh cache      prints where the cache is
#
# The cache is $LIFEBOAT_CACHE, else lifeboat in the user's cache folder.
#
# It can be run again at any time; where all is there it takes under a second,
# changes nothing and needs no rights. Every name that moves with time (kernel
# versions, suites) stands in this file and in no other.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

cache=${LIFEBOAT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lifeboat}
suite=bookworm
kernel='6\.[0-9.]+\+deb12' # a kernel's version in its package's name; the newest is taken
sources=/etc/apt/sources.list.d/lifeboat.sources
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Cards and disks: what makes them, and what judges ours.
cards="mtools dosfstools e2fsprogs fdisk gdisk parted f2fs-tools btrfs-progs zstd xz-utils bzip2 pigz zip unzip cpio dmsetup file mount"
# Boards and guests. The Raspberry Pi 4 of QEMU is younger than Debian 12.
boards="kmod device-tree-compiler mmdebstrap qemu-user-static binfmt-support arch-test dnsmasq-base socat iproute2 tcpdump u-boot-qemu u-boot-tools"
backports="qemu-system-arm qemu-system-x86"
backports_min=1:9.0
toolchain="gcc libc6-dev git make" # for the race detector, guests, and the house rules
guests="user-mode-linux uml-utilities e2fsck-static"
# The server that SFTP is tested with. Tests start one of their own, on the
# loopback; see keep_ssh_off.
servers="openssh-server openssh-client"
# Other people's tools that read what we write, and write what we read.
peers="partclone bmap-tools casync restic rsync minisign tmux expect time"
# What a nightly run meets: its hooks' judge, its metrics' reader, its units' judge, its destinations.
nightly="shellcheck dash python3-prometheus-client systemd sshfs openssh-server"

# What the rescue image of a Raspberry Pi is made of, beside the two kernels.
firmware=raspi-firmware
arm64_debs="e2fsprogs libext2fs2 libcom-err2 libss2 libblkid1 libuuid1 libc6 dosfstools"
armhf_debs="u-boot-sunxi $arm64_debs"

# The Debian of testdata/debian-card.sh; its kernel comes out of the packages.
root_packages="systemd systemd-sysv udev dbus kmod e2fsprogs dosfstools login passwd iproute2"

say() { echo "need.sh: $*" >&2; }
die() { say "$*"; exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# retry runs a command again while the mirror is being renewed: then lists and
# packages do not fit each other, or apt-get update has left some lists out and
# called that success.
retry() {
	local i
	for i in 1 2 3 4; do
		"$@" && return
		say "again in 15 s: $*"
		sleep 15
		as_root apt-get -qq update || true
	done
	"$@"
}

# have tells whether all packages are installed.
have() {
	local p
	for p; do
		dpkg-query -W -f '${Status}\n' "$p" 2>/dev/null | grep -q 'ok installed' || return 1
	done
}

have_backports() {
	local p
	for p in $backports; do
		have "$p" && dpkg --compare-versions "$(dpkg-query -W -f '${Version}' "$p")" ge $backports_min || return 1
	done
}

# mirror prints where this machine gets its Debian from: no host's name stands
# in our files.
mirror() {
	apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
		awk -v suite=$suite '$2 == suite && $3 == "main" { print $1; exit }'
}

# add_sources names backports and the firmware's component at the mirror, and
# the boards' architecture.
add_sources() {
	local uri
	uri=$(mirror)
	[ -n "$uri" ] || die "this is not Debian 12 ($suite), or its lists were never read (apt-get update)"
	say "names $suite-backports and non-free-firmware in $sources, and the architecture arm64"
	as_root tee $sources >/dev/null <<-END
		# Written by testdata/need.sh of lifeboat, for its tests.
		Types: deb
		URIs: $uri
		Suites: $suite-backports
		Components: main
		Signed-By: $keyring

		Types: deb
		URIs: $uri
		Suites: $suite
		Components: non-free-firmware
		Signed-By: $keyring
	END
	as_root dpkg --add-architecture arm64
}

# update reads the mirror's lists, once a run.
updated=
update() {
	[ -z "$updated" ] || return 0
	if ! [ -f $sources ] || ! dpkg --print-foreign-architectures | grep -qx arm64; then
		retry as_root apt-get -qq update # the mirror is known only by its lists
		add_sources
	fi
	retry as_root apt-get -qq update
	updated=yes
}

install_all() {
	local p missing=
	command -v apt-get >/dev/null || die "this is not Debian 12 ($suite): install by hand: $* $backports"
	for p; do have "$p" || missing+=" $p"; done
	if [ -n "$missing" ]; then
		say "installs:$missing"
		update
		retry as_root apt-get -qq install -y --no-install-recommends $missing >/dev/null
	fi
	if ! have_backports; then
		say "installs from $suite-backports: $backports"
		update
		retry as_root apt-get -qq install -y --no-install-recommends -t $suite-backports $backports >/dev/null
	fi
	emulate
}

# keep_ssh_off: a package that tests want must not open a machine to others.
keep_ssh_off() {
	have openssh-server || [ ! -d /run/systemd/system ] || as_root systemctl mask ssh.service ssh.socket
}

# emulate lets this kernel start arm64 programs through qemu-user: mmdebstrap
# configures a Debian for the board with them. In a container nobody else does.
emulate() {
	local fs=/proc/sys/fs/binfmt_misc
	[ ! -e $fs/qemu-aarch64 ] || return 0
	say "registers qemu-aarch64 in binfmt_misc"
	[ -e $fs/status ] || as_root mount -t binfmt_misc binfmt_misc $fs
	as_root update-binfmts --import qemu-aarch64 >/dev/null 2>&1 || true
	[ -e $fs/qemu-aarch64 ] || as_root update-binfmts --enable qemu-aarch64
}

# newest NAME [OPTION...] prints the newest package whose name matches.
newest() {
	local name=$1
	shift
	apt-cache "$@" search --names-only "^$name\$" | cut -d' ' -f1 | sort -V | tail -1
}

fetch_debs() {
	local dir=$cache/debs full cloud p names=$firmware
	[ ! -e "$dir/complete" ] || return 0
	update
	full=$(newest "linux-image-${kernel}-arm64")
	cloud=$(newest "linux-image-${kernel}-cloud-arm64")
	[ -n "$full" ] && [ -n "$cloud" ] || die "no kernel linux-image-${kernel}-arm64 at the mirror"
	for p in $full $cloud $arm64_debs; do names+=" $p:arm64"; done
	say "fetches into $dir:$names"
	rm -rf "$dir.new"
	mkdir -p "$dir.new"
	(cd "$dir.new" && retry apt-get -qq -o APT::Sandbox::User="$(id -un)" download $names)
	touch "$dir.new/complete"
	rm -rf "$dir"
	mv "$dir.new" "$dir"
}

# fetch_armhf does it for boards of 32 bits, by lists of its own: nothing of that
# architecture is installed, so the machine need not know it.
fetch_armhf() {
	local dir=$cache/debs-armhf uri armmp
	[ ! -e "$dir/complete" ] || return 0
	uri=$(mirror)
	[ -n "$uri" ] || { update; uri=$(mirror); }
	rm -rf "$dir.new"
	mkdir -p "$dir.new"/apt/{lists,archives}/partial
	(
		cd "$dir.new"
		printf "deb [arch=armhf signed-by=$keyring] $uri %s main\n" $suite $suite-backports >apt/sources.list
		options=(-qq -o "Dir::Etc::SourceList=$PWD/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$PWD/apt/lists"
			-o Dir::State::Status=/dev/null -o "Dir::Cache=$PWD/apt" -o APT::Architectures::=armhf -o APT::Sandbox::User="$(id -un)")
		retry apt-get "${options[@]}" update
		armmp=$(newest "linux-image-${kernel}-armmp" "${options[@]}")
		[ -n "$armmp" ] || die "no kernel linux-image-${kernel}-armmp at the mirror"
		say "fetches into $dir: $armmp $armhf_debs"
		retry apt-get "${options[@]}" download $(printf '%s:armhf ' $armmp $armhf_debs)
		rm -rf apt
	)
	touch "$dir.new/complete"
	rm -rf "$dir"
	mv "$dir.new" "$dir"
}

# fetch_root makes the archive of the boards' Debian: minutes, for its packages
# are configured under emulation. A point release of Debian makes it anew.
fetch_root() {
	local release file
	release=$(dpkg-query -W -f '${Version}' base-files)
	file=$cache/root-$release-$(echo $root_packages | sha256sum | head -c 8).tar.zst
	if ! [ -e "$file" ]; then
		say "makes $file, which takes minutes"
		emulate
		rm -f "$cache"/root-*.tar.zst
		retry mmdebstrap --quiet --architectures=arm64 --variant=minbase --include="${root_packages// /,}" \
			--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
			$suite "$file.new.tar.zst" "$(mirror)" >&2
		mv "$file.new.tar.zst" "$file"
	fi
	echo "$file"
}

# fetch_broken unpacks what e2fsprogs tests e2fsck with. The lists of source
# packages are read into a folder of our own: the machine's stay as they are.
fetch_broken() {
	local dir=$cache/broken uri
	if [ ! -e "$dir/complete" ]; then
		uri=$(mirror)
		[ -n "$uri" ] || { update; uri=$(mirror); }
		say "fetches the source package of e2fsprogs into $dir"
		rm -rf "$dir" "$dir.new"
		mkdir -p "$dir.new/lists/partial" "$dir.new/archives/partial"
		echo "deb-src [signed-by=$keyring] $uri $suite main" >"$dir.new/sources.list"
		(
			cd "$dir.new"
			options=(-qq -o "Dir::Etc::SourceList=$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$PWD/lists"
				-o "Dir::Cache=$PWD" -o APT::Sandbox::User="$(id -un)")
			retry apt-get "${options[@]}" update
			retry apt-get "${options[@]}" source --download-only e2fsprogs >&2
			rm -f ./*.asc
			tar -xaf e2fsprogs_*.orig.tar.* --wildcards --strip-components=2 '*/tests/[fj]_*/image.gz'
			rm -rf lists archives sources.list *.bin e2fsprogs_*
		)
		touch "$dir.new/complete"
		mv "$dir.new" "$dir"
	fi
	echo "$dir"
}

mkdir -p "$cache"
case ${1-} in
test)
	keep_ssh_off
	install_all $toolchain $cards $boards $guests $servers $peers $nightly
	;;
demo) install_all $cards $boards ;;
debs) fetch_debs; fetch_armhf ;;
root) fetch_root ;;
broken) fetch_broken ;;
cache) echo "$cache" ;;
*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 64 ;;
esac
