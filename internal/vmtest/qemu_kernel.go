package vmtest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"lifeboat/internal/fixture"
)

// Kernel is the newest Debian kernel for boards, a plain arm64 Image.
func Kernel(tb testing.TB) string {
	tb.Helper()
	return fixture.File(tb, fixture.Unpacked(tb, kernelDeb), "boot/vmlinuz-*")
}

// CloudKernel is smaller, for virt alone: it has NVMe and ext4 built in, and
// virtio as modules.
func CloudKernel(tb testing.TB) string {
	tb.Helper()
	return fixture.File(tb, fixture.Unpacked(tb, cloudDeb), "boot/vmlinuz-*")
}

// The packages of testdata/need.sh that hold the kernels.
const (
	kernelDeb = "linux-image-*[0-9]-arm64_*"
	cloudDeb  = "linux-image-*-cloud-arm64_*"
	armmpDeb  = "linux-image-*-armmp_*_armhf"
)

// InitMarker begins the line by which the init of CardSystem tells the kernel's command
// line. boardinit/main.go has the same.
const InitMarker = "vmtest: the card's init runs: "

// CardSystem are the kernel, device tree and initramfs that a board's card
// holds, as files. The initramfs does no more than to print InitMarker.
func CardSystem(tb testing.TB, board string) (kernel, dtb, initrd string) {
	tb.Helper()
	s, ok := map[string]struct{ deb, dtb, arch string }{
		"cubieboard": {armmpDeb, "sun4i-a10-cubieboard.dtb", "arm"},
		"raspi4b":    {kernelDeb, "broadcom/bcm2711-rpi-4-b.dtb", "arm64"},
	}[board]
	if !ok {
		tb.Fatalf("no system for board %q", board)
	}
	dir := tb.TempDir()
	program, initrd := filepath.Join(dir, "init"), filepath.Join(dir, "initrd.img")
	if err := compile(tb, []string{"GOARCH=" + s.arch, "GOARM=7"}, "build", "-ldflags", "-s -w", "-o", program, "lifeboat/internal/vmtest/boardinit"); err != nil {
		tb.Fatal(err)
	}
	if err := writeArchive(initrd, map[string]string{"init": program}, nil); err != nil {
		tb.Fatal(err)
	}
	system := fixture.Unpacked(tb, s.deb)
	return fixture.File(tb, system, "boot/vmlinuz-*"), fixture.File(tb, system, "usr/lib/linux-image-*/"+s.dtb), initrd
}

// DTB is the device tree of a Raspberry Pi for Kernel, made fit for QEMU: a
// file of the test's own, with the name that the firmware would choose.
func DTB(tb testing.TB, board string) string {
	tb.Helper()
	file := map[string]string{"raspi3b": "bcm2837-rpi-3-b.dtb", "raspi4b": "bcm2711-rpi-4-b.dtb"}[board]
	if file == "" {
		tb.Fatalf("no device tree for board %q", board)
	}
	raw, err := os.ReadFile(fixture.File(tb, fixture.Unpacked(tb, kernelDeb), "usr/lib/linux-image-*/broadcom/"+file))
	if err != nil {
		tb.Fatal(err)
	}
	dtb := filepath.Join(tb.TempDir(), file)
	if err := os.WriteFile(dtb, raw, 0o644); err != nil {
		tb.Fatal(err)
	}
	if board == "raspi4b" {
		takeOutOfPi4(tb, dtb)
		SetMiniUARTClock(tb, dtb, enabledUARTClock)
	}
	return dtb
}

// takeOutOfPi4 takes out of a Raspberry Pi 4's device tree what QEMU's raspi4b
// has not: without this the kernel dies in brcmstb_l2_intc_of_init by a
// synchronous external abort. The card is at the old SDHCI, not at EMMC2. Seen
// with QEMU 10.0; TestPi4Premise tells when this has changed.
func takeOutOfPi4(tb testing.TB, dtb string) {
	tb.Helper()
	fixture.Need(tb, "fdtput")
	for _, node := range []string{
		"/soc/interrupt-controller@7ef00100", "/soc/clock@7ef00000", "/soc/hdmi@7ef00700", "/soc/hdmi@7ef05700",
		"/soc/i2c@7ef04500", "/soc/i2c@7ef09500", "/emmc2bus/mmc@7e340000",
	} {
		fixture.Run(tb, "fdtput", "-t", "s", dtb, node, "status", "disabled")
	}
	const sdhci = "/soc/mmc@7e300000"
	fixture.Run(tb, "fdtput", "-d", dtb, sdhci, "mmc-pwrseq", "non-removable", "pinctrl-0", "pinctrl-names")
	fixture.Run(tb, "fdtput", dtb, sdhci, "broken-cd")
	fixture.Run(tb, "fdtput", "-r", dtb, sdhci+"/wifi@1")
}

// enabledUARTClock is the VPU's clock in Hz once the firmware has read
// enable_uart=1 in config.txt, as on our rescue medium and on Debian's cards:
// raspberrypi.com/documentation, configuration, "mini UART and CPU core
// frequency". QEMU has no firmware; its VPU runs at 562.5 MHz.
const enabledUARTClock = 250_000_000

// SetMiniUARTClock gives the mini UART of a Raspberry Pi 4's device tree a clock
// of its own, in Hz, in place of the VPU's.
//
// It must be that of the firmware, or the board hangs: QEMU's mini UART does not
// know DLAB (hw/char/bcm2835_aux.c: "NYI"), so that the upper byte of the baud
// rate's divisor goes into the interrupt enable register. At 562.5 MHz 115200
// baud are 0x262: 2 there is "transmitter empty", which is always so, which the
// 8250 driver has not asked for and does not acknowledge: an interrupt for ever
// as soon as it is requested. Only another CPU can end it; where process 1 runs
// on the CPU that has the interrupts (one start of four), nothing goes on. At
// 250 MHz they are 0x10f, and 1 there is "received", which the driver wants. The
// raspi3b comes to 0x1b2, a 1 as well.
func SetMiniUARTClock(tb testing.TB, dtb string, hz int) {
	tb.Helper()
	fixture.Need(tb, "fdtput")
	const clock, phandle = "/clk-miniuart", "8001" // no other node's
	fixture.Run(tb, "fdtput", "-p", "-t", "s", dtb, clock, "compatible", "fixed-clock")
	fixture.Run(tb, "fdtput", "-t", "u", dtb, clock, "#clock-cells", "0")
	fixture.Run(tb, "fdtput", "-t", "u", dtb, clock, "clock-frequency", fmt.Sprint(hz))
	fixture.Run(tb, "fdtput", "-t", "x", dtb, clock, "phandle", phandle)
	fixture.Run(tb, "fdtput", "-t", "x", dtb, "/soc/serial@7e215040", "clocks", phandle)
}
