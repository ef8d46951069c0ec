package uinit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/u-root/u-root/pkg/mount"
	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
)

// mountArgs is what a call of mount wants.
type mountArgs struct {
	kind, options, device, folder string
}

// parseMount reads the arguments of mount; without any, all is empty.
func parseMount(args []string) (mountArgs, error) {
	var m mountArgs
	var rest []string
	for len(args) > 0 {
		switch a := args[0]; {
		case (a == "-t" || a == "-o") && len(args) < 2:
			return m, fmt.Errorf("%s needs a word behind it", a)
		case a == "-t":
			m.kind, args = args[1], args[1:]
		case a == "-o":
			m.options, args = strings.Trim(m.options+","+args[1], ","), args[1:]
		case a == "-r":
			m.options = strings.Trim(m.options+",ro", ",")
		case strings.HasPrefix(a, "-"):
			return m, fmt.Errorf("option %s is not known", a)
		default:
			rest = append(rest, a)
		}
		args = args[1:]
	}
	switch {
	case len(rest) == 2:
		m.device, m.folder = rest[0], rest[1]
	case len(rest) == 1 && strings.Contains(","+m.options+",", ",remount,"):
		m.folder = rest[0]
	case len(rest) != 0 || m.kind != "" || m.options != "":
		return m, errors.New("want a device and a folder")
	}
	return m, nil
}

// flags splits options into the kernel's flags and what the file system gets.
func (m mountArgs) flags() (flags uintptr, data string) {
	known := map[string]uintptr{
		"ro": unix.MS_RDONLY, "remount": unix.MS_REMOUNT, "bind": unix.MS_BIND, "rbind": unix.MS_BIND | unix.MS_REC,
		"nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC, "sync": unix.MS_SYNCHRONOUS,
		"noatime": unix.MS_NOATIME, "relatime": unix.MS_RELATIME, "rw": 0, "defaults": 0, "loop": 0,
	}
	var rest []string
	for _, o := range strings.Split(m.options, ",") {
		if f, ok := known[o]; ok {
			flags |= f
		} else if o != "" {
			rest = append(rest, o)
		}
	}
	return flags, strings.Join(rest, ",")
}

func runMount(_ context.Context, hc interp.HandlerContext, args []string) error {
	m, err := parseMount(args)
	if err != nil {
		return err
	}
	if m.folder == "" {
		return copyFile(hc.Stdout, "/proc/self/mounts")
	}
	flags, data := m.flags()
	folder := resolve(hc, m.folder)
	if m.kind == "" && flags&(unix.MS_BIND|unix.MS_REMOUNT) == 0 {
		return tryMount(resolve(hc, m.device), folder, data, flags)
	}
	device := m.device
	if strings.Contains(device, "/") || flags&unix.MS_BIND != 0 {
		device = resolve(hc, device)
	}
	_, err = mount.Mount(device, folder, m.kind, data, flags)
	return err
}

// tryMount finds the type by trying: the kernel loads the module that a type
// needs, while u-root's TryMount knows only the types that are loaded already.
func tryMount(device, folder, data string, flags uintptr) error {
	var err error
	for _, kind := range []string{"ext4", "vfat", "btrfs", "f2fs", "xfs", "exfat", "ntfs3", "iso9660", "squashfs"} {
		_, err = mount.Mount(device, folder, kind, data, flags|unix.MS_SILENT)
		if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENODEV) {
			return err
		}
	}
	return fmt.Errorf("%s holds no file system that this kernel knows, or one that is damaged: %w", device, err)
}

func runUmount(_ context.Context, hc interp.HandlerContext, args []string) error {
	lazy := len(args) > 0 && args[0] == "-l"
	if lazy {
		args = args[1:]
	}
	if len(args) == 0 {
		return errors.New("want a folder")
	}
	var failed error
	for _, a := range args {
		if err := mount.Unmount(resolve(hc, a), false, lazy); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", a, err))
		}
	}
	return failed
}
