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

// mounts lists what is mounted where, each with the number of the device below
// it also where the file system shows a number of its own (btrfs, overlay).
func (s *Sys) mounts() ([]Mount, error) {
	text, err := fs.ReadFile(s.Proc, "self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list the mounts: %w", err)
	}
	mounts, err := ParseMounts(string(text))
	if err != nil {
		return nil, err
	}
	for i, m := range mounts {
		if m.Number.Major != 0 {
			continue
		}
		if no, ok := s.lookup(m.Source); ok {
			mounts[i].Number = no
		} else if no, ok := s.cmdlineRoot(); ok && m.Point == "/" && (m.Type == "overlay" || m.Source == "/dev/root") {
			mounts[i].Number = no
		}
	}
	return mounts, nil
}

// cmdlineRoot is the disk that the kernel was told to take its root from: the
// last resort where the root is an overlay whose lower half is mounted out of
// sight, as raspi-config makes it.
func (s *Sys) cmdlineRoot() (Number, bool) {
	text, err := fs.ReadFile(s.Proc, "cmdline")
	if err != nil {
		return Number{}, false
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
	return Number{}, false
}

// lookup finds the device number behind a name such as "/dev/sda2" or
// "/dev/disk/by-uuid/…", as the kernel or a program wrote it down.
func (s *Sys) lookup(name string) (Number, bool) {
	rest, ok := strings.CutPrefix(name, "/dev/")
	if !ok {
		return Number{}, false
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
func deviceNumber(node string) (Number, bool) {
	info, err := os.Stat(node)
	if err != nil || info.Mode()&fs.ModeDevice == 0 || info.Mode()&fs.ModeCharDevice != 0 {
		return Number{}, false
	}
	rdev := statOf(info).Rdev
	return Number{unix.Major(uint64(rdev)), unix.Minor(uint64(rdev))}, true
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
			names = append(names, Unescape(fields[0]))
		}
	}
	return names, nil
}
