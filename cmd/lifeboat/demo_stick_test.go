package main

import (
	"context"
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
	w := newWorkshop(t)
	w.stickRescue(limit(t, 15*time.Minute), fixture.Card(t, "pi-mbr-fat-ext4"), "raspi3b", "rpi-3-b")
}

// TestLongStickPi4 is the same on a Raspberry Pi 4, with a card that holds a
// kernel; the restored one is started with exactly what the firmware would take
// from it.
func TestLongStickPi4(t *testing.T) {
	fixture.Long(t)
	fixture.Need(t, "sfdisk", "mkfs.vfat", "mmd", "mcopy", "mke2fs", "gzip")
	ctx := limit(t, time.Hour)
	w := newWorkshop(t)
	const machine, name = "raspi4b", "rpi-4-b"
	sd := w.stickRescue(ctx, w.pi4Card(machine), machine, name)

	kernel := w.firmware(sd, name)
	board := vmtest.Start(t, vmtest.Machine{
		Board: machine, Kernel: kernel.Kernel, Initrd: kernel.Initramfs[0], DTB: vmtest.DTB(t, machine), Append: kernel.Args,
		Disks: []vmtest.Disk{{Path: sd, Slot: vmtest.SD}},
	})
	line, err := board.Line(ctx, vmtest.InitMarker)
	if err != nil {
		t.Fatal(err)
	}
	w.reportf("console: %s", strings.TrimSpace(line))
	if want := "root=PARTUUID=" + pi4ID + "-02"; !strings.Contains(line, want) {
		t.Errorf("the restored card's kernel was started with %q, want %s", line, want)
	}
}

// pi4ID is the disk ID of pi4Card.
const pi4ID = "cafe0004"

// pi4Card makes the card of a Raspberry Pi 4 with Debian's kernel, packed by
// gzip as the firmware takes it.
func (w *workshop) pi4Card(machine string) string {
	w.Helper()
	kernel, dtb, initrd := vmtest.CardSystem(w, machine)
	packed := filepath.Join(w.dir, "kernel8.img")
	fixture.Run(w, "sh", "-c", "gzip -n <"+kernel+" >"+packed)
	boot := map[string]string{"kernel8.img": packed, "initrd.img": initrd, filepath.Base(dtb): dtb}
	firmware := fixture.Unpacked(w, "raspi-firmware_*")
	for _, name := range []string{"start4.elf", "fixup4.dat"} {
		boot[name] = filepath.Join(firmware, "usr/lib/raspi-firmware", name)
	}
	for name, text := range map[string]string{
		"config.txt":  "arm_64bit=1\nenable_uart=1\ninitramfs initrd.img followkernel\n",
		"cmdline.txt": "panic=-1 quiet root=PARTUUID=" + pi4ID + "-02 rootwait\n",
	} {
		boot[name] = filepath.Join(w.mkdir("boot"), name)
		w.write(boot[name], []byte(text))
	}
	return w.bootCard(pi4ID, boot)
}

// stickRescue restores the card to the blank one in the board's SD slot, from a
// stick with the rescue system, its job and the image; it returns the restored
// card.
func (w *workshop) stickRescue(ctx context.Context, card, machine, name string) string {
	w.Helper()
	fixture.Need(w, "qemu-system-aarch64", "e2fsck", "fsck.vfat", "mtype")
	packed := filepath.Join(w.dir, "card.img.zst")
	w.run("backup", card, packed)
	job := filepath.Join(w.dir, "job.toml")
	w.write(job, []byte("version = 1\nid = \"stick\"\naction = \"restore\"\n[source]\nurl = \"card.img.zst\"\n[target]\nslot = \"sd\"\n"))
	medium, stick := filepath.Join(w.dir, "rescue.img"), fixture.Sparse(w, "stick.img", 256<<20)
	w.run("rescue", "build", "--from", fixture.Debs(w), "--program", w.arm64, "--boards", name, "--job", job, "--image", packed, medium)
	w.reportf("a rescue medium: %s", w.size(medium))
	w.run("rescue", "write", medium, stick)

	kernel := w.firmware(stick, name)
	dtb := vmtest.DTB(w, machine) // fit for QEMU; the name is the firmware's choice
	if want := filepath.Base(kernel.DeviceTree); filepath.Base(dtb) != want {
		w.Errorf("the firmware takes %s, the board is given %s", want, dtb)
	}
	sd := fixture.Sparse(w, "sd.img", 256<<20)
	board := vmtest.Start(w, vmtest.Machine{
		Board: machine, Kernel: kernel.Kernel, Initrd: kernel.Initramfs[0], DTB: dtb, Append: kernel.Args + noWatchdog,
		Disks: []vmtest.Disk{{Path: sd, Slot: vmtest.SD}, {Path: stick, Slot: vmtest.USB, Serial: "STICK"}},
	})
	follow(ctx, w, board, "lifeboat ", "job stick on the stick", "verified", "is done")
	if err := board.Wait(ctx); err != nil {
		w.Fatal(err)
	}
	w.reportf("the board restarted")
	fixture.Check(w, sd)
	w.run("inspect", sd)
	if record := fixture.Run(w, "mtype", "-i", sd+"@@4M", "::"+netboot.RecordFile); !strings.Contains(record, `"stick"`) {
		w.Errorf("the finished job is not recorded on the card: %s", record)
	}
	return sd
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
