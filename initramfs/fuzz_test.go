package initramfs_test

import (
	"bytes"
	"debug/elf"
	"io"
	"testing"
	"testing/fstest"

	"lifeboat/boards"
	"lifeboat/initramfs"
)

// What a backup holds under the name of a module, program or kernel may be
// anything.
func FuzzModule(f *testing.F) {
	f.Add(makeModule(f, elf.EM_AARCH64, "depends=crc16,ext4", "softdep=pre: ext4 post: crypto-crc32c", "alias=fs-ext4", "firmware=../../x"))
	f.Add(zip(f, makeModule(f, elf.EM_AARCH64, "depends=")))
	f.Fuzz(func(t *testing.T, data []byte) {
		o := options(t)
		o.Sources[0].Root.(fstest.MapFS)["lib/modules/"+kver+"/kernel/fs/ext4/ext4.ko"] = file(data)
		if rep, err := initramfs.Build(t.Context(), io.Discard, o); err == nil && rep.Records == 0 {
			t.Error("an image of nothing was made")
		}
	})
}

func FuzzProgram(f *testing.F) {
	f.Add(makeProgram(f, elf.EM_AARCH64, "/lib/ld-linux-aarch64.so.1", "libc.so.6", "../x"), makeELF(f, elf.ET_EXEC, elf.EM_AARCH64, ""))
	f.Fuzz(func(t *testing.T, e2fsck, init []byte) {
		o := options(t)
		o.Sources[0].Root.(fstest.MapFS)["sbin/e2fsck"] = file(e2fsck)
		o.Program = io.NewSectionReader(bytes.NewReader(init), 0, int64(len(init)))
		if rep, err := initramfs.Build(t.Context(), io.Discard, o); err == nil && rep.Records == 0 {
			t.Error("an image of nothing was made")
		}
	})
}

func FuzzKernel(f *testing.F) {
	f.Add(kernel64(kver))
	f.Add(zip(f, kernel64(kver)))
	f.Add(kernel32(f, kver))
	f.Add(kernel64("0\xff/../.."))
	virt, _ := boards.Find("virt")
	f.Fuzz(func(t *testing.T, data []byte) {
		s := debian(t)
		delete(s.Root.(fstest.MapFS), "boot/vmlinuz-"+kver)
		s.Boot = fstest.MapFS{"kernel8.img": file(data), "vmlinuz": file(data)}
		list, err := initramfs.Plan(t.Context(), []initramfs.Source{s}, []boards.Board{virt}, elf.EM_AARCH64)
		if err != nil || len(list) != 1 || list[0].OK && list[0].Kernel != kver {
			t.Errorf("got %+v, %v", list, err)
		}
	})
}
