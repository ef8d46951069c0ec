package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// TestLongLive saves a running Debian while it is being written to into an image,
// restores that to a larger disk, and boots it. TestDemoNightly does so by way of
// a repository.
func TestLongLive(t *testing.T) {
	fixture.Long(t)
	fixture.Root(t)
	fixture.Need(t, "qemu-system-aarch64", "mke2fs", "debugfs")
	ctx := limit(t, 15*time.Minute)
	w := newWorkshop(t)
	board, store, nonce := w.livePi(t)
	for _, step := range [][2]string{
		{"raspberrypi login:", "root"},
		{"raspberrypi:~# ", "mount LABEL=STORE /mnt"},
		{"raspberrypi:~# ", "(i=0; while :; do i=$((i+1)); head -c 300000 /dev/urandom > /root/f$((i%40)); echo $i >> /root/log; done) & /mnt/lifeboat backup / /mnt/card.img; echo exit $?"},
	} {
		if err := board.Expect(ctx, step[0]); err != nil {
			t.Fatal(err)
		}
		if err := board.Send(step[1] + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	follow(ctx, w, board, "as of one instant")
	if line, err := board.Line(ctx, "exit "); err != nil || !strings.Contains(line, "exit 0") {
		t.Fatalf("the backup ended with %q, %v", line, err)
	}
	if err := board.Send("kill %1; poweroff\n"); err != nil {
		t.Fatal(err)
	}
	if err := board.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	image, disk := filepath.Join(w.dir, "saved.img"), fixture.Sparse(t, "disk.img", 3<<30)
	fixture.Run(t, "debugfs", "-R", "dump card.img "+image, store)
	w.run("inspect", image)
	w.run("restore", image, disk)
	fixture.Check(t, disk)
	again := vmtest.Start(t, vmtest.Machine{Board: "virt", Disks: []vmtest.Disk{{Path: disk, Slot: vmtest.NVMe, Serial: "NEWCARD"}}})
	login(ctx, w, again, nonce, 2<<30)
}
