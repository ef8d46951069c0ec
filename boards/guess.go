package boards

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Guess tells the board by the files of its boot part. Where the files would
// boot several models it is the name of the generic board that stands for them,
// and "" where nothing can be told.
func Guess(boot fs.FS) string {
	p := part{boot}
	if isPi(p) {
		if list := Bootable(boot); len(list) == 1 {
			return list[0].Name
		}
		return "raspberry-pi"
	}
	tree := treeFile(p)
	if tree == "" {
		return ""
	}
	list, err := All()
	if err != nil {
		return ""
	}
	for _, b := range list {
		if slices.Contains(b.DeviceTrees(), path.Base(tree)) {
			return b.Name
		}
	}
	if strings.HasPrefix(path.Base(tree), "rk3") {
		return "rockchip"
	}
	return ""
}

// Bootable lists the Raspberry Pis that the files of a boot part would boot.
func Bootable(boot fs.FS) []Board {
	all, err := All()
	if err != nil {
		return nil
	}
	var list []Board
	for _, b := range all {
		if b.Pi == nil {
			continue
		}
		_, err := Firmware(boot, b, FirmwareOptions{})
		var elsewhere *ElsewhereError
		if err == nil || errors.As(err, &elsewhere) {
			list = append(list, b)
		}
	}
	return list
}

// isPi looks for what only the Raspberry Pi's firmware reads.
func isPi(p part) bool {
	return slices.ContainsFunc([]string{"config.txt", "autoboot.txt", "bootcode.bin", "start.elf", "start4.elf"}, p.has)
}

// treeFile is the device tree that U-Boot is told to take, by extlinux.conf or
// Armbian's settings; "" where none is named.
func treeFile(p part) string {
	for _, name := range []string{"extlinux/extlinux.conf", "boot/extlinux/extlinux.conf"} {
		text, err := p.text(name)
		if err != nil {
			continue
		}
		if e, ok := defaultEntry(text); ok && e.fdt != "" {
			return e.fdt
		}
	}
	for _, name := range []string{"armbianEnv.txt", "boot/armbianEnv.txt"} {
		text, err := p.text(name)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(text, "\n") {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "fdtfile="); ok {
				return v
			}
		}
	}
	return ""
}
