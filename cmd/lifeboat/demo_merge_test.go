package main

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// Of a system on two disks: what boots, and what holds the root.
const (
	twoBootID = "626f6f74"
	twoRootID = "726f6f74"
)

// TestLongMerged makes one disk of two, a card with the boot part and a disk with
// the root of a Debian, and boots it to its login prompt: U-Boot, extlinux.conf,
// kernel, root and fstab from the one disk alone.
func TestLongMerged(t *testing.T) {
	fixture.Long(t)
	fixture.Root(t)
	fixture.Need(t, "qemu-system-aarch64", "sfdisk", "dd", "sed", "mcopy", "debugfs", "e2fsck")
	ctx := limit(t, 15*time.Minute)
	w := &workshop{TB: t, dir: t.TempDir(), start: time.Now()}
	w.host = w.compile("lifeboat")
	card := filepath.Join(w.dir, "card.img")
	nonce := w.card(card, "1000M")
	boot, root := w.split(card)
	packed, merged := filepath.Join(w.dir, "root.img.zst"), filepath.Join(w.dir, "merged.img")
	w.run("backup", root, packed)
	w.run("restore", boot, merged, "--with="+packed)
	if id := w.diskID(merged); id != twoBootID {
		t.Errorf("the merged disk has the ID %s, want that of the one that boots", id)
	}
	fixture.Check(t, merged)
	w.run("inspect", merged) // each reference resolves, or the exit code says otherwise
	w.reportf("two disks of %s and %s became one of %s", w.size(boot), w.size(root), w.size(merged))

	board := vmtest.Start(t, vmtest.Machine{Board: "virt", Disks: []vmtest.Disk{{Path: merged, Slot: vmtest.NVMe, Serial: "MERGED"}}})
	login(ctx, w, board, nonce, 700<<20)
	board.PowerOff()
}

// split lays the parts of a Debian card on two disks, and has its files follow.
func (w *workshop) split(card string) (boot, root string) {
	w.Helper()
	boot, root = fixture.Sparse(w, "boot.img", 136<<20), fixture.Sparse(w, "root.img", 880<<20)
	for _, d := range []struct{ disk, id, kind, from, count string }{
		{boot, twoBootID, "c, bootable", "4", "128"},
		{root, twoRootID, "83", "132", "868"},
	} {
		table := fmt.Sprintf("label: dos\nlabel-id: 0x%s\nstart=4MiB, size=%sMiB, type=%s\n", d.id, d.count, d.kind)
		w.write(filepath.Join(w.dir, "table"), []byte(table))
		fixture.Run(w, "sh", "-c", "sfdisk -q "+d.disk+" <"+filepath.Join(w.dir, "table"))
		fixture.Run(w, "dd", "if="+card, "of="+d.disk, "bs=1M", "skip="+d.from, "seek=4", "count="+d.count, "conv=notrunc,sparse", "status=none")
	}
	file := filepath.Join(w.dir, "file")
	follow := []string{"-i", "-e", "s/=[0-9a-f]*-01/=" + twoBootID + "-01/", "-e", "s/=[0-9a-f]*-02/=" + twoRootID + "-01/", file}
	for _, name := range []string{"cmdline.txt", "extlinux/extlinux.conf"} {
		fixture.Run(w, "mcopy", "-n", "-i", boot+"@@4M", "::"+name, file)
		fixture.Run(w, "sed", follow...)
		fixture.Run(w, "mcopy", "-o", "-i", boot+"@@4M", file, "::"+name)
	}
	part := root + "?offset=4194304"
	for _, command := range []string{"dump etc/fstab " + file, "rm etc/fstab", "write " + file + " etc/fstab"} {
		fixture.Run(w, "debugfs", "-w", "-R", command, part)
		if command[0] == 'd' {
			fixture.Run(w, "sed", follow...)
		}
	}
	return boot, root
}
