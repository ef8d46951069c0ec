package boards_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"lifeboat/boards"
)

const dtb = "\xd0\x0d\xfe\xed rest"

func image64() string { return strings.Repeat("\x00", 56) + "ARM\x64" + strings.Repeat("\x00", 100) }
func image32() string {
	return strings.Repeat("\x00", 36) + "\x18\x28\x6f\x01" + strings.Repeat("\x00", 100)
}

// files makes a boot part: "name" is an empty file, "name: text" one with text.
func files(specs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for _, s := range specs {
		name, text, _ := strings.Cut(s, ": ")
		if strings.HasSuffix(name, ".dtb") && text == "" {
			text = dtb
		}
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

// raspios is the boot part of a 64-bit Raspberry Pi OS, in short.
func raspios(more ...string) fstest.MapFS {
	base := []string{
		"bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat", "start_x.elf", "fixup_x.dat",
		"start4x.elf", "fixup4x.dat", "start4cd.elf", "fixup4cd.dat", "start_cd.elf", "fixup_cd.dat",
		"bcm2710-rpi-3-b.dtb", "bcm2710-rpi-3-b-plus.dtb", "bcm2711-rpi-4-b.dtb", "bcm2711-rpi-400.dtb", "bcm2711-rpi-cm4.dtb", "bcm2712-rpi-5-b.dtb",
		"kernel8.img: " + image64(), "kernel_2712.img: " + image64(), "initramfs8", "initramfs_2712",
		"config.txt: arm_64bit=1\nauto_initramfs=1\n", "cmdline.txt: console=serial0,115200 root=PARTUUID=cafe0001-02 rootwait\n",
		"overlays/README", "overlays/vc4-kms-v3d.dtbo",
	}
	return files(append(base, more...)...)
}

func board(t *testing.T, name string) boards.Board {
	t.Helper()
	b, ok := boards.Find(name)
	if !ok {
		t.Fatalf("no board %s", name)
	}
	return b
}

func TestFirmwareChooses(t *testing.T) {
	t.Parallel()
	const debian = "arm_64bit=1\nenable_uart=1\nupstream_kernel=1\nkernel=vmlinuz-6.1\ninitramfs initrd.img-6.1\n"
	debianFiles := files("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat", "vmlinuz-6.1: "+image64(), "initrd.img-6.1",
		"bcm2837-rpi-3-b.dtb", "bcm2711-rpi-4-b.dtb", "bcm2711-rpi-cm4-io.dtb", "cmdline.txt: root=x", "config.txt: "+debian)
	prefixed := []string{"rescue/vmlinuz: " + image64(), "rescue/bcm2711-rpi-4-b.dtb", "rescue/cmdline.txt: rescue", "rescue/rescue.cpio.gz",
		"tryboot.txt: os_prefix=rescue/\nkernel=vmlinuz\ninitramfs rescue.cpio.gz followkernel\n"}
	for _, c := range []struct {
		name, board  string
		boot         fstest.MapFS
		o            boards.FirmwareOptions
		kernel, init string
		tree, first  string // device tree and first firmware file
		bits         int
		args         string
	}{
		{"Pi OS on 4", "rpi-4-b", raspios(), boards.FirmwareOptions{}, "kernel8.img", "initramfs8", "bcm2711-rpi-4-b.dtb", "start4.elf", 64, "console=serial0,115200 root=PARTUUID=cafe0001-02 rootwait"},
		{"Pi OS on 3", "rpi-3-b", raspios(), boards.FirmwareOptions{}, "kernel8.img", "initramfs8", "bcm2710-rpi-3-b.dtb", "bootcode.bin", 64, ""},
		{"Pi OS on 3A+", "rpi-3-a-plus", raspios(), boards.FirmwareOptions{}, "kernel8.img", "initramfs8", "bcm2710-rpi-3-b-plus.dtb", "bootcode.bin", 64, ""},
		{"Pi OS on 5", "rpi-5-b", raspios(), boards.FirmwareOptions{}, "kernel_2712.img", "initramfs_2712", "bcm2712-rpi-5-b.dtb", "", 64, ""},
		{"5 follows its own default", "rpi-5-b", raspios("config.txt: kernel=kernel8.img\nauto_initramfs=1\n"), boards.FirmwareOptions{}, "kernel8.img", "initramfs_2712", "bcm2712-rpi-5-b.dtb", "", 64, ""},
		{"Debian on 3", "rpi-3-b", debianFiles, boards.FirmwareOptions{}, "vmlinuz-6.1", "initrd.img-6.1", "bcm2837-rpi-3-b.dtb", "bootcode.bin", 64, "root=x"},
		{"Debian on CM4", "rpi-cm4", debianFiles, boards.FirmwareOptions{}, "vmlinuz-6.1", "initrd.img-6.1", "bcm2711-rpi-cm4-io.dtb", "start4.elf", 64, ""},
		{"try once", "rpi-4-b", raspios(prefixed...), boards.FirmwareOptions{Tryboot: true}, "rescue/vmlinuz", "rescue/rescue.cpio.gz", "rescue/bcm2711-rpi-4-b.dtb", "start4.elf", 64, "rescue"},
		{"not trying", "rpi-4-b", raspios(prefixed...), boards.FirmwareOptions{}, "kernel8.img", "initramfs8", "bcm2711-rpi-4-b.dtb", "start4.elf", 64, ""},
		{"32 bit on 4", "rpi-4-b", raspios("kernel7l.img: "+image32(), "config.txt: arm_64bit=0"), boards.FirmwareOptions{}, "kernel7l.img", "", "bcm2711-rpi-4-b.dtb", "start4.elf", 32, ""},
		{"4 without kernel8", "rpi-4-b", files("start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb", "kernel7l.img: "+image32(), "cmdline.txt", "config.txt"), boards.FirmwareOptions{}, "kernel7l.img", "", "bcm2711-rpi-4-b.dtb", "start4.elf", 32, ""},
		{"camera", "rpi-4-b", raspios("config.txt: start_x=1"), boards.FirmwareOptions{}, "kernel8.img", "", "bcm2711-rpi-4-b.dtb", "start4x.elf", 64, ""},
		{"little memory", "rpi-4-b", raspios("config.txt: gpu_mem=16"), boards.FirmwareOptions{}, "kernel8.img", "", "bcm2711-rpi-4-b.dtb", "start4cd.elf", 64, ""},
		{"filters", "rpi-400", raspios("k4: "+image64(), "config.txt: [pi3]\nkernel=k3\n[pi4]\nkernel=k4\n[pi400]\ninitramfs initramfs8 followkernel\n[none]\nkernel=kx\n[all]\n"), boards.FirmwareOptions{}, "k4", "initramfs8", "bcm2711-rpi-400.dtb", "start4.elf", 64, ""},
		{"kinds add up", "rpi-4-b", raspios("config.txt: [0x1234]\n[pi4]\nkernel=kx\n[all]\n[board-type=0x11]\ninitramfs initramfs8,initramfs_2712 followkernel"), boards.FirmwareOptions{Serial: "00001235"}, "kernel8.img", "initramfs8,initramfs_2712", "bcm2711-rpi-4-b.dtb", "start4.elf", 64, ""},
		{"serial", "rpi-4-b", raspios("k4: "+image64(), "config.txt: [0x1234]\nkernel=k4"), boards.FirmwareOptions{Serial: "0000000000001234"}, "k4", "", "bcm2711-rpi-4-b.dtb", "start4.elf", 64, ""},
		{"include", "rpi-4-b", raspios("config.txt: include more.txt\n", "more.txt: initramfs initramfs8\nstart_x=1\ninclude more.txt"), boards.FirmwareOptions{}, "kernel8.img", "initramfs8", "bcm2711-rpi-4-b.dtb", "start4.elf", 64, ""},
		{"empty prefix place", "rpi-4-b", raspios("config.txt: os_prefix=new/\n"), boards.FirmwareOptions{}, "kernel8.img", "", "bcm2711-rpi-4-b.dtb", "start4.elf", 64, ""},
		{"absolute name", "rpi-4-b", raspios("new/bcm2711-rpi-4-b.dtb", "new/cmdline.txt: new", "config.txt: os_prefix=new/\nkernel=/kernel8.img\n"), boards.FirmwareOptions{}, "kernel8.img", "", "new/bcm2711-rpi-4-b.dtb", "start4.elf", 64, "new"},
		{"case of letters", "rpi-4-b", files("START4.ELF", "Fixup4.dat", "KERNEL8.IMG: "+image64(), "BCM2711-RPI-4-B.DTB: "+dtb, "CMDLINE.TXT: x", "CONFIG.TXT"), boards.FirmwareOptions{}, "KERNEL8.IMG", "", "BCM2711-RPI-4-B.DTB", "START4.ELF", 64, "x"},
		{"no config.txt", "rpi-4-b", files("start4.elf", "fixup4.dat", "kernel8.img: "+image64(), "bcm2711-rpi-4-b.dtb", "cmdline.txt: x"), boards.FirmwareOptions{}, "kernel8.img", "", "bcm2711-rpi-4-b.dtb", "start4.elf", 64, "x"},
		{"second part of two systems", "rpi-4-b", raspios(), boards.FirmwareOptions{Part: 3, Tryboot: true}, "kernel8.img", "initramfs8", "bcm2711-rpi-4-b.dtb", "start4.elf", 64, ""},
	} {
		got, err := boards.Firmware(c.boot, board(t, c.board), c.o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got.Kernel != c.kernel || strings.Join(got.Initramfs, ",") != c.init || got.DeviceTree != c.tree || got.Bits != c.bits {
			t.Errorf("%s: got kernel %q, initramfs %q, tree %q, %d bits; want %q, %q, %q, %d", c.name,
				got.Kernel, got.Initramfs, got.DeviceTree, got.Bits, c.kernel, c.init, c.tree, c.bits)
		}
		if c.first == "" && len(got.Firmware) > 0 || c.first != "" && (len(got.Firmware) < 2 || got.Firmware[0] != c.first) {
			t.Errorf("%s: got firmware %q, want %q first", c.name, got.Firmware, c.first)
		}
		if c.args != "" && got.Args != c.args {
			t.Errorf("%s: got arguments %q, want %q", c.name, got.Args, c.args)
		}
		if len(got.Trace) == 0 {
			t.Errorf("%s: the chain says nothing of why", c.name)
		}
	}
}

func TestFirmwareNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	without := func(m fstest.MapFS, names ...string) fstest.MapFS {
		for _, n := range names {
			delete(m, n)
		}
		return m
	}
	for _, c := range []struct {
		name, board string
		boot        fstest.MapFS
		o           boards.FirmwareOptions
		want        []string
	}{
		{"firmware", "rpi-4-b", without(raspios(), "start4.elf", "fixup4.dat"), boards.FirmwareOptions{}, []string{"a Raspberry Pi 4 Model B", "needs start4.elf, which is not there", "fixup4.dat"}},
		{"ROM's file", "rpi-3-b", without(raspios(), "bootcode.bin"), boards.FirmwareOptions{}, []string{"bootcode.bin"}},
		{"kernel, tree, arguments", "rpi-5-b", without(raspios(), "kernel8.img", "kernel_2712.img", "bcm2712-rpi-5-b.dtb", "cmdline.txt"), boards.FirmwareOptions{}, []string{"kernel_2712.img", "bcm2712-rpi-5-b.dtb", "cmdline.txt"}},
		{"5 wants config.txt", "rpi-5-b", without(raspios(), "config.txt"), boards.FirmwareOptions{}, []string{"config.txt"}},
		{"named initramfs", "rpi-4-b", raspios("config.txt: initramfs rescue.cpio.gz followkernel"), boards.FirmwareOptions{}, []string{"rescue.cpio.gz"}},
		{"long line", "rpi-4-b", raspios("config.txt: kernel=" + strings.Repeat("k", 100)), boards.FirmwareOptions{}, []string{strings.Repeat("k", 91) + ","}},
		{"64 bit in 32-bit mode", "rpi-3-b", raspios("vmlinuz: "+image64(), "config.txt: kernel=vmlinuz"), boards.FirmwareOptions{}, []string{"arm_64bit=1 is missing"}},
		{"32 bit in 64-bit mode", "rpi-4-b", raspios("vmlinuz: "+image32(), "config.txt: kernel=vmlinuz"), boards.FirmwareOptions{}, []string{"arm_64bit=0 is missing"}},
		{"wrong CPU", "rpi-zero", raspios("bcm2708-rpi-zero.dtb", "config.txt: kernel=kernel8.img"), boards.FirmwareOptions{}, []string{"its CPU does not run"}},
		{"zstd", "rpi-4-b", raspios("vmlinuz: \x28\xb5\x2f\xfd0123456789", "config.txt: kernel=vmlinuz"), boards.FirmwareOptions{}, []string{"zstd"}},
		{"no tree", "rpi-4-b", raspios("bcm2711-rpi-4-b.dtb: <html>"), boards.FirmwareOptions{}, []string{"no device tree"}},
		{"nothing to try", "rpi-4-b", raspios(), boards.FirmwareOptions{Tryboot: true}, []string{"tryboot.txt"}},
		{"ramdisk", "rpi-4-b", raspios("config.txt: boot_ramdisk=1"), boards.FirmwareOptions{}, []string{"boot.img"}},
		{"no model", "raspberry-pi", raspios(), boards.FirmwareOptions{}, []string{"model"}},
	} {
		_, err := boards.Firmware(c.boot, board(t, c.board), c.o)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want an error with %q", c.name, err, want)
			}
		}
	}
}

