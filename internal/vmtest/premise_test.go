package vmtest_test

import (
	"strings"
	"testing"
	"time"

	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// Premises: what the board tests believe of QEMU and Debian's kernel. Where one
// fails, the emulator has changed, not lifeboat: adapt qemu_board.go.

// TestPisStart holds that the emulated Raspberry Pis start Debian's kernel with
// our device trees, as far as it comes without a root. On one CPU: what hangs
// there by an interrupt that never ends, hangs on four by chance.
func TestPisStart(t *testing.T) {
	for board, model := range map[string]string{
		"raspi3b": "Machine model: Raspberry Pi 3 Model B",
		"raspi4b": "Machine model: Raspberry Pi 4 Model B",
	} {
		t.Run(board, func(t *testing.T) {
			t.Parallel()
			ctx := limit(t, 4*time.Minute)
			b := vmtest.Start(t, vmtest.Machine{
				Board: board, Kernel: vmtest.Kernel(t), DTB: vmtest.DTB(t, board), Append: "panic=-1 maxcpus=1",
				Disks: []vmtest.Disk{
					{Path: fixture.Sparse(t, "sd.img", 256<<20), Slot: vmtest.SD},
					{Path: fixture.Sparse(t, "stick.img", 64<<20), Slot: vmtest.USB, Serial: "STICK1"},
				},
				Forward: "127.0.0.1:9",
			})
			expect(t, ctx, b, model)
			expect(t, ctx, b, "Unable to mount root fs")
		})
	}
}

// TestPi4Premise holds that QEMU's raspi4b still dies of the device tree as it
// comes with the kernel, and still has no network of its own.
func TestPi4Premise(t *testing.T) {
	t.Parallel()
	ctx := limit(t, 2*time.Minute)
	dtb := fixture.File(t, fixture.Unpacked(t, "linux-image-*[0-9]-arm64_*"), "usr/lib/linux-image-*/broadcom/bcm2711-rpi-4-b.dtb")
	b := vmtest.Start(t, vmtest.Machine{Board: "raspi4b", Kernel: vmtest.Kernel(t), DTB: dtb, Append: "earlycon=bcm2835aux,mmio32,0xfe215040 panic=-1"})
	if err := b.Expect(ctx, "synchronous external abort"); err != nil {
		t.Errorf("the emulator changed: raspi4b takes an unchanged device tree now, takeOutOfPi4 may go: %v", err)
	}
	tree, err := b.Monitor(ctx, "info mtree")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(tree, "bcm2835-sdhost") {
		t.Errorf("the emulator changed: raspi4b has no bcm2835-sdhost in\n%s", tree)
	}
	if strings.Contains(tree, "genet") && !strings.Contains(tree, "bcm2838-genet (prio -1000") {
		t.Error("the emulator changed: raspi4b has a genet now; its boards may use it in place of usb-net")
	}
}

// TestMiniUARTPremise holds why the Raspberry Pi 4's mini UART needs another
// clock than QEMU's: the upper byte of the divisor, 2 of 0x262, is found in the
// interrupt enable register (whose upper two bits QEMU always sets).
func TestMiniUARTPremise(t *testing.T) {
	t.Parallel()
	ctx := limit(t, 2*time.Minute)
	dtb := vmtest.DTB(t, "raspi4b")
	const qemuClock, interruptEnable = 562_500_000, "0xfe215044"
	vmtest.SetMiniUARTClock(t, dtb, qemuClock)
	b := vmtest.Start(t, vmtest.Machine{Board: "raspi4b", Kernel: vmtest.Kernel(t), DTB: dtb, Append: "panic=-1"})
	expect(t, ctx, b, "legacy console [ttyS1] enabled")
	register, err := b.Monitor(ctx, "xp /1wx "+interruptEnable)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(register, "0x000000c2") {
		t.Errorf("the emulator changed: its mini UART takes the divisor for what it is, SetMiniUARTClock may go: %s", register)
	}
}

// TestUSBComesAndGoes holds Plug and Unplug in the eyes of U-Boot.
func TestUSBComesAndGoes(t *testing.T) {
	t.Parallel()
	ctx := limit(t, time.Minute)
	stick := vmtest.Disk{Path: fixture.Sparse(t, "stick.img", 64<<20), Slot: vmtest.USB, Serial: "STICK1"}
	b := vmtest.Start(t, vmtest.Machine{Board: "virt", Disks: []vmtest.Disk{stick}})
	expect(t, ctx, b, "Hit any key to stop autoboot")
	send(t, b, "\n")
	expect(t, ctx, b, "=> ")
	send(t, b, "pci enum\n")
	expect(t, ctx, b, "=> ")
	for _, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return nil }, "1 Storage Device(s) found"},
		{func() error { return b.Unplug(ctx, "STICK1") }, "0 Storage Device(s) found"},
		{func() error { return b.Plug(ctx, stick) }, "1 Storage Device(s) found"},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		send(t, b, "usb reset\n")
		expect(t, ctx, b, step.want)
	}
	send(t, b, "usb info\n")
	expect(t, ctx, b, "STICK1")
	if err := b.Unplug(ctx, "STICK1"); err != nil {
		t.Error(err)
	}
	if err := b.Unplug(ctx, "STICK1"); err == nil {
		t.Error("a stick that is gone was unplugged again")
	}
}
