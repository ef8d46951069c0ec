package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/boards"
	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// Of the card of an Allwinner board: its boot loader lies before the parts, and
// is all that makes it start.
const (
	chainID   = "cafe0001"
	chainBoot = 4 << 20 // where the FAT part begins
	spl       = "U-Boot SPL"
)

// TestDemoChain clones the card of a Cubieboard to a larger one, with new IDs,
// and starts the board with nothing but that: its ROM, the SPL at 8 KiB of the
// card, U-Boot, extlinux.conf, the kernel, init. The same clone without what
// lies before its parts shows nothing.
func TestDemoChain(t *testing.T) {
	w, card := newChain(t)
	ctx := limit(t, 15*time.Minute)
	larger := fixture.Sparse(t, "larger.img", 512<<20)
	w.run("clone", "--ids=new", card, larger)
	if w.diskID(larger) == chainID {
		t.Errorf("the clone has the card's own disk ID")
	}
	took := w.startsChain(ctx, card, larger)

	silent := filepath.Join(w.dir, "silent.img")
	fixture.Run(t, "cp", "--sparse=always", larger, silent)
	fixture.Run(t, "dd", "if=/dev/zero", "of="+silent, "bs=1K", "seek=8", "count=1016", "conv=notrunc", "status=none")
	board := vmtest.Start(t, vmtest.Machine{Board: "cubieboard", Disks: []vmtest.Disk{{Path: silent, Slot: vmtest.SD}}})
	wait, cancel := context.WithTimeout(ctx, max(5*time.Second, 5*took))
	defer cancel()
	if err := board.Expect(wait, spl); err == nil {
		t.Error("a board starts from a card without a boot loader: what it ran did not come from the card")
	}
	w.reportf("without the gap: no %q within %v", spl, max(5*time.Second, 5*took).Round(time.Second))
}

// TestLongChainKept is the same with the card's own IDs.
func TestLongChainKept(t *testing.T) {
	fixture.Long(t)
	w, card := newChain(t)
	larger := fixture.Sparse(t, "larger.img", 512<<20)
	w.run("clone", "--ids=keep", card, larger)
	if id := w.diskID(larger); id != chainID {
		t.Errorf("the clone has the disk ID %s, want the card's %s", id, chainID)
	}
	w.startsChain(limit(t, 15*time.Minute), card, larger)
}

// newChain makes the card: U-Boot in the gap, a FAT part that holds what it
// starts, and a root.
func newChain(t *testing.T) (w *workshop, card string) {
	t.Helper()
	fixture.Need(t, "qemu-system-arm", "sfdisk", "mkfs.vfat", "mmd", "mcopy", "mke2fs", "dd", "cmp")
	w = &workshop{TB: t, dir: t.TempDir(), start: time.Now()}
	w.host = w.compile("lifeboat")
	kernel, dtb, initrd := vmtest.CardSystem(t, "cubieboard")
	conf := filepath.Join(w.dir, "extlinux.conf")
	w.write(conf, []byte("default l0\ntimeout 1\nlabel l0\n  linux /vmlinuz\n  initrd /initrd.img\n  fdt /board.dtb\n"+
		"  append console=ttyS0,115200 panic=-1 quiet root=PARTUUID="+chainID+"-02 rootwait\n"))
	card = w.bootCard(chainID, map[string]string{"vmlinuz": kernel, "board.dtb": dtb, "initrd.img": initrd, "extlinux/extlinux.conf": conf})

	b, ok := boards.Find("cubieboard")
	if !ok || len(b.Areas) == 0 {
		t.Fatal("boards knows no boot loader of the Cubieboard")
	}
	area := b.Areas[0]
	loader := filepath.Join(fixture.Unpacked(t, "u-boot-sunxi_*_armhf"), area.File)
	fixture.Run(t, "dd", "if="+loader, "of="+card, "bs=1K", fmt.Sprintf("seek=%d", area.Off>>10), "conv=notrunc", "status=none")
	return w, card
}

// diskID is the ID in the table of a disk, in sfdisk's eyes.
func (w *workshop) diskID(disk string) string {
	w.Helper()
	id, ok := strings.CutPrefix(strings.TrimSpace(fixture.Run(w, "sfdisk", "--disk-id", disk)), "0x")
	if !ok {
		w.Fatalf("%s has the disk ID %q", disk, id)
	}
	return id
}

// startsChain starts a Cubieboard from the clone of a card, and returns how long
// the first word took.
func (w *workshop) startsChain(ctx context.Context, card, clone string) time.Duration {
	w.Helper()
	fixture.Check(w, clone)
	w.run("inspect", clone)                                                                              // each reference resolves, or the exit code says otherwise
	fixture.Run(w, "cmp", "--ignore-initial=512", fmt.Sprintf("--bytes=%d", chainBoot-512), card, clone) // all between table and parts
	began := time.Now()
	board := vmtest.Start(w, vmtest.Machine{Board: "cubieboard", Disks: []vmtest.Disk{{Path: clone, Slot: vmtest.SD}}})
	if err := board.Expect(ctx, spl); err != nil {
		w.Fatal(err)
	}
	took := time.Since(began)
	follow(ctx, w, board, "Found /extlinux/extlinux.conf", "Retrieving file: /vmlinuz", "Starting kernel")
	line, err := board.Line(ctx, vmtest.InitMarker)
	if err != nil {
		w.Fatal(err)
	}
	w.reportf("console: %s", strings.TrimSpace(line))
	if want := "root=PARTUUID=" + w.diskID(clone) + "-02"; !strings.Contains(line, want) {
		w.Errorf("the kernel was started with %q, want %s", line, want)
	}
	board.PowerOff()
	return took
}
