package initramfs_test

import (
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lifeboat/initramfs"
	"lifeboat/internal/fixture"
)

// debs is Debian for arm64: both kernels, firmware, e2fsprogs and libraries.
func debs(t *testing.T) initramfs.Source {
	t.Helper()
	var list []fs.FS
	for _, p := range []string{"linux-image-*[0-9]-arm64_*", "linux-image-*-cloud-arm64_*", "raspi-firmware_*", "e2fsprogs_*", "dosfstools_*", "libext2fs2_*", "libcom-err2_*", "libss2_*", "libblkid1_*", "libuuid1_*", "libc6_*"} {
		list = append(list, os.DirFS(fixture.Unpacked(t, p)))
	}
	return initramfs.Source{Name: "Debian's packages", Root: initramfs.Merge(list...)}
}

// The sources must make a medium for the boards that people have.
func TestRealMedium(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "sfdisk", "fsck.vfat")
	o := mediumOptions(t, debs(t))
	o.Programs = nil // all of them
	_, part, rep := medium(t, o)
	fixture.Run(t, "fsck.vfat", "-n", part)
	for _, want := range []string{"rpi-3-b", "rpi-3-b-plus", "rpi-3-a-plus", "rpi-4-b", "rpi-400", "rpi-cm4", "rpi-zero-2-w", "virt", "rock64"} {
		if !slices.Contains(rep.Boards, want) {
			t.Errorf("got boards %q, want %s too", rep.Boards, want)
		}
	}
	for _, want := range []string{"sbin/e2fsck", "sbin/resize2fs", "sbin/mkfs.fat", "lib/libext2fs.so.2", "lib/ld-linux-aarch64.so.1"} {
		if !slices.Contains(rep.Programs, want) {
			t.Errorf("got programs %q, want %s too", rep.Programs, want)
		}
	}
	k := rep.Kernels[0]
	for _, want := range []string{"ext4", "jbd2", "vfat", "nls_ascii", "sd_mod", "scsi_mod", "usb_storage", "genet", "sdhci_iproc", "bcm2835", "dwc2", "btrfs", "blake2b_generic", "xxhash_generic", "virtio_net"} {
		if !slices.Contains(k.Modules, want) && !slices.Contains(k.Built, want) {
			t.Errorf("kernel %s: module %s is not in the image", k.Version, want)
		}
	}
	if p := plan(t, elf.EM_AARCH64, debs(t))["rpi-5-b"]; !strings.Contains(p.Why, "SD slot") {
		t.Errorf("premise: Debian's kernel has a driver for the Raspberry Pi 5's SD slot now, got %q", p.Why)
	}
}

// depmod, on the modules of the image, must come to the same tables.
func TestDepmodAgrees(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "depmod", "cpio", "sh", "modinfo")
	dir := t.TempDir()
	name := filepath.Join(dir, "rescue.cpio.gz")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.Sources, o.Programs = []initramfs.Source{debs(t)}, []string{}
	rep, err := initramfs.Build(t.Context(), f, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	fixture.Run(t, "sh", "-c", fmt.Sprintf("cd %s && gzip -dc %s | cpio -idm --quiet --no-absolute-filenames 'lib/*'", dir, name))
	for _, k := range rep.Kernels {
		base := filepath.Join(dir, "lib/modules", k.Version)
		ours := map[string][]string{}
		for _, table := range []string{"modules.dep", "modules.alias", "modules.softdep"} {
			text, err := os.ReadFile(filepath.Join(base, table))
			if err != nil {
				t.Fatal(err)
			}
			ours[table] = lines(string(text))
		}
		fixture.Run(t, "depmod", "-b", dir, k.Version)
		for table, got := range ours {
			text, err := os.ReadFile(filepath.Join(base, table))
			if err != nil {
				t.Fatal(err)
			}
			if want := lines(string(text)); !slices.Equal(got, want) {
				t.Errorf("%s %s differs from depmod's:\n%s", k.Version, table, difference(got, want))
			}
		}
	}
}

// lines are the lines of a table, sorted; the order of dependencies within a
// line is free as far as depmod goes, so these are sorted too.
func lines(text string) []string {
	var list []string
	for _, l := range strings.Split(text, "\n") {
		if strings.HasPrefix(l, "#") || l == "" {
			continue
		}
		if module, deps, ok := strings.Cut(l, ":"); ok && strings.HasSuffix(module, ".ko") {
			words := strings.Fields(deps)
			slices.Sort(words)
			l = module + ": " + strings.Join(words, " ")
		}
		// depmod writes a line for each softdep of a module, we one for all.
		if head, deps, ok := strings.Cut(l, " pre: "); ok && !strings.Contains(deps, "post:") {
			for _, w := range strings.Fields(deps) {
				list = append(list, head+" pre: "+w)
			}
			continue
		}
		list = append(list, l)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func difference(got, want []string) string {
	var b strings.Builder
	for _, l := range got {
		if !slices.Contains(want, l) {
			b.WriteString("got  " + l + "\n")
		}
	}
	for _, l := range want {
		if !slices.Contains(got, l) {
			b.WriteString("want " + l + "\n")
		}
	}
	return b.String()[:min(b.Len(), 2000)]
}

// Our reader of packages against dpkg's.
func TestDpkgAgrees(t *testing.T) {
	t.Parallel()
	deb := fixture.Deb(t, "e2fsprogs_*")
	ours, cleanup, err := initramfs.OpenDebs(t.Context(), t.TempDir(), []string{deb})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cleanup(); err != nil {
			t.Error(err)
		}
	}()
	theirs := os.DirFS(fixture.Unpacked(t, "e2fsprogs_*"))
	n := 0
	err = fs.WalkDir(theirs, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(name, "usr/share/") {
			return err
		}
		n++
		want, err := fs.ReadFile(theirs, name)
		if err != nil {
			return err
		}
		f, err := ours.Open(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return nil
		}
		defer f.Close()
		got, err := io.ReadAll(f)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s differs from what dpkg-deb unpacked (%v)", name, err)
		}
		return nil
	})
	if err != nil || n < 20 {
		t.Errorf("compared %d files: %v", n, err)
	}
}
