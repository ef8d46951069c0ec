package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lifeboat/internal/fixture"
)

// TestLongNights has a running Debian do to its backups what the tests on loop
// devices cannot: quotas by the kernel, which change without an inode, the clock
// set back, and a file system that grows while it is mounted. What an increment
// leaves out is held by full runs, which say what would have been missed.
func TestLongNights(t *testing.T) {
	fixture.Long(t)
	fixture.Root(t)
	fixture.Need(t, "qemu-system-aarch64", "mke2fs", "debugfs", "tune2fs")
	ctx := limit(t, 40*time.Minute)
	w := newWorkshop(t)
	card, _ := w.liveCard()
	fixture.Run(t, "tune2fs", "-O", "quota", "-Q", "usrquota,grpquota", fmt.Sprintf("%s?offset=%d", card, cardRoot))
	if err := os.Truncate(card, 1800<<20); err != nil {
		t.Fatal(err)
	}
	board, store := w.startLive(t, card)
	p := person{ctx, w, board}
	p.say("raspberrypi login:", "root")
	p.say(prompt, "[ $(cat /proc/sys/fs/quota/allocated_dquots) -gt 0 ] && echo quota''s are counted")
	p.sees("quotas are counted")
	p.say(prompt, "mount LABEL=STORE /mnt && cd /mnt && ./lifeboat repo init pis")
	const files = "for i in $(seq 40); do head -c 300000 /dev/urandom >/root/f$i; chown $((1000+i%3)):1000 /root/f$i; done; "
	for _, night := range []struct{ before, flags, told string }{
		{files, "", "all was read: there is no earlier snapshot"},
		{files, "", "what may have changed"},
		{"chown 1007 /root/f1*; ", "--full", "all was read: as told"},
		{"date -s '2 hours ago'; ", "", "all was read: the clock was set back by 2h"},
		{"date -s '3 hours'; ", "", "not of the series' last snapshot"},
		{files, "", "what may have changed"},
		{"./lifeboat resize / --yes=$(./lifeboat resize / 2>&1 </dev/null | sed -n 's/.*--yes=//p'); ", "", "resized"},
		{"rm /root/f2*; " + files, "", "what may have changed"},
		{"chown 1009 /root/f3*; ", "--full", "all was read: as told"},
	} {
		p.say("raspberrypi:/mnt# ", night.before+"sleep 3; ./lifeboat backup / pis "+night.flags+"; echo ended with $?")
		p.sees(night.told, "ended with 0")
	}
	p.say("raspberrypi:/mnt# ", "cd /; umount /mnt; poweroff")
	if err := board.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	pis, image := filepath.Join(w.dir, "pis"), filepath.Join(w.dir, "saved.img")
	fixture.Run(t, "debugfs", "-R", "rdump /pis "+w.dir, store)
	w.run("repo", "verify", pis)
	w.run("export", pis+"@latest", image)
	fixture.Check(t, image)
}
