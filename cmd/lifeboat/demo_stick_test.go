package main

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/boards"
	"lifeboat/clone"
	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
	"lifeboat/netboot"
)

// TestDemoStick boots an emulated Raspberry Pi 3 from the rescue stick, with
// exactly what the Pi's firmware would take from it. Job and image lie on the
// stick; the card in the slot is blank.
func TestDemoStick(t *testing.T) {
	stickRescue(t, "raspi3b", "rpi-3-b")
}

// TestLongStickPi4 is the same on a Raspberry Pi 4.
func TestLongStickPi4(t *testing.T) {
	fixture.Long(t)
	stickRescue(t, "raspi4b", "rpi-4-b")
}

func stickRescue(t *testing.T, machine, name string) {
	fixture.Need(t, "qemu-system-aarch64", "e2fsck", "fsck.vfat", "mtype")
	ctx := limit(t, 15*time.Minute)
	w := newWorkshop(t)
	card, packed := fixture.Card(t, "pi-mbr-fat-ext4"), filepath.Join(w.dir, "card.img.zst")
	w.run("backup", card, packed)
	job := filepath.Join(w.dir, "job.toml")
	w.write(job, []byte("version = 1\nid = \"stick\"\naction = \"restore\"\n[source]\nurl = \"card.img.zst\"\n[target]\nslot = \"sd\"\n"))
	medium, stick := filepath.Join(w.dir, "rescue.img"), fixture.Sparse(t, "stick.img", 256<<20)
	w.run("rescue", "build", "--from", fixture.Debs(t), "--program", w.arm64, "--boards", name, "--job", job, "--image", packed, medium)
	w.reportf("a rescue medium: %s", w.size(medium))
	w.run("rescue", "write", medium, stick)

	kernel := w.firmware(stick, name)
	dtb := vmtest.DTB(t, machine) // fit for QEMU; the name is the firmware's choice
	if want := filepath.Base(kernel.DeviceTree); filepath.Base(dtb) != want {
		t.Errorf("the firmware takes %s, the board is given %s", want, dtb)
	}
	sd := fixture.Sparse(t, "sd.img", 256<<20)
	board := vmtest.Start(t, vmtest.Machine{
		Board: machine, Kernel: kernel.Kernel, Initrd: kernel.Initramfs[0], DTB: dtb, Append: kernel.Args + noWatchdog,
		Disks: []vmtest.Disk{{Path: sd, Slot: vmtest.SD}, {Path: stick, Slot: vmtest.USB, Serial: "STICK"}},
	})
	follow(ctx, w, board, "lifeboat ", "job stick on the stick", "verified", "is done")
	if err := board.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	w.reportf("the board restarted")
	fixture.Check(t, sd)
	w.run("inspect", sd)
	if record := fixture.Run(t, "mtype", "-i", sd+"@@4M", "::"+netboot.RecordFile); !strings.Contains(record, `"stick"`) {
		t.Errorf("the finished job is not recorded on the card: %s", record)
	}
}

// noWatchdog is for QEMU, which takes the start of the Raspberry Pi's watchdog
// for a reset (hw/misc/bcm2835_powermgt.c).
const noWatchdog = " lifeboat.watchdog=off"

// firmware copies what the board's firmware would load out of the stick, with
// our own reader: the names in the result are files of this machine.
func (w *workshop) firmware(stick, name string) *boards.Chain {
	w.Helper()
	f, err := os.Open(stick)
	if err != nil {
		w.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		w.Fatal(err)
	}
	src, err := clone.NewBlocks(f, info.Size(), imageSector)
	if err != nil {
		w.Fatal(err)
	}
	boot := clone.BootTrees(src, src.Head()).Boot
	b, ok := boards.Find(name)
	if !ok {
		w.Fatalf("no board %s", name)
	}
	chain, err := boards.Firmware(boot, b, boards.FirmwareOptions{})
	if err != nil {
		w.Fatal(err)
	}
	for _, line := range chain.Trace {
		w.reportf("firmware: %s", line)
	}
	chain.Kernel = w.extract(boot, chain.Kernel)
	for i, name := range chain.Initramfs {
		chain.Initramfs[i] = w.extract(boot, name)
	}
	return chain
}

// extract copies a file out of a boot part.
func (w *workshop) extract(boot fs.FS, name string) string {
	w.Helper()
	from, err := boot.Open(name)
	if err != nil {
		w.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(w.mkdir("firmware"), filepath.Base(name))
	to, err := os.Create(path)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		w.Fatal(err)
	}
	if err := to.Close(); err != nil {
		w.Fatal(err)
	}
	return path
}
