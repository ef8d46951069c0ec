package main

import (
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// TestDemoByHand drives the menu through the serial console as a person would:
// no job, no network. A stick with a backup is plugged in after the menu came
// up, a disk is restored, the stick is pulled, and the disk boots.
func TestDemoByHand(t *testing.T) {
	fixture.Root(t)
	fixture.Need(t, "qemu-system-aarch64", "sfdisk", "mkfs.vfat", "mcopy")
	ctx := limit(t, 15*time.Minute)
	w := newWorkshop(t)
	card, packed := filepath.Join(w.dir, "card.img"), filepath.Join(w.dir, "card.img.zst")
	nonce := w.card(card, "1G")
	w.run("backup", card, packed)
	tftp := filepath.Join(w.dir, "tftp")
	w.run("rescue", "build", "--from", fixture.Debs(t), "--program", w.arm64, "--boards", "virt", "--netboot", tftp)
	disk, stick := fixture.Sparse(t, "disk.img", 2<<30), w.stick(packed, 256<<20)

	nvme := vmtest.Disk{Path: disk, Slot: vmtest.NVMe, Serial: "NEWCARD"}
	board := vmtest.Start(t, vmtest.Machine{
		Board: "virt", Kernel: filepath.Join(tftp, "vmlinuz"), Initrd: filepath.Join(tftp, "rescue.cpio.gz"),
		Append: "quiet panic=10", Disks: []vmtest.Disk{nvme},
	})
	say := func(expect, keys string) {
		t.Helper()
		if err := board.Expect(ctx, expect); err != nil {
			t.Fatal(err)
		}
		w.reportf("console: %s ← %q", expect, keys)
		if err := board.Send(keys + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	say("Press Enter for the menu", "")
	if err := board.Expect(ctx, "What shall be done?"); err != nil {
		t.Fatal(err)
	}
	if err := board.Plug(ctx, vmtest.Disk{Path: stick, Slot: vmtest.USB, Serial: "STICK"}); err != nil {
		t.Fatal(err)
	}
	follow(ctx, w, board, "new: ")
	say("", "1") // restore
	say("card.img.zst", "1")
	say("Which disk is to be overwritten?", "1")
	if err := board.Expect(ctx, "to go on: "); err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile(`Type (\S+) to go on`).FindStringSubmatch(board.Text())
	if word == nil {
		t.Fatal("the question names no word")
	}
	if err := board.Send("yes\n"); err != nil {
		t.Fatal(err)
	}
	follow(ctx, w, board, "no consent") // y, yes or Enter are no consent
	say("What shall be done?", "1")
	say("card.img.zst", "1")
	say("Which disk is to be overwritten?", "1")
	say("to go on: ", word[1])
	follow(ctx, w, board, "verified")

	say("What shall be done?", "4") // check
	say("would it boot?", "1")
	say("Which disk?", "1")
	follow(ctx, w, board, "root=: PARTUUID=")
	if err := board.Unplug(ctx, "STICK"); err != nil {
		t.Fatal(err)
	}
	follow(ctx, w, board, "gone: ")
	say("", "5") // shell
	say("exit leads back", "ls /etc/lifeboat")
	follow(ctx, w, board, "build.json")
	say("", "exit")
	say("What shall be done?", "6") // reboot
	if err := board.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	fixture.Check(t, disk)
	again := vmtest.Start(t, vmtest.Machine{Board: "virt", Disks: []vmtest.Disk{nvme}})
	login(ctx, w, again, nonce, 1<<30)
}

// stick makes a USB stick of size bytes with one FAT part that holds the file.
func (w *workshop) stick(file string, size int64) string {
	w.Helper()
	path := fixture.Sparse(w, "stick.img", size)
	table := filepath.Join(w.dir, "table")
	w.write(table, []byte("label: dos\nlabel-id: 0x51c6\nstart=1MiB, type=c\n"))
	fixture.Run(w, "sh", "-c", "PATH=$PATH:/usr/sbin:/sbin sfdisk -q "+path+" < "+table)
	fixture.Run(w, "mkfs.vfat", "-F", "32", "-s", "1", "-n", "BACKUPS", "--offset", "2048", path, "250000")
	fixture.Run(w, "mcopy", "-i", path+"@@1M", file, "::")
	return path
}
