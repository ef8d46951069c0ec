package vmtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"lifeboat/internal/fixture"
)

// The two QEMUs: boards of 64 bits, and those that have 32 only.
const (
	qemu64 = "qemu-system-aarch64"
	qemu32 = "qemu-system-arm"
)

// A board is what QEMU must be told of it.
type board struct {
	name    string
	machine []string
	bits    int      // 0 = 64
	uboot   string   // boot loader, where the board has one
	onCard  bool     // its ROM takes the boot loader from the card
	console string   // last console= of the kernel's command line
	serial  []string // QEMU's serial lines before that of the console
	netdev  string   // device that takes part in the network; empty = not tried
	bus     string   // device that USB disks need; empty where the board has USB
	slots   []Slot
}

// The Raspberry Pis' network is a stick: QEMU has no genet, and no SMSC LAN.
// romfile= keeps virtio-net from asking for a boot ROM that is another package.
var boards = []board{
	{
		name:    "virt",
		machine: []string{"-M", "virt,gic-version=3", "-cpu", "max,pauth-impdef=on", "-smp", "1"},
		uboot:   "/usr/lib/u-boot/qemu_arm64/u-boot.bin",
		console: "ttyAMA0",
		netdev:  "virtio-net-pci,romfile=",
		bus:     "usb-ehci",
		slots:   []Slot{NVMe, Virtio, USB},
	},
	{
		name:    "raspi3b",
		machine: []string{"-M", "raspi3b"},
		console: "ttyS1,115200", // the mini UART, as on the real header: ttyAMA0 is Bluetooth's
		serial:  []string{"-serial", "null"},
		netdev:  "usb-net",
		slots:   []Slot{SD, USB},
	},
	{
		// Its device tree must give the mini UART the clock of the Raspberry Pi's
		// firmware: at QEMU's, one start of four hangs (see SetMiniUARTClock).
		name:    "raspi4b",
		machine: []string{"-M", "raspi4b"},
		console: "ttyS1,115200",
		serial:  []string{"-serial", "null"},
		netdev:  "usb-net",
		slots:   []Slot{SD, USB},
	},
	{
		// Its ROM looks at 8 KiB of the card (hw/arm/allwinner-a10.c), and nowhere
		// else. It ends neither by a power-off nor by -no-reboot.
		name:    "cubieboard",
		machine: []string{"-M", "cubieboard"},
		bits:    32,
		onCard:  true,
		console: "ttyS0,115200",
		slots:   []Slot{SD},
	},
}

// qemu is the program that emulates the board.
func (b board) qemu() string {
	if b.bits == 32 {
		return qemu32
	}
	return qemu64
}

func boardNamed(tb testing.TB, name string) board {
	tb.Helper()
	for _, b := range boards {
		if b.name == name {
			return b
		}
	}
	tb.Fatalf("no board %q to emulate", name)
	return board{}
}

// defaultMemory is that of virt: U-Boot, a kernel of 40 MB and its copy, and a
// rescue image have room in it.
const defaultMemory = 1 << 30

// args is QEMU's command line for the board. File descriptor 3 of QEMU is its
// control socket, 4 the tap where there is one.
func (m Machine) args(tb testing.TB, b board) []string {
	tb.Helper()
	args := append(append([]string{}, b.machine...), b.serial...)
	args = append(args, "-accel", "tcg", "-display", "none", "-nodefaults",
		"-serial", "stdio", "-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control")
	switch {
	case m.Memory != 0:
		args = append(args, "-m", fmt.Sprintf("%dB", m.Memory))
	case b.name == "virt":
		args = append(args, "-m", fmt.Sprintf("%dB", int64(defaultMemory)))
	}
	if !m.Reboots {
		args = append(args, "-no-reboot")
	}
	args = append(args, m.bootArgs(tb, b)...)
	args = append(args, m.netArgs(tb, b)...)
	return append(args, m.diskArgs(tb, b)...)
}

