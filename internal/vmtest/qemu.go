package vmtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"lifeboat/internal/fixture"
)

// A Machine says which board QEMU shall be, and what is plugged into it. It is
// always emulated, never virtualised: a /dev/kvm that is there may not work.
type Machine struct {
	Board  string // "virt", "raspi3b", "raspi4b", "cubieboard": see boards
	Memory int64  // bytes; 0 = what the board has

	// What the board starts: with Kernel empty its boot loader finds the system
	// on disks or network by itself (U-Boot: virt has it, the cubieboard's must be
	// on its card).
	Kernel, Initrd, DTB string
	Append              string // the kernel's command line, without a console

	Disks []Disk

	// Forward is an address of this host, as in "127.0.0.1:8080"; the board
	// reaches it as ForwardAddr, gets an address by DHCP, and reaches nothing
	// else. Network is a network of one's own in its place.
	Forward string
	Network *Network

	// Reboots lets a restart of the system be one; else it ends the board.
	Reboots bool
}

// ForwardAddr is where a board finds what listens at Machine.Forward.
const ForwardAddr = "10.0.2.100:80"

// A Disk is a disk image and the place where it is plugged in.
type Disk struct {
	Path   string
	Slot   Slot
	Serial string // also its name for Plug and Unplug; empty for SD, whose serial is QEMU's
}

// A Slot is what a disk is plugged into.
type Slot string

const (
	SD     Slot = "sd" // raspi*, cubieboard; its size must be a power of two
	USB    Slot = "usb"
	NVMe   Slot = "nvme"   // virt
	Virtio Slot = "virtio" // virt
)

// Guest is a board that runs. Its console is embedded: Expect, Line, Send, Text.
type Guest struct {
	*Console
	qmp  *qmp
	done chan struct{}
	err  error // how the board ended, once done is closed
	stop context.CancelFunc

	plugged map[string]string // serial of a USB disk: QEMU's name of the device
	plugs   int
}

// Start powers a board on; it is powered off at the test's end. Its console is
// recorded in a file of tb.ArtifactDir (kept with go test -artifacts), and
// its last lines are shown where the test fails.
func Start(tb testing.TB, m Machine) *Guest {
	tb.Helper()
	board := boardNamed(tb, m.Board)
	qemu := board.qemu()
	fixture.Need(tb, qemu, "socat")
	args := m.args(tb, board)

	console, err := newConsole(tb.ArtifactDir())
	if err != nil {
		tb.Fatal(err)
	}
	ours, theirs := socketpair(tb)
	files := []*os.File{theirs}
	if m.Network != nil {
		files = append(files, m.Network.tap(tb))
	}
	ctx, stop := context.WithCancel(tb.Context())
	cmd := exec.CommandContext(ctx, qemu, args...)
	cmd.Stdout, cmd.Stderr = console, console
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	console.keys = stdin

	started, ended := startAlone(cmd)
	err = <-started
	for _, f := range files {
		f.Close()
	}
	if err != nil {
		stop()
		tb.Fatalf("start %s: %v", qemu, err)
	}
	g := &Guest{Console: console, done: make(chan struct{}), stop: stop, plugged: m.usbDevices()}
	go func() {
		g.err = <-ended
		console.close()
		close(g.done)
	}()
	tb.Cleanup(func() {
		g.PowerOff()
		if tb.Failed() {
			tb.Logf("console of %s, all of it in %s:\n%s", m.Board, console.path, console.tail(tailLines))
		}
	})
	if g.qmp, err = newQMP(tb.Context(), ours); err != nil {
		g.PowerOff()
		tb.Fatalf("%s does not answer: %v\n%s", qemu, err, console.tail(tailLines))
	}
	return g
}

// Wait waits until the board ended by itself: it was powered off, or restarted
// without Machine.Reboots.
func (g *Guest) Wait(ctx context.Context) error {
	select {
	case <-g.done:
		if g.err != nil {
			return fmt.Errorf("board ended: %w; its console's last lines:\n%s", g.err, g.tail(tailLines))
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("board has not ended: %w; its console's last lines:\n%s", ctx.Err(), g.tail(tailLines))
	}
}

// PowerOff pulls the plug and returns when QEMU is gone. What the board had
// written to its disks is in their files.
func (g *Guest) PowerOff() {
	g.stop()
	<-g.done
	if g.qmp != nil {
		g.qmp.close()
	}
}

// Plug puts a USB disk in. Its serial names it.
func (g *Guest) Plug(ctx context.Context, d Disk) error {
	if d.Slot != USB || d.Serial == "" {
		return errors.New("only a USB disk with a serial can be plugged in")
	}
	g.plugs++
	node := fmt.Sprintf("%s.%d", d.Serial, g.plugs)
	if _, err := g.qmp.do(ctx, "blockdev-add", blockdev(d, node)); err != nil {
		return err
	}
	_, err := g.qmp.do(ctx, "device_add", map[string]any{
		"driver": "usb-storage", "id": deviceID(node), "drive": node, "serial": d.Serial,
	})
	if err == nil {
		g.plugged[d.Serial] = deviceID(node)
	}
	return err
}

// Unplug pulls the USB disk with that serial out. QEMU 10 keeps hold of the
// disk's file and tells no DEVICE_DELETED; so files are not locked, and each
// plugging has names of its own.
func (g *Guest) Unplug(ctx context.Context, serial string) error {
	id, ok := g.plugged[serial]
	if !ok {
		return fmt.Errorf("unplug %s: no such USB disk is plugged in", serial)
	}
	if _, err := g.qmp.do(ctx, "device_del", map[string]any{"id": id}); err != nil {
		return err
	}
	delete(g.plugged, serial)
	usb, err := g.Monitor(ctx, "info usb")
	if err == nil && strings.Contains(usb, id) {
		err = fmt.Errorf("unplug %s: it is still there:\n%s", serial, usb)
	}
	return err
}

// Reset presses the reset button.
func (g *Guest) Reset(ctx context.Context) error {
	_, err := g.qmp.do(ctx, "system_reset", nil)
	return err
}

// Monitor runs a command of QEMU's monitor for people, as in "info mtree".
func (g *Guest) Monitor(ctx context.Context, command string) (string, error) {
	answer, err := g.qmp.do(ctx, "human-monitor-command", map[string]any{"command-line": command})
	if err != nil {
		return "", err
	}
	var text string
	if err := json.Unmarshal(answer, &text); err != nil {
		return "", fmt.Errorf("answer to %q: %w", command, err)
	}
	return text, nil
}

// socketpair is a connection between us and QEMU that needs no name in any
// folder.
func socketpair(tb testing.TB) (net.Conn, *os.File) {
	tb.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	file := os.NewFile(uintptr(fds[0]), "qmp")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		tb.Fatal(err)
	}
	return conn, os.NewFile(uintptr(fds[1]), "qmp")
}