func TestFirmwareGoesElsewhere(t *testing.T) {
	t.Parallel()
	boot := raspios("autoboot.txt: [all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n")
	for _, c := range []struct {
		o    boards.FirmwareOptions
		want int
	}{
		{boards.FirmwareOptions{}, 2},
		{boards.FirmwareOptions{Tryboot: true}, 3},
		{boards.FirmwareOptions{Part: 2}, 0},
	} {
		_, err := boards.Firmware(boot, board(t, "rpi-4-b"), c.o)
		var e *boards.ElsewhereError
		if errors.As(err, &e); (e == nil) != (c.want == 0) || e != nil && e.Part != c.want {
			t.Errorf("%+v: got %v, want part %d", c.o, err, c.want)
		}
	}
}

func TestTraceTellsOddities(t *testing.T) {
	t.Parallel()
	boot := raspios("config.txt: initramfs=initramfs8\n[gpio4=1]\nkernel=x\n[all]\ninclude gone.txt\ndtoverlay=nothing,x=1\n", "cmdline.txt: one\ntwo\n")
	c, err := boards.Firmware(boot, board(t, "rpi-4-b"), boards.FirmwareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	trace := strings.Join(c.Trace, "\n")
	for _, want := range []string{"takes no '='", "[gpio4=1]", "gone.txt", "overlay nothing", "first only"} {
		if !strings.Contains(trace, want) {
			t.Errorf("got trace\n%s\nwant %q in it", trace, want)
		}
	}
	if len(c.Initramfs) != 0 || c.Args != "one" {
		t.Errorf("got initramfs %q, arguments %q; want none, \"one\"", c.Initramfs, c.Args)
	}
}

func TestGuess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		boot fs.FS
		want string
	}{
		{"Pi OS", raspios(), "raspberry-pi"},
		{"only a 5", files("config.txt", "kernel_2712.img: "+image64(), "bcm2712-rpi-500.dtb", "cmdline.txt"), "rpi-500"},
		{"broken Pi", files("start4.elf"), "raspberry-pi"},
		{"extlinux", files("extlinux/extlinux.conf: label l0\n linux /vmlinuz\n fdt /dtbs/sun4i-a10-cubieboard.dtb\n"), "cubieboard"},
		{"Armbian", files("armbianEnv.txt: verbosity=1\nfdtfile=rockchip/rk3328-rock64.dtb\n"), "rock64"},
		{"other Rockchip", files("armbianEnv.txt: fdtfile=rockchip/rk3328-box.dtb\n"), "rockchip"},
		{"data", files("photos/1.jpg"), ""},
	} {
		if got := boards.Guess(c.boot); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzFirmware(f *testing.F) {
	f.Add("arm_64bit=1\n[pi4]\nkernel=kernel8.img\n[all]\ninitramfs a,b followkernel\ninclude config.txt\n", "boot_partition=2", "x")
	f.Add("os_prefix=../\ndevice_tree=/../x\nkernel=//\n[board-type=0x11]\nstart_x=1\ngpu_mem=16", "[tryboot]", "")
	pi4, _ := boards.Find("rpi-4-b")
	f.Fuzz(func(t *testing.T, config, autoboot, extlinux string) {
		boot := raspios()
		boot["config.txt"] = &fstest.MapFile{Data: []byte(config)}
		boot["autoboot.txt"] = &fstest.MapFile{Data: []byte(autoboot)}
		boot["extlinux/extlinux.conf"] = &fstest.MapFile{Data: []byte(extlinux)}
		c, err := boards.Firmware(boot, pi4, boards.FirmwareOptions{})
		if err == nil && !fs.ValidPath(c.Kernel) {
			t.Errorf("kernel %q is no path", c.Kernel)
		}
		if c, err := boards.Extlinux(boot); err == nil && !fs.ValidPath(c.Kernel) {
			t.Errorf("kernel %q is no path", c.Kernel)
		}
	})
}
