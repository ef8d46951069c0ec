package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A mount is one line of mountinfo (proc(5)).
type mount struct {
	dev    devno
	point  string
	fstype string
	source string
}

// parseMounts reads the text of mountinfo. A line has six fields, then any
// number of optional ones (in a rescue system none, elsewhere one or two), a
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
		mounts = append(mounts, mount{dev: no, point: unescape(left[4]), fstype: right[0], source: unescape(right[1])})
	}
	return mounts, nil
}

// unescape undoes the octal escapes of space, tab, newline and backslash that
// the kernel writes into mountinfo and swaps.
func unescape(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#").Replace(text)
}

// mounts lists what is mounted where, each with the number of the device below
// it also where the file system shows a number of its own (btrfs, overlay).
func (s *Sys) mounts() ([]mount, error) {
	text, err := fs.ReadFile(s.Proc, "self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list the mounts: %w", err)
	}
	mounts, err := parseMounts(string(text))
	if err != nil {
		return nil, err
	}
	for i, m := range mounts {
		if m.dev.major != 0 {
			continue
		}
		if no, ok := s.lookup(m.source); ok {
			mounts[i].dev = no
		} else if no, ok := s.cmdlineRoot(); ok && m.point == "/" && (m.fstype == "overlay" || m.source == "/dev/root") {
			mounts[i].dev = no
		}
	}
	return mounts, nil
}

// cmdlineRoot is the disk that the kernel was told to take its root from: the
// last resort where the root is an overlay whose lower half is mounted out of
// sight, as raspi-config makes it.
func (s *Sys) cmdlineRoot() (devno, bool) {
	text, err := fs.ReadFile(s.Proc, "cmdline")
	if err != nil {
		return devno{}, false
	}
	for _, word := range strings.Fields(string(text)) {
		root, ok := strings.CutPrefix(word, "root=")
		if !ok {
			continue
		}
		if tag, value, ok := strings.Cut(root, "="); ok {
			root = "/dev/disk/by-" + strings.ToLower(tag) + "/" + value
		}
		return s.lookup(root)
	}
	return devno{}, false
}

// lookup finds the device number behind a name such as "/dev/sda2" or
// "/dev/disk/by-uuid/…", as the kernel or a program wrote it down.
func (s *Sys) lookup(name string) (devno, bool) {
	rest, ok := strings.CutPrefix(name, "/dev/")
	if !ok {
		return devno{}, false
	}
	node := filepath.Join(s.Dev, filepath.FromSlash(rest))
	if no, ok := deviceNumber(node); ok {
		return no, true
	}
	if real, err := filepath.EvalSymlinks(node); err == nil {
		rest = filepath.Base(real)
	}
	no, err := s.number(path.Join("class/block", strings.ReplaceAll(rest, "/", "!")))
	return no, err == nil
}

// deviceNumber is the number of the block device that node leads to.
func deviceNumber(node string) (devno, bool) {
	info, err := os.Stat(node)
	if err != nil || info.Mode()&fs.ModeDevice == 0 || info.Mode()&fs.ModeCharDevice != 0 {
		return devno{}, false
	}
	rdev := statOf(info).Rdev
	return devno{unix.Major(uint64(rdev)), unix.Minor(uint64(rdev))}, true
}

// swaps lists what the kernel swaps to: nodes of parts, and files.
func (s *Sys) swaps() ([]string, error) {
	text, err := fs.ReadFile(s.Proc, "swaps")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a kernel without swap
	}
	if err != nil {
		return nil, fmt.Errorf("list the swap space: %w", err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) > 0 && strings.HasPrefix(fields[0], "/") { // not the heading
			names = append(names, unescape(fields[0]))
		}
	}
	return names, nil
}
