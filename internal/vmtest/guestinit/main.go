// Command guestinit is the first program of a guest that package vmtest boots:
// it mounts what programs expect, loads modules, runs the tests, tells their
// exit code, and turns the machine off. It knows no test, and nothing else uses
// it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What the host and the guest agree on: package vmtest has the same.
const (
	exitMarker = "vmtest: exit code "
	ordersFile = "/etc/orders.json"
)

type orders struct {
	Modules []struct{ Path, Params string }
	Command []string
	Env     []string
}

func main() {
	console, err := os.OpenFile("/dev/console", os.O_RDWR, 0)
	if err == nil {
		code, err := work(console)
		if err != nil {
			fmt.Fprintf(console, "vmtest: %v\n", err)
		}
		fmt.Fprintf(console, "\n%s%d\n", exitMarker, code)
	}
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// work returns the exit code of the tests, 127 where they could not begin.
func work(console *os.File) (int, error) {
	const notBegun = 127
	if err := mountAll(); err != nil {
		return notBegun, err
	}
	text, err := os.ReadFile(ordersFile)
	if err != nil {
		return notBegun, err
	}
	var o orders
	if err := json.Unmarshal(text, &o); err != nil {
		return notBegun, fmt.Errorf("%s: %w", ordersFile, err)
	}
	for _, m := range o.Modules {
		if err := load(m.Path, m.Params); err != nil {
			return notBegun, fmt.Errorf("load %s: %w", m.Path, err)
		}
	}
	if err := loopbackUp(); err != nil {
		return notBegun, fmt.Errorf("network interface lo: %w", err)
	}
	cmd := exec.Command(o.Command[0], o.Command[1:]...)
	cmd.Env, cmd.Dir = o.Env, "/"
	cmd.Stdout, cmd.Stderr = console, console
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return notBegun, err
	}
	return 0, nil
}

func mountAll() error {
	for _, m := range []struct{ fstype, point string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"},
	} {
		if err := unix.Mount(m.fstype, m.point, m.fstype, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.point, err)
		}
	}
	return nil
}

func load(path, params string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), params, 0); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}
