package boards_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"lifeboat/boards"
)

func TestExtlinux(t *testing.T) {
	t.Parallel()
	const conf = `# made by hand
TIMEOUT 1
default second
label first
	menu label The first
	linux /old
label second
	linux /vmlinuz
	initrd ../initrd.img
	fdtdir /dtbs/
	append console=ttyS0,115200 root=PARTUUID=cafe0001-02
`
	boot := files("vmlinuz", "old", "initrd.img", "dtbs/allwinner/x.dtb", "extlinux/extlinux.conf: "+conf)
	got, err := boards.Extlinux(boot)
	if err != nil {
		t.Fatal(err)
	}
	if got.Kernel != "vmlinuz" || strings.Join(got.Initramfs, ",") != "initrd.img" || got.DeviceTree != "dtbs/" || got.Args != "console=ttyS0,115200 root=PARTUUID=cafe0001-02" {
		t.Errorf("got %+v", got)
	}

	delete(boot, "vmlinuz")
	delete(boot, "dtbs/allwinner/x.dtb")
	_, err = boards.Extlinux(boot)
	for _, want := range []string{"label second", "kernel /vmlinuz", "/dtbs/"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}

	boot["extlinux/extlinux.conf"].Data = []byte("default gone\nlabel a\nlinux /old\n")
	if got, err := boards.Extlinux(boot); err != nil || got.Kernel != "old" {
		t.Errorf("a default that is no label: got %v, %v; want the first label", got, err)
	}
	if _, err := boards.Extlinux(files("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no extlinux.conf: got %v", err)
	}
}
