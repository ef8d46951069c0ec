package initramfs_test

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"lifeboat/boards"
	"lifeboat/initramfs"
	"lifeboat/internal/fixture"
)

const (
	piVersion = "6.6.31+rpt-rpi-v8"
	dtb       = "\xd0\x0d\xfe\xed\x00\x00\x00\x30 a device tree"
)

// kernel64 is the head of a 64-bit kernel, with its banner.
func kernel64(version string) []byte {
	b := make([]byte, 4096)
	copy(b[56:], "ARM\x64")
	copy(b[1000:], "%s version %s\x00Linux version "+version+" (someone@somewhere) #1 SMP\x00")
	return b
}

// kernel32 is a 32-bit kernel that unpacks itself.
func kernel32(tb testing.TB, version string) []byte {
	tb.Helper()
	b := make([]byte, 512)
	copy(b[36:], "\x18\x28\x6f\x01")
	return append(append(b, zip(tb, []byte("\x00Linux version "+version+" (someone)\x00"))...), "what follows"...)
}

func zip(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(data); err != nil {
		tb.Fatal(err)
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// debian is a root with Debian's kernel, firmware and device trees.
func debian(tb testing.TB) initramfs.Source {
	fsys := system(tb, elf.EM_AARCH64)
	fsys["boot/vmlinuz-"+kver] = file(kernel64(kver))
	for _, n := range []string{"bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat"} {
		fsys["usr/lib/raspi-firmware/"+n] = file([]byte(n + " of Debian"))
	}
	for _, n := range []string{"broadcom/bcm2837-rpi-3-b.dtb", "broadcom/bcm2711-rpi-4-b.dtb", "broadcom/bcm2712-rpi-5-b.dtb", "rockchip/rk3328-rock64.dtb"} {
		fsys["usr/lib/linux-image-"+kver+"/"+n] = file([]byte(dtb))
	}
	for _, n := range []string{"virtio_blk", "virtio_net", "dw_mmc_rockchip"} {
		fsys["lib/modules/"+kver+"/kernel/"+n+".ko"] = file(makeModule(tb, elf.EM_AARCH64, "depends="))
	}
	fsys["usr/lib/u-boot/rock64-rk3328/idbloader.img"] = file([]byte("idbloader"))
	fsys["usr/lib/u-boot/rock64-rk3328/u-boot.itb"] = file([]byte("u-boot"))
	return initramfs.Source{Name: "Debian", Root: fsys}
}

// raspios is a running Raspberry Pi OS, which boots a 5.
func raspios(tb testing.TB) initramfs.Source {
	boot := fstest.MapFS{
		"kernel8.img":     file(zip(tb, kernel64(piVersion))),
		"kernel_2712.img": file(zip(tb, kernel64("6.6.31+rpt-rpi-2712"))),
		"overlays/README": file([]byte("read me")), "overlays/bcm2712d0.dtbo": file([]byte(dtb)),
		"bcm2712-rpi-5-b.dtb": file([]byte(dtb)), "bcm2711-rpi-4-b.dtb": file([]byte(dtb)),
	}
	r := fstest.MapFS{
		"lib/modules/" + piVersion + "/modules.builtin":        file([]byte("kernel/drivers/mmc/host/sdhci-brcmstb.ko kernel/drivers/mfd/rp1.ko\nkernel/drivers/mmc/host/bcm2835-mmc.ko\n")),
		"lib/modules/" + piVersion + "/kernel/fs/f2fs/f2fs.ko": file(makeModule(tb, elf.EM_AARCH64, "depends=")),
	}
	return initramfs.Source{Name: "the running system", Boot: boot, Root: r}
}

func plan(t *testing.T, m elf.Machine, sources ...initramfs.Source) map[string]initramfs.Support {
	t.Helper()
	all, err := boards.All()
	if err != nil {
		t.Fatal(err)
	}
	list, err := initramfs.Plan(t.Context(), sources, all, m)
	if err != nil {
		t.Fatal(err)
	}
	m2 := map[string]initramfs.Support{}
	for _, s := range list {
		m2[s.Board.Name] = s
		if s.OK == (s.Why != "") {
			t.Errorf("%s: got OK %v and the reason %q", s.Board.Name, s.OK, s.Why)
		}
	}
	return m2
}

func TestPlan(t *testing.T) {
	t.Parallel()
	type want struct{ board, kernel, why string }
	for _, c := range []struct {
		name    string
		machine elf.Machine
		sources []initramfs.Source
		want    []want
	}{
		{"Debian", elf.EM_AARCH64, []initramfs.Source{debian(t)}, []want{
			{"rpi-3-b", kver, ""}, {"rpi-4-b", kver, ""}, {"virt", kver, ""}, {"rock64", kver, ""},
			{"rpi-5-b", "", "needs a kernel of its own, kernel_2712.img and bcm2712-*.dtb, from its own running system or a backup of one"},
			{"rpi-3-b-plus", "", "without a device tree"},
			{"rpi-zero", "", "no 64-bit kernels"},
			{"odroid-c2", "", "no driver for the SD slot"},
		}},
		{"Debian and a 5", elf.EM_AARCH64, []initramfs.Source{debian(t), raspios(t)}, []want{
			{"rpi-4-b", kver, ""}, {"rpi-5-b", piVersion, ""},
		}},
		{"a 5 alone", elf.EM_AARCH64, []initramfs.Source{raspios(t)}, []want{
			{"rpi-5-b", piVersion, ""}, {"rpi-4-b", "", "start4.elf, fixup4.dat"}, {"virt", "", "no driver for a disk"},
		}},
		{"32-bit program", elf.EM_ARM, []initramfs.Source{debian(t)}, []want{{"rpi-4-b", "", "is for 64 bit"}, {"rock64", "", "no 32-bit kernels"}}},
		{"nothing", elf.EM_AARCH64, nil, []want{{"virt", "", "none in the sources"}}},
	} {
		got := plan(t, c.machine, c.sources...)
		for _, w := range c.want {
			s := got[w.board]
			if s.Kernel != w.kernel || !strings.Contains(s.Why, w.why) || s.OK != (w.why == "") {
				t.Errorf("%s, %s: got kernel %q, %q; want %q, %q", c.name, w.board, s.Kernel, s.Why, w.kernel, w.why)
			}
		}
	}
}

// A 32-bit Raspberry Pi OS has one kernel for each family, known by name.
func TestPlan32(t *testing.T) {
	t.Parallel()
	boot, r := fstest.MapFS{}, fstest.MapFS{}
	for _, k := range []struct{ file, version string }{{"kernel.img", "6.1.21+"}, {"kernel7.img", "6.1.21-v7+"}, {"kernel7l.img", "6.1.21-v7l+"}} {
		boot[k.file] = file(kernel32(t, k.version))
		r["lib/modules/"+k.version+"/modules.builtin"] = file([]byte("bcm2835-sdhost.ko bcm2835-mmc.ko dwc_otg.ko genet.ko"))
	}
	for _, n := range []string{"bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat"} {
		boot[n] = file([]byte(n))
	}
	for _, n := range []string{"bcm2708-rpi-zero.dtb", "bcm2709-rpi-2-b.dtb", "bcm2710-rpi-3-b.dtb", "bcm2711-rpi-4-b.dtb"} {
		boot[n] = file([]byte(dtb))
	}
	got := plan(t, elf.EM_ARM, initramfs.Source{Name: "a 32-bit system", Boot: boot, Root: r})
	for board, want := range map[string]string{"rpi-zero": "6.1.21+", "rpi-2-b": "6.1.21-v7+", "rpi-3-b": "6.1.21-v7+", "rpi-4-b": "6.1.21-v7l+", "rpi-5-b": ""} {
		if got[board].Kernel != want {
			t.Errorf("%s: got kernel %q, %q; want %q", board, got[board].Kernel, got[board].Why, want)
		}
	}
}

func mediumOptions(t *testing.T, sources ...initramfs.Source) initramfs.MediumOptions {
	o := options(t)
	o.Sources = sources
	return initramfs.MediumOptions{Options: o, Temp: t.TempDir(), Files: fstest.MapFS{"job.toml": file([]byte("a job\n")), "images/card.img": file([]byte("an image"))}}
}

// medium makes an image in a file, and its part in another.
func medium(t *testing.T, o initramfs.MediumOptions) (img, part string, rep *initramfs.MediumReport) {
	t.Helper()
	img = filepath.Join(t.TempDir(), "rescue.img")
	f, err := os.Create(img)
	if err != nil {
		t.Fatal(err)
	}
	if rep, err = initramfs.Medium(t.Context(), f, o); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(rep.Size), f.Close()); err != nil {
		t.Fatal(err)
	}
	parts := fixture.Parts(t, img)
	if len(parts) != 1 {
		t.Fatalf("got %d parts, want one", len(parts))
	}
	if left, _ := os.ReadDir(o.Temp); len(left) > 0 {
		t.Errorf("%d files are left in the temporary folder", len(left))
	}
	return img, fixture.Cut(t, img, parts[0]), rep
}

func TestMedium(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "sfdisk", "fsck.vfat", "mdir", "mtype")
	img, part, rep := medium(t, mediumOptions(t, debian(t), raspios(t)))
	if out := fixture.Run(t, "sfdisk", "-V", img); !strings.Contains(out, "No errors") {
		t.Errorf("sfdisk: %s", out)
	}
	dump := fixture.Run(t, "sfdisk", "-d", img)
	for _, want := range []string{"start=       24576", "type=c, bootable", "label-id: 0x00000001"} {
		if !strings.Contains(dump, want) {
			t.Errorf("sfdisk lacks %q:\n%s", want, dump)
		}
	}
	fixture.Run(t, "fsck.vfat", "-n", part)
	if out := fixture.Run(t, "mlabel", "-s", "-i", part); !strings.Contains(out, "LIFEBOAT") {
		t.Errorf("mlabel: %s", out)
	}
	config := fixture.Run(t, "mtype", "-i", part, "::config.txt")
	for _, want := range []string{"initramfs rescue.cpio.gz followkernel\n", "[pi4]\n", "upstream_kernel=1\n", "[pi5]\n# " + piVersion + "\nkernel=vmlinuz2\n", "\n[all]\n"} {
		if !strings.Contains(config, want) {
			t.Errorf("config.txt lacks %q:\n%s", want, config)
		}
	}
	if strings.Contains(config[strings.Index(config, "[pi5]"):], "upstream") {
		t.Errorf("a kernel of Raspberry Pi's is called upstream:\n%s", config)
	}
	for name, want := range map[string]string{
		"::cmdline.txt": "console=tty1 ", "::lifeboat/job.toml": "a job", "::start4.elf": "start4.elf of Debian",
		"::extlinux/extlinux.conf": "fdtdir /dtb\n", "::dtb/rockchip/rk3328-rock64.dtb": "a device tree", "::overlays/README": "read me",
	} {
		if got := fixture.Run(t, "mtype", "-i", part, name); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q in it", name, got, want)
		}
	}
	for _, want := range []string{"rpi-3-b", "rpi-4-b", "rpi-5-b", "virt", "rock64"} {
		if !slices.Contains(rep.Boards, want) {
			t.Errorf("got boards %q, want %s too", rep.Boards, want)
		}
	}
	if len(rep.Kernels) != 2 || len(rep.Loaders) != 2 {
		t.Errorf("got %d kernels, boot loaders %q; want 2 and 2", len(rep.Kernels), rep.Loaders)
	}
}