func (m Machine) bootArgs(tb testing.TB, b board) []string {
	tb.Helper()
	if m.Kernel == "" {
		if b.onCard {
			return nil
		}
		if b.uboot == "" {
			tb.Fatalf("board %s has no boot loader here: name a kernel", b.name)
		}
		if _, err := os.Stat(b.uboot); err != nil {
			fixture.Missing(tb, "U-Boot for QEMU ("+b.uboot+")")
		}
		return []string{"-bios", b.uboot}
	}
	args := []string{"-kernel", m.Kernel, "-append", strings.TrimSpace("console=" + b.console + " " + m.Append)}
	if m.Initrd != "" {
		args = append(args, "-initrd", m.Initrd)
	}
	if m.DTB != "" {
		args = append(args, "-dtb", m.DTB)
	}
	return args
}

func (m Machine) netArgs(tb testing.TB, b board) []string {
	tb.Helper()
	if b.netdev == "" && (m.Network != nil || m.Forward != "") {
		tb.Fatalf("board %s has no network here", b.name)
	}
	switch {
	case m.Network != nil:
		return []string{"-netdev", "tap,id=net,fd=4", "-device", b.netdev + ",netdev=net"}
	case m.Forward != "":
		// With cmd: each connection gets a program of its own; with tcp: all of
		// them would share the one that QEMU opens at its start.
		return []string{"-netdev", "user,id=net,restrict=on,guestfwd=tcp:" + ForwardAddr + "-cmd:socat STDIO TCP:" + m.Forward,
			"-device", b.netdev + ",netdev=net"}
	}
	return nil
}

func (m Machine) diskArgs(tb testing.TB, b board) []string {
	tb.Helper()
	var args []string
	if b.bus != "" {
		args = append(args, "-device", b.bus)
	}
	for i, d := range m.Disks {
		if !b.has(d.Slot) {
			tb.Fatalf("board %s has no slot %q", b.name, d.Slot)
		}
		if d.Slot == SD {
			wantPowerOfTwo(tb, d.Path)
			args = append(args, "-drive", "if=sd,format=raw,cache=unsafe,file.locking=off,file="+escape(d.Path))
			continue
		}
		node := fmt.Sprintf("disk%d", i)
		device := map[Slot]string{USB: "usb-storage", NVMe: "nvme", Virtio: "virtio-blk-pci"}[d.Slot]
		args = append(args, "-blockdev", blockdevJSON(d, node),
			"-device", fmt.Sprintf("%s,id=%s,drive=%s,serial=%s", device, deviceID(node), node, cmp.Or(d.Serial, node)))
	}
	return args
}

// deviceID is QEMU's name for the device that has the disk node.
func deviceID(node string) string { return "dev-" + node }

// usbDevices are the devices of those USB disks that can be unplugged.
func (m Machine) usbDevices() map[string]string {
	devices := map[string]string{}
	for i, d := range m.Disks {
		if d.Slot == USB && d.Serial != "" {
			devices[d.Serial] = deviceID(fmt.Sprintf("disk%d", i))
		}
	}
	return devices
}

func (b board) has(s Slot) bool {
	for _, have := range b.slots {
		if have == s {
			return true
		}
	}
	return false
}

// blockdev describes a disk's file to QEMU. Flushes go no further than the host's
// page cache: the host does not lose power in a test.
func blockdev(d Disk, node string) map[string]any {
	return map[string]any{
		"driver": "raw", "node-name": node, "discard": "unmap",
		"cache": map[string]any{"no-flush": true},
		"file":  map[string]any{"driver": "file", "filename": d.Path, "discard": "unmap", "locking": "off"},
	}
}

func blockdevJSON(d Disk, node string) string {
	b, err := json.Marshal(blockdev(d, node))
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return string(b)
}

// escape doubles commas, as QEMU's options want it.
func escape(path string) string { return strings.ReplaceAll(path, ",", ",,") }

func wantPowerOfTwo(tb testing.TB, path string) {
	tb.Helper()
	st, err := os.Stat(path)
	if err != nil {
		tb.Fatal(err)
	}
	if n := st.Size(); n == 0 || n&(n-1) != 0 {
		tb.Fatalf("SD card %s has %d bytes: QEMU takes powers of two only", path, n)
	}
}
