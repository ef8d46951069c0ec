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

// A devno is a device number.
type devno struct{ major, minor uint32 }

func (d devno) String() string { return fmt.Sprintf("%d:%d", d.major, d.minor) }

func devnoOf(dev uint64) devno { return devno{unix.Major(dev), unix.Minor(dev)} }

func parseDevno(text string) (devno, error) {
	a, b, ok := strings.Cut(strings.TrimSpace(text), ":")
	major, err1 := strconv.ParseUint(a, 10, 32)
	minor, err2 := strconv.ParseUint(b, 10, 32)
	if !ok || err1 != nil || err2 != nil {
		return devno{}, fmt.Errorf("%q is no device number", text)
	}
	return devno{uint32(major), uint32(minor)}, nil
}

// A mount is one line of mountinfo (proc(5)).
type mount struct {
	dev      devno
	point    string
	fstype   string
	source   string
	options  []string // of the file system, not of the mount
	readOnly bool     // the file system: a mount may be so alone
}

// parseMounts reads mountinfo: six fields, then any number of optional ones, a
// "-", and three more.
func parseMounts(text string) ([]mount, error) {
	var mounts []mount
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 6 || len(right) < 2 {
			return nil, fmt.Errorf("mountinfo: line %q is not understood", line)
		}
		no, err := parseDevno(left[2])
		if err != nil {
			return nil, fmt.Errorf("mountinfo: %w", err)
		}
		m := mount{dev: no, point: unescape(left[4]), fstype: right[0], source: unescape(right[1])}
		if len(right) > 2 {
			m.options = strings.Split(right[2], ",")
			m.readOnly = m.options[0] == "ro"
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// unescape undoes the octal escapes that the kernel writes into its tables.
func unescape(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#").Replace(text)
}

func (m mount) option(name string) string {
	for _, o := range m.options {
		if value, ok := strings.CutPrefix(o, name+"="); ok {
			return unescape(value)
		}
	}
	return ""
}

func (h host) mounts() ([]mount, error) {
	text, err := fs.ReadFile(h.sys.Proc, "self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list the mounts: %w", err)
	}
	return parseMounts(string(text))
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
			names = append(names, unescape(fields[0]))
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
func (h host) number(name string) (devno, error) {
	return parseDevno(h.text(path.Join("class/block", name, "dev")))
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
