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
	fixture.Need(t, "qemu-system-aarch64", "mke2fs", "debugfs", "sfdisk")
	ctx := limit(t, 40*time.Minute)
	w := newWorkshop(t)
	card, _ := w.liveCard()
	w.addData(card)
	board, store := w.startLive(t, card)
	p := person{ctx, w, board}
	p.say("raspberrypi login:", "root")
	p.say(prompt, "mount LABEL=DATA /srv && dmesg | grep -q 'p3).*Quota mode: journalled' && echo quota''s are counted")
	p.sees("quotas are counted")
	p.say(prompt, "mount LABEL=STORE /mnt && cd /mnt && ./lifeboat repo init pis")
	const files = "for i in $(seq 40); do head -c 300000 /dev/urandom >/srv/f$i; chown $((1000+i%3)):1000 /srv/f$i; done; "
	for _, night := range []struct{ before, flags, told string }{
		{files, "", "all was read: there is no earlier snapshot"},
		{files, "", "what may have changed"},
		{"chown 1007 /srv/f1*; ", "--full", "all was read: as told"},
		{"date -s '2 hours ago'; ", "", "all was read: the clock was set back by 2h"},
		{"date -s '3 hours'; ", "", "not of the series' last snapshot"},
		{files, "", "what may have changed"},
		{"./lifeboat resize / --yes=$(./lifeboat resize / 2>&1 </dev/null | sed -n 's/.*--yes=//p'); ", "", "resized"},
		{"rm /srv/f2*; " + files, "", "what may have changed"},
		{"chown 1009 /srv/f3*; ", "--full", "all was read: as told"},
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
