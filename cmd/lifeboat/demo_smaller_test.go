package main

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// smallBoard is the least memory that the rescue system must do with.
const smallBoard = 256 << 20

// TestDemoSmaller restores a real card from a stream to a disk that is smaller
// than it, on a board with little memory, and boots that.
func TestDemoSmaller(t *testing.T) {
	fixture.Root(t)
	fixture.Need(t, "qemu-system-aarch64", "dnsmasq", "e2fsck")
	ctx := limit(t, 15*time.Minute)
	w := newWorkshop(t)
	served := w.mkdir("served")
	card, packed := filepath.Join(w.dir, "card.img"), filepath.Join(served, "card.img.zst")
	nonce := w.card(card, "1500M")
	w.run("backup", card, packed)
	w.reportf("a Debian card: %s, saved as %s", w.size(card), w.size(packed))
	tftp := filepath.Join(w.dir, "tftp")
	w.run("rescue", "build", "--from", packed, "--from", fixture.Debs(t), "--program", w.arm64, "--boards", "virt", "--trust", w.public, "--netboot", tftp)
	w.job(served, fmt.Sprintf(`version = 1
id = "smaller"
action = "restore"
[source]
url = "card.img.zst"
sha256 = %q
[target]
slot = "nvme"
`, w.sum(packed)))

	disk := fixture.Sparse(t, "disk.img", 800<<20)
	net := vmtest.NewNetwork(t)
	serveFolder(t, net, served)
	net.ServeDHCP(t, vmtest.DHCP{BootFile: "http://" + vmtest.HostAddr + "/job.toml"})
	board := vmtest.Start(t, vmtest.Machine{
		Board: "virt", Kernel: filepath.Join(tftp, "vmlinuz"), Initrd: filepath.Join(tftp, "rescue.cpio.gz"),
		Append: "quiet panic=10", Memory: smallBoard, Network: net,
		Disks: []vmtest.Disk{{Path: disk, Slot: vmtest.NVMe, Serial: "NEWCARD"}},
	})
	follow(ctx, w, board, "job smaller", "becomes smaller", "verified", "is done")
	if err := board.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	fixture.Check(t, disk)
	again := vmtest.Start(t, vmtest.Machine{Board: "virt", Disks: []vmtest.Disk{{Path: disk, Slot: vmtest.NVMe, Serial: "NEWCARD"}}})
	login(ctx, w, again, nonce, 400<<20)
	again.PowerOff()
}
