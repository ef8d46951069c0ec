package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"lifeboat/internal/fixture"
)

// A slow disk is a loop device that writes 15 MB/s, as many cards do.
const (
	slowSize = 512 << 20 // bytes
	slowRate = 15000000  // bytes a second
	cardRate = 40000000  // … that a card gives in reading
)

// rateOf is the file that limits reads or writes; it holds for the root group, in
// which the kernel's writers are.
func rateOf(what string) string { return "/sys/fs/cgroup/blkio/blkio.throttle." + what + "_bps_device" }

// canLimit tells whether a disk can be made slow; if not, the rows are missing.
func (b *bench) canLimit(rows string) bool {
	_, err := os.Stat(rateOf("write"))
	if err != nil {
		b.missing = append(b.missing, rows+": this kernel has no blkio controller (cgroup v1)")
	}
	return err == nil
}

// slow restores to a disk whose writes are what takes time.
func (b *bench) slow() {
	if !b.canLimit("a restore to a slow disk") {
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

// slowDisk is a loop device over a file, whose writes are held back.
func (b *bench) slowDisk(name string) string {
	fixture.Need(b, "blockdev")
	loop := fixture.Loop(b, filepath.Join(b.dir, name))
	b.limit(loop, "write", slowRate)
	return loop
}

// limit holds the reads or the writes of a disk back.
func (b *bench) limit(disk, what string, rate int64) {
	var st unix.Stat_t
	if err := unix.Stat(disk, &st); err != nil {
		b.Fatal(err)
	}
	set := func(rate int64) error {
		return os.WriteFile(rateOf(what), fmt.Appendf(nil, "%d:%d %d", unix.Major(st.Rdev), unix.Minor(st.Rdev), rate), 0)
	}
	if err := set(rate); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := set(0); err != nil { // none
			b.Error(err)
		}
	})
}
