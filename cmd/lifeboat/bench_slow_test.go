package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"lifeboat/internal/fixture"
)

// A slow disk is a loop device that writes 15 MB/s, as many cards do.
const (
	slowSize = 512 << 20 // bytes
	slowRate = 15000000  // bytes a second
	// slowLimit holds for the root group, in which the kernel's writers are.
	slowLimit = "/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device"
)

// slow restores to a disk whose writes are what takes time.
func (b *bench) slow() {
	if _, err := os.Stat(slowLimit); err != nil {
		b.missing = append(b.missing, "a restore to a slow disk: this kernel has no blkio controller (cgroup v1)")
		return
	}
	b.makeTree(slowSize >> 20 * 3 / 4)
	b.run(fmt.Sprintf("truncate -s %d less.img && mke2fs -q -t ext4 -d tree less.img && rm -r tree", slowSize))
	b.run(b.lifeboat("backup --no-verify less.img kept.img") + " && truncate -s " + fmt.Sprint(slowSize) + " slow.img")
	loop := b.slowDisk("slow.img")
	ours := contender{
		name: "lifeboat restore", before: b.spoil("kept.img", "slow.img") + " && blockdev --flushbufs " + loop,
		line: b.lifeboat("restore kept.img " + loop + " --yes=$(" + b.tool + " disks | awk '$1 == \"" + loop + "\" {print $NF}')"),
	}
	blank := ours
	blank.name = "lifeboat restore to a blank one"
	blank.before = "truncate -s 0 slow.img && truncate -s " + fmt.Sprint(slowSize) + " slow.img && blockdev --flushbufs " + loop
	b.compare("restore to a disk of 15 MB/s that holds 95 % already", ours, blank)
}

// loop is a loop device over a file.
func (b *bench) loop(name string) string {
	fixture.Need(b, "losetup")
	loop := strings.TrimSpace(b.run("losetup --show -f " + name))
	b.undo("losetup", "-d", loop)
	return loop
}

// slowDisk is a loop device over a file, whose writes are held back.
func (b *bench) slowDisk(name string) string {
	fixture.Need(b, "blockdev")
	loop := b.loop(name)
	var st unix.Stat_t
	if err := unix.Stat(loop, &st); err != nil {
		b.Fatal(err)
	}
	set := func(rate int64) error {
		return os.WriteFile(slowLimit, fmt.Appendf(nil, "%d:%d %d", unix.Major(st.Rdev), unix.Minor(st.Rdev), rate), 0)
	}
	if err := set(slowRate); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := set(0); err != nil { // none
			b.Error(err)
		}
	})
	return loop
}
