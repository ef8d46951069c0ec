package main

import (
	"context"
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
	p := person{ctx, w, board}
	p.restores(stick)
	p.saves()
	p.looksAround()
	p.say("What shall be done?", "6") // reboot
	if err := board.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	fixture.Check(t, disk)
	again := vmtest.Start(t, vmtest.Machine{Board: "virt", Disks: []vmtest.Disk{nvme}})
	login(ctx, w, again, nonce, 1<<30)
}

// A person sits at a board's serial console.
type person struct {
	ctx context.Context
	*workshop
	board *vmtest.Guest
}

// say waits for a text and types an answer.
func (p person) say(expect, keys string) {
	p.Helper()
	if err := p.board.Expect(p.ctx, expect); err != nil {
		p.Fatal(err)
	}
	p.reportf("console: %s ← %q", expect, keys)
	if err := p.board.Send(keys + "\n"); err != nil {
		p.Fatal(err)
	}
}

func (p person) sees(texts ...string) {
	p.Helper()
	follow(p.ctx, p.workshop, p.board, texts...)
}

// restores plugs the stick in when the menu is there, says no once, and then
// restores.
func (p person) restores(stick string) {
	p.Helper()
	p.say("Press Enter for the menu", "")
	if err := p.board.Expect(p.ctx, "What shall be done?"); err != nil {
		p.Fatal(err)
	}
	if err := p.board.Plug(p.ctx, vmtest.Disk{Path: stick, Slot: vmtest.USB, Serial: "STICK"}); err != nil {
		p.Fatal(err)
	}
	p.sees("new: ")
	p.say("", "1") // restore
	p.say("card.img.zst", "1")
	p.say("Which disk is to be overwritten?", "1")
	p.say("to go on: ", "yes")
	word := regexp.MustCompile(`Type (\S+) to go on`).FindStringSubmatch(p.board.Text())
	if word == nil {
		p.Fatal("the question names no word")
	}
	p.sees("no consent") // y, yes or Enter are no consent
	p.say("What shall be done?", "1")
	p.say("card.img.zst", "1")
	p.say("Which disk is to be overwritten?", "1")
	p.say("to go on: ", word[1])
	p.sees("verified")
}

// saves brings the restored disk back to the stick.
func (p person) saves() {
	p.Helper()
	p.say("What shall be done?", "3")
	p.say("Which disk is to be saved?", "2") // behind the stick
	p.say("Save to which part?", "1")
	p.say("Name of the backup", "again.img.zst")
	p.sees("again.img.zst: ")
}

// looksAround checks the disk, pulls the stick, and has a look at the shell.
func (p person) looksAround() {
	p.Helper()
	p.say("What shall be done?", "4")
	p.say("would it boot?", "1")
	p.say("Which disk?", "2") // behind the stick
	p.sees("root=: PARTUUID=")
	if err := p.board.Unplug(p.ctx, "STICK"); err != nil {
		p.Fatal(err)
	}
	p.sees("gone: ")
	p.say("", "5")
	p.say("exit leads back", "ls /etc/lifeboat")
	p.sees("build.json")
	p.say("", "exit")
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
