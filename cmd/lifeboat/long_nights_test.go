package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// TestLongNights has a running Debian do to its backups what the tests on loop
// devices cannot: quotas by the kernel, which change without an inode, the clock
// set back, and a file system that grows while it is mounted. What an increment
// leaves out is held by full runs, which say what would have been missed.
func TestLongNights(t *testing.T) {
	fixture.Long(t)
	fixture.Root(t)
	fixture.Need(t, "qemu-system-aarch64", "mke2fs", "debugfs", "sfdisk")
	ctx := limit(t, 40*time.Minute)
	w := newWorkshop(t)
	card, _ := w.liveCard()
	w.addData(card)
	board, store := w.startLive(t, []vmtest.Disk{{Path: card, Slot: vmtest.NVMe, Serial: "CARD"}})
	p := person{ctx, w, board}
	p.say("raspberrypi login:", "root")
	p.say(prompt, "mount LABEL=DATA /srv && dmesg | grep -q 'p3).*Quota mode: journalled' && echo quota''s are counted")
	p.sees("quotas are counted")
	p.say(prompt, "mount LABEL=STORE /mnt && cd /mnt && ./lifeboat repo init pis")
	const files = "for i in $(seq 40); do head -c 300000 /dev/urandom >/srv/f$i; chown $((1000+i%3)):1000 /srv/f$i; done; "
	p.backups([]aNight{
		{files, "", "all was read: there is no earlier snapshot"},
		{files, "", "what may have changed"},
		{"chown 1007 /srv/f1*; ", "--full", "all was read: as told"},
		{"date -s '2 hours ago'; ", "", "all was read: the clock was set back by 2h"},
		{"date -s '3 hours'; ", "", "not of the series' last snapshot"},
		{files, "", "what may have changed"},
		{"./lifeboat resize / --yes=$(./lifeboat resize / 2>&1 </dev/null | sed -n 's/.*--yes=//p'); ", "", "resized"},
		{"rm /srv/f2*; " + files, "", "what may have changed"},
		{"chown 1009 /srv/f3*; ", "--full", "all was read: as told"},
	})
	disk := fixture.Sparse(t, "disk.img", 3<<30)
	w.run("restore", w.repositoryOf(board, store)+"@latest", disk)
	fixture.Check(t, disk)
}

// TestLongNightsOfTwo has a Debian saved that boots from another disk than its root
// lies on: increments of both, and what is restored to two disks starts.
func TestLongNightsOfTwo(t *testing.T) {
	fixture.Long(t)
	fixture.Root(t)
	fixture.Need(t, "qemu-system-aarch64", "mke2fs", "debugfs", "sfdisk", "mcopy", "sed")
	ctx := limit(t, 40*time.Minute)
	w := newWorkshop(t)
	card := filepath.Join(w.dir, "card.img")
	nonce := w.card(card, "1000M")
	w.editConf(card, func(text string) string { return strings.ReplaceAll(text, "rootwait", "rootwait "+onePath) })
	boot, root := w.split(card)
	two := func(boot, root string) []vmtest.Disk {
		return []vmtest.Disk{{Path: boot, Slot: vmtest.NVMe, Serial: "BOOT"}, {Path: root, Slot: vmtest.NVMe, Serial: "ROOT"}}
	}
	board, store := w.startLive(t, two(boot, root))
	p := person{ctx, w, board}
	p.say("raspberrypi login:", "root")
	p.say(prompt, "mount LABEL=STORE /mnt && cd /mnt && ./lifeboat repo init pis")
	const files = "for i in $(seq 40); do head -c 300000 /dev/urandom >/root/f$i; done; "
	p.backups([]aNight{
		{files, "", "all was read: there is no earlier snapshot"},
		{files, "", "what may have changed"},
		{"echo new >/boot/firmware/new; rm /root/f2*; ", "", "what may have changed"},
		{files, "--full", "all was read: as told"},
	})
	pis := w.repositoryOf(board, store)
	boot, root = fixture.Sparse(t, "boot2.img", 140<<20), fixture.Sparse(t, "root2.img", 1000<<20)
	w.run("restore", "--ids=keep", pis+"@latest", root, "--second="+boot)
	fixture.Check(t, boot)
	fixture.Check(t, root)
	again := vmtest.Start(t, vmtest.Machine{Board: "virt", Disks: two(boot, root)})
	login(ctx, w, again, nonce, 880<<20)
	again.PowerOff()
}

// aNight is what happens, how it is saved, and what the backup says.
type aNight struct{ before, flags, told string }

// backups has backups made in /mnt, where the shell is.
func (p person) backups(nights []aNight) {
	p.Helper()
	for _, night := range nights {
		p.say("raspberrypi:/mnt# ", night.before+"sleep 3; ./lifeboat backup / pis "+night.flags+"; echo ended with $?")
		p.sees(night.told, "ended with 0")
	}
}

// repositoryOf turns a board off, and takes the repository from its store.
func (w *workshop) repositoryOf(board *vmtest.Guest, store string) string {
	w.Helper()
	ctx := limit(w, 5*time.Minute)
	p := person{ctx, w, board}
	p.say("raspberrypi:/mnt# ", "cd /; umount /mnt; poweroff")
	if err := board.Wait(ctx); err != nil {
		w.Fatal(err)
	}
	fixture.Run(w, "debugfs", "-R", "rdump /pis "+w.dir, store)
	pis := filepath.Join(w.dir, "pis")
	w.run("repo", "verify", pis)
	return pis
}

// addData adds a part to a card that has quotas, and room behind it.
func (w *workshop) addData(card string) {
	w.Helper()
	const start, size, room = 1500 << 20, 200 << 20, 300 << 20
	data := fixture.Sparse(w, "data.img", size)
	fixture.Run(w, "mke2fs", "-q", "-t", "ext4", "-O", "quota", "-E", "quotatype=usrquota:grpquota", "-L", "DATA", data)
	if err := os.Truncate(card, start+size+room); err != nil {
		w.Fatal(err)
	}
	fixture.Run(w, "sh", "-c", fmt.Sprintf("echo start=%d,size=%d,type=83 | sfdisk --quiet --append %s", start/512, size/512, card))
	fixture.Run(w, "dd", "if="+data, "of="+card, "bs=1M", fmt.Sprintf("seek=%d", start>>20), "conv=notrunc,sparse", "status=none")
}
