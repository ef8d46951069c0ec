package powerloss_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lifeboat/internal/fixture"
)

// listing is what the kernel finds in a file system: a line for each file; an
// error is one of the mount.
func listing(t *testing.T, part, option string) (map[string]string, error) {
	t.Helper()
	node := strings.TrimSpace(fixture.Run(t, "losetup", "-f", "--show", part))
	defer fixture.Run(t, "losetup", "-d", node)
	mount, err := fixture.Mount("ext4", node, option)
	if err != nil {
		return nil, err
	}
	defer mount.Close()
	dir := fixture.MountPath(mount)
	lines := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := "./" + strings.TrimPrefix(path, dir)
		lines[name], err = describe(path)
		return err
	}))
	return lines, nil
}

// describe is all that a user could miss of a file.
func describe(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	st := info.Sys().(*syscall.Stat_t)
	line := fmt.Sprintf("%v %d:%d %d", info.Mode(), st.Uid, st.Gid, st.Mtim.Nano())
	switch {
	case info.Mode().IsRegular():
		b, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf(" %d links, %d bytes, %x", st.Nlink, len(b), sha256.Sum256(b))
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		return line + " to " + to, nil
	}
	attrs, err := attributes(path)
	return line + attrs, err
}

func attributes(path string) (string, error) {
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, names)
	if err != nil {
		return "", err
	}
	line := ""
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf(" %s=%x", name, sha256.Sum256(value[:n]))
	}
	return line, nil
}

// compare tells in which files two listings differ.
func compare(want, got map[string]string) []string {
	var diff []string
	for name, line := range want {
		if got[name] != line {
			diff = append(diff, fmt.Sprintf("%s: got %q, want %q", name, got[name], line))
		}
	}
	for name, line := range got {
		if _, ok := want[name]; !ok {
			diff = append(diff, fmt.Sprintf("%s: got %q, want none", name, line))
		}
	}
	return diff
}

// withoutRepairs leaves out what a replay of fast commits may change by itself:
// the kernel dates folders anew, and leaves files in none, which e2fsck finds.
func withoutRepairs(lines map[string]string) map[string]string {
	kept := map[string]string{}
	for name, line := range lines {
		if line[0] != 'd' && !strings.HasPrefix(name, "./lost+found/") {
			kept[name] = line
		}
	}
	return kept
}
