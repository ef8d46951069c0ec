package fat_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lifeboat/clone/filesystem/fat"
	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// TestInGuest lets Linux's own driver judge: it reads what an Editor wrote, and
// an Editor goes on where Linux wrote.
func TestInGuest(t *testing.T) {
	t.Parallel()
	var disks []string
	for _, o := range []fat.Options{{Size: 4 << 20}, {Size: 16 << 20}, {Size: 64 << 20, Kind: 32}} {
		path := filepath.Join(t.TempDir(), "fat.img")
		truncate(t, path, o.Size)
		f, size := openFile(t, path)
		if err := fat.Format(f, o); err != nil {
			t.Fatal(err)
		}
		e := edit(t, f, size)
		fill(t, e)
		disks = append(disks, path)
	}
	vmtest.Run(t, vmtest.Options{Disks: disks, Modules: []string{"vfat", "nls_cp437", "nls_iso8859_1", "nls_ascii", "nls_utf8"}, Programs: []string{"fsck.vfat"}})
}

// fill writes what the guest expects.
func fill(t *testing.T, e *fat.Editor) {
	t.Helper()
	err := e.MkdirAll("overlays/deep")
	for name, data := range guestFiles() {
		err = errors.Join(err, e.WriteFile(name, []byte(data)))
	}
	err = errors.Join(err, e.Rename("overlays/lower1.txt", "overlays/Renamed, and longer.txt"), e.Rename("overlays/deep", "moved"), e.Close())
	if err != nil {
		t.Fatal(err)
	}
}

func guestFiles() map[string]string {
	files := map[string]string{"overlays/deep/in.txt": "deep"}
	for name, data := range samples(60, 9000) {
		files["overlays/"+name] = data
	}
	files[strings.Repeat("😀", 127)+"x"] = "255 units"
	return files
}

func TestGuestReadsAndWrites(t *testing.T) {
	vmtest.Only(t)
	want := guestFiles()
	want["overlays/Renamed, and longer.txt"] = want["overlays/lower1.txt"]
	want["moved/in.txt"], want["overlays/"], want["moved/"] = "deep", "", ""
	delete(want, "overlays/lower1.txt")
	delete(want, "overlays/deep/in.txt")
	for _, dev := range []string{"/dev/ubda", "/dev/ubdb", "/dev/ubdc"} {
		dir := t.TempDir()
		if err := syscall.Mount(dev, dir, "vfat", 0, "utf8=1,shortname=winnt"); err != nil {
			t.Fatal(dev, err)
		}
		sameTree(t, tree(t, os.DirFS(dir)), want)
		more := map[string]string{"UPPER.TXT": "u", "lower.txt": "l", "Mixed and 😀 long": "m", "START.elf": "n"}
		for name, data := range more {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(filepath.Join(dir, "overlays", "FILE10.TXT")); err != nil {
			t.Fatal(err)
		}
		if err := fixture.Unmount(dir); err != nil {
			t.Fatal(err)
		}
		fixture.Run(t, "fsck.vfat", "-n", dev)
		goOn(t, dev, want, more)
	}
}

// goOn edits what Linux has written, and lets Linux read that.
func goOn(t *testing.T, dev string, before, more map[string]string) {
	t.Helper()
	want := map[string]string{}
	for _, m := range []map[string]string{before, more} {
		for name, data := range m {
			want[name] = data
		}
	}
	delete(want, "overlays/FILE10.TXT")
	f, err := os.OpenFile(dev, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Seek(0, 2)
	if err != nil {
		t.Fatal(err)
	}
	e := edit(t, f, size)
	sameTree(t, tree(t, e.FS()), want)
	want["lower.txt"], want["new.txt"] = "changed", "new"
	err = errors.Join(e.WriteFile("LOWER.TXT", []byte("changed")), e.WriteFile("new.txt", []byte("new")), e.Close(), f.Close())
	if err != nil {
		t.Fatal(err)
	}
	fixture.Run(t, "fsck.vfat", "-n", dev)
	dir := t.TempDir()
	if err := syscall.Mount(dev, dir, "vfat", syscall.MS_RDONLY, "utf8=1,shortname=winnt"); err != nil {
		t.Fatal(dev, err)
	}
	sameTree(t, tree(t, os.DirFS(dir)), want)
	if err := fixture.Unmount(dir); err != nil {
		t.Fatal(err)
	}
}
