package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"lifeboat/internal/fixture"
)

// nights backs up a mounted system into a repository: the first time, and after a
// day's changes. lifeboat sees it as a running root, in a chroot; the peers see
// the mounted files.
func (b *bench) nights(mib int) {
	fixture.Need(b, "restic", "rsync", "partclone.ext4", "addpart", "casync", "chroot", "mount", "unshare")
	part, disk := b.system(mib)
	tool := b.tool
	b.reads = filepath.Base(disk)
	b.tool = "unshare --mount sh enter.sh" // from here on
	b.Setenv("RESTIC_PASSWORD", "bench")
	b.run(b.tool + " repo init /whole")
	first := contender{
		name: "lifeboat backup / REPO", before: "rm -rf repo/* && " + b.tool + " repo init /repo",
		line: b.lifeboat("backup / /repo --no-verify"),
	}
	b.compare("first snapshot", first, contender{
		name: "restic backup", before: "rm -rf restic && restic -q init --repo restic", line: resticLine,
	})
	b.compare("first snapshot", first, contender{
		name: "partclone.ext4 -c, zstd -T0", before: "rm -f night.zst",
		line: "fsfreeze -f root; partclone.ext4 -q -c -F -s " + part + " -o - -L partclone.log | zstd -q -T0 -o night.zst; fsfreeze -u root; sync night.zst",
	})
	b.compare("first snapshot", first, contender{
		name: "dd", before: "rm -f night.copy", line: "dd if=" + part + " of=night.copy bs=1M conv=sparse,fsync status=none",
	})
	b.run("rm -f night.zst night.copy && mkdir copies && rsync -aHAXx root/ copies/last")
	b.write("day.sh", day)
	b.night("a night's changes")
	if b.canLimit("nights on a slow disk") {
		b.limit(disk, "read", cardRate)
		b.night("a night's changes, on a disk that reads 40 MB/s")
	}
	b.tool, b.reads = tool, ""
	b.comeBack()
}

// comeBack restores the last snapshot.
func (b *bench) comeBack() {
	ours := contender{
		name: "lifeboat restore --no-verify REPO@latest", before: "rm -f disk.img",
		line: b.lifeboat("restore --no-verify repo@latest disk.img"),
	}
	b.compare("restore of a snapshot, not read back", ours, contender{
		name: "casync extract", before: "rm -f peer.img",
		line: "casync extract --store=repo/chunks.castr $(ls repo/snapshots/*/*.caibx | tail -n 1) peer.img && sync peer.img",
	})
	b.run("rm -f peer.img")
	b.compare("restore of a snapshot, not read back", ours, contender{
		name: "restic restore", before: "rm -rf files", line: "restic -q restore latest --repo restic --target files && sync",
	})
}

// night backs up what a day changes.
func (b *bench) night(what string) {
	night := contender{name: "lifeboat backup / REPO", before: "bash day.sh", line: b.lifeboat("backup / /repo --no-verify --full-every=1000")}
	for _, peer := range []contender{
		{name: "lifeboat backup / REPO --full", before: "bash day.sh", line: b.lifeboat("backup / /whole --full --no-verify")},
		{
			name: "rsync --link-dest", before: "bash day.sh; [ ! -e copies/new ] || { rm -rf copies/last && mv copies/new copies/last; }",
			line: "rsync -aHAXx --link-dest=$PWD/copies/last root/ copies/new && sync",
		},
		{name: "restic backup", before: "bash day.sh", line: resticLine},
	} {
		b.compare(what, night, peer)
	}
}

const resticLine = "restic -q backup --one-file-system --repo restic root && sync"

// system mounts a card's root at root, from a loop device.
func (b *bench) system(mib int) (part, disk string) {
	b.makeTree(mib)
	size := mib * 3 / 2
	b.run(fmt.Sprintf("truncate -s %dM night.img && printf '4M,,83\n' | sfdisk -q night.img && "+
		"mke2fs -q -t ext4 -d tree -E offset=4194304 night.img %dK && rm -r tree && mkdir root", size, (size-4)<<10))
	disk = fixture.Loop(b, filepath.Join(b.dir, "night.img"))
	part = disk + "p1"
	b.run(fmt.Sprintf("addpart %s 1 8192 %d", disk, (size-4)<<11))
	b.undo("delpart", disk, "1")
	b.run("mount " + part + " root")
	b.undo("umount", filepath.Join(b.dir, "root"))
	b.run("mkdir -p repo whole root/{repo,whole,dev,proc,sys,run,tmp,etc} && touch root/lifeboat && echo bench > root/etc/machine-id")
	b.write("enter.sh", "tool="+b.tool+"\n"+enter)
	return part, disk
}

// enter calls the tool as the running system's. What that needs is mounted in a
// name space of its own, which ends with it: nothing of this machine must ever
// lie in a folder that a test removes. The tool is not read from the system's
// disk, as little as its peers are.
const enter = `set -e
for dir in dev proc sys run; do mount --rbind /$dir root/$dir; done
for dir in repo whole; do mount --bind $dir root/$dir; done
mount --bind $tool root/lifeboat
exec chroot root /lifeboat "$@"
`

// undo runs a command at the end, when the test's context is gone.
func (b *bench) undo(args ...string) {
	b.Cleanup(func() {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			b.Errorf("%v: %v: %s", args, err, out)
		}
	})
}

func (b *bench) write(name, text string) {
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}

// day changes what a day changes: 1 of 100 files, logs, a database.
const day = `files=$(find root/usr -xdev -type f | wc -l)
find root/usr -xdev -type f -size -200k | shuf -n $((files / 100)) | while read -r f; do
	head -c "$(stat -c %s "$f")" /dev/urandom > "$f"
done
for i in $(seq 20); do head -c 50000 /dev/urandom >> root/log$i; done
[ -e root/database ] || head -c 50M /dev/urandom > root/database
for i in $(seq 300); do
	dd if=/dev/urandom of=root/database bs=4k count=1 seek=$((RANDOM % 12000)) conv=notrunc status=none
done
`