// The boot loader of the one board that needs it lies where its ROM looks, and
// the part begins behind it.
func TestMediumWithBootLoader(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "sfdisk")
	o := mediumOptions(t, debian(t))
	o.Boards = []string{"rock64"}
	o.Size = 96 << 20
	img, _, rep := medium(t, o)
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(b[64*512:][:9]); got != "idbloader" {
		t.Errorf("at sector 64: got %q", got)
	}
	if got := string(b[16384*512:][:6]); got != "u-boot" {
		t.Errorf("at sector 16384: got %q", got)
	}
	if p := fixture.Parts(t, img)[0]; p.Off < 16384*512+6 || len(b) != 96<<20 || rep.Size != 96<<20 {
		t.Errorf("got a part at %d, %d bytes; want it behind the boot loader, %d", p.Off, len(b), 96<<20)
	}
}

func TestMediumIsReproducible(t *testing.T) {
	t.Parallel()
	a, _, _ := medium(t, mediumOptions(t, debian(t)))
	b, _, _ := medium(t, mediumOptions(t, debian(t)))
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Error("the same clock and seed gave two different media")
	}
}

func TestMediumRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*initramfs.MediumOptions)
		want   string
	}{
		{"unknown board", func(o *initramfs.MediumOptions) { o.Boards = []string{"toaster"} }, "toaster"},
		{"unsupported board", func(o *initramfs.MediumOptions) { o.Boards = []string{"rpi-5-b"} }, "Raspberry Pi 5 cannot be made: it needs a kernel of its own"},
		{"nothing to boot", func(o *initramfs.MediumOptions) { o.Sources = nil }, "can boot no board"},
		{"too small", func(o *initramfs.MediumOptions) { o.Size = 8 << 20 }, "too few"},
		{"an ID that is none", func(o *initramfs.MediumOptions) { o.Info.ID = "xyz" }, "hex"},
		{"broken device tree", func(o *initramfs.MediumOptions) {
			o.Sources[0].Root.(fstest.MapFS)["usr/lib/linux-image-"+kver+"/broadcom/bcm2711-rpi-4-b.dtb"] = file([]byte("<html>"))
		}, "bcm2711-rpi-4-b.dtb is no device tree"},
	} {
		o := mediumOptions(t, debian(t))
		c.change(&o)
		f, err := os.Create(filepath.Join(t.TempDir(), "x.img"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = initramfs.Medium(t.Context(), f, o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
		sector := make([]byte, 512)
		if _, err := f.ReadAt(sector, 0); err == nil && sector[510] == 0x55 {
			t.Errorf("%s: there is a partition table", c.name)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNetboot(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mkimage")
	dir := filepath.Join(t.TempDir(), "tftp")
	o := mediumOptions(t, debian(t))
	if _, err := initramfs.Netboot(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config.txt", "cmdline.txt", "start4.elf", "bcm2711-rpi-4-b.dtb", "vmlinuz", "rescue.cpio.gz", "lifeboat/job.toml", "README"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	list := fixture.Run(t, "mkimage", "-l", filepath.Join(dir, "boot.scr.uimg"))
	for _, want := range []string{"AArch64 Linux Script (uncompressed)", "lifeboat", "Image 0:"} {
		if !strings.Contains(list, want) {
			t.Errorf("mkimage lacks %q:\n%s", want, list)
		}
	}
	script, err := os.ReadFile(filepath.Join(dir, "boot.scr.uimg"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(script[72:])
	// mkimage wraps the same text into the same bytes.
	cmd, own := writeFile(t, t.TempDir(), "boot.cmd", []byte(text)), filepath.Join(t.TempDir(), "own")
	t.Log(fixture.Run(t, "env", "SOURCE_DATE_EPOCH="+strconv.FormatInt(noon().Unix(), 10), "mkimage", "-A", "arm64", "-O", "linux", "-T", "script", "-C", "none", "-n", "lifeboat", "-d", cmd, own))
	if want, err := os.ReadFile(own); err != nil || !bytes.Equal(script, want) {
		t.Errorf("mkimage makes other bytes of the same script (%v)", err)
	}
	if !strings.Contains(text, "tftpboot ${ramdisk_addr_r} rescue.cpio.gz\nbooti ${kernel_addr_r}") {
		t.Errorf("got script\n%s", text)
	}
	if _, err := initramfs.Netboot(t.Context(), dir, o); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: got %v, want one that wraps fs.ErrExist", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 1 {
		t.Errorf("got %d names beside the folder, want it alone", len(left))
	}
}
