package powerloss_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"testing"

	"lifeboat/clone/filesystem"
)

// sameFiles holds that two cards have the same files, but for the text that
// names new IDs.
func sameFiles(t *testing.T, a, b string) {
	t.Helper()
	want, got := filesOf(t, a), filesOf(t, b)
	if len(want) == 0 {
		t.Fatalf("%s holds no files", a)
	}
	for name, line := range want {
		if got[name] != line {
			t.Errorf("%s: got %q, want %q", name, got[name], line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d files, want %d", len(got), len(want))
	}
}

// filesOf is a line for each file of a card's parts.
func filesOf(t *testing.T, card string) map[string]string {
	t.Helper()
	src := openCard(t, card)
	defer src.Close()
	lines := map[string]string{}
	for _, p := range src.Head().Parts {
		if p.FS.Type != "vfat" && !filesystem.IsExt(p.FS.Type) {
			continue
		}
		files, err := filesystem.Files(io.NewSectionReader(src, p.Extent.Off, p.Extent.Len), p.Extent.Len, p.FS)
		must(t, err)
		must(t, fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			line, err := lineOf(files, name, d)
			lines[fmt.Sprintf("part %d: %s", p.Num, name)] = line
			return err
		}))
	}
	return lines
}

func lineOf(files fs.FS, name string, d fs.DirEntry) (string, error) {
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	if !d.Type().IsRegular() {
		return info.Mode().String(), nil
	}
	content, err := fs.ReadFile(files, name)
	if err != nil {
		return "", err
	}
	if name == "cmdline.txt" || name == "etc/fstab" || name == "extlinux/extlinux.conf" {
		return fmt.Sprintf("%v %d", info.Mode(), info.Size()), nil
	}
	return fmt.Sprintf("%v %d %x", info.Mode(), info.Size(), sha256.Sum256(content)), nil
}
