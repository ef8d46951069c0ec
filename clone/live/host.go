package live

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lifeboat/clone/disk"
)

// A host is what the kernel tells of itself. What it is told is written below
// root, which is "" but in tests.
type host struct {
	sys  *disk.Sys
	root string
}

// numberOf is the device number in a stat.
func numberOf(dev uint64) disk.Number {
	return disk.Number{Major: unix.Major(dev), Minor: unix.Minor(dev)}
}

func (h host) mounts() ([]disk.Mount, error) {
	text, err := fs.ReadFile(h.sys.Proc, "self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list the mounts: %w", err)
	}
	return disk.ParseMounts(string(text))
}

// swaps lists the files and nodes that the kernel swaps to.
func (h host) swaps() []string {
	text, err := fs.ReadFile(h.sys.Proc, "swaps")
	if err != nil {
		return nil // a kernel without swap
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 0 && strings.HasPrefix(fields[0], "/") {
			names = append(names, disk.Unescape(fields[0]))
		}
	}
	return names
}

// text is the content of a small file of sysfs, "" where there is none.
func (h host) text(name string) string {
	b, err := fs.ReadFile(h.sys.Sys, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (h host) exists(name string) bool {
	_, err := fs.Stat(h.sys.Sys, name)
	return err == nil
}

// number is the device number of a disk or part, by its name.
func (h host) number(name string) (disk.Number, error) {
	return disk.ParseNumber(h.text(path.Join("class/block", name, "dev")))
}

// writtenSectors counts what was ever written to a disk, in units of 512 bytes
// (Linux, Documentation/block/stat.rst: the seventh field).
func (h host) writtenSectors(name string) (int64, error) {
	fields := strings.Fields(h.text(path.Join("class/block", name, "stat")))
	if len(fields) < 7 {
		return 0, fmt.Errorf("the kernel keeps no count of what is written to %s", name)
	}
	return strconv.ParseInt(fields[6], 10, 64)
}

// onlineCPUs reads "0-3,5".
func (h host) onlineCPUs() []int {
	var cpus []int
	for _, run := range strings.Split(h.text("devices/system/cpu/online"), ",") {
		a, b, two := strings.Cut(run, "-")
		first, err1 := strconv.Atoi(a)
		last, err2 := first, error(nil)
		if two {
			last, err2 = strconv.Atoi(b)
		}
		if err1 != nil || err2 != nil || last > 1<<16 {
			continue
		}
		for n := first; n <= last; n++ {
			cpus = append(cpus, n)
		}
	}
	return cpus
}
