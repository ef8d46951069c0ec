package initramfs_test

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"lifeboat/clone/codec"
	"lifeboat/initramfs"
	"lifeboat/internal/fixture"
)

const kver = "6.12.1-test"

func noon() time.Time { return time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC) }

// zeros is randomness for those who want the same image twice.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func file(data []byte) *fstest.MapFile { return &fstest.MapFile{Data: data, Mode: 0o644} }

// system is a small root file system for a machine.
func system(tb testing.TB, m elf.Machine) fstest.MapFS {
	tb.Helper()
	const mods = "lib/modules/" + kver + "/"
	ld := "/lib/ld-linux-aarch64.so.1"
	fsys := fstest.MapFS{
		mods + "modules.builtin":                      file([]byte("kernel/drivers/mmc/core/mmc_block.ko\nkernel/fs/fuse/fuse.ko\n")),
		mods + "modules.order":                        file([]byte("kernel/fs/ext4/ext4.ko\n")),
		mods + "kernel/fs/ext4/ext4.ko":               file(makeModule(tb, m, "alias=fs-ext4", "softdep=pre: crypto-crc32c", "depends=jbd2,mbcache", "name=ext4")),
		mods + "kernel/fs/jbd2/jbd2.ko":               file(makeModule(tb, m, "depends=crc16")),
		mods + "kernel/fs/mbcache.ko":                 file(makeModule(tb, m, "depends=")),
		mods + "kernel/lib/crc16.ko":                  file(makeModule(tb, m, "depends=")),
		mods + "kernel/crypto/crc32c_generic.ko":      file(makeModule(tb, m, "depends=", "alias=crypto-crc32c")),
		mods + "kernel/drivers/net/usb/r8152.ko":      file(makeModule(tb, m, "depends=", "alias=usb:v0BDAp8153d*", "firmware=rtl_nic/rtl8153a-3.fw", "firmware=rtl_nic/none.fw")),
		mods + "kernel/drivers/gpu/drm/vc4/vc4.ko":    file(makeModule(tb, m, "depends=")),
		mods + "kernel/drivers/mmc/sdhci-iproc.ko":    file(makeModule(tb, m, "depends=", "alias=of:N*T*Cbrcm,bcm2711-emmc2")),
		mods + "kernel/drivers/net/genet.ko":          file(makeModule(tb, m, "depends=")),
		mods + "kernel/drivers/usb/dwc2/dwc2.ko":      file(makeModule(tb, m, "depends=")),
		"usr/lib/firmware/rtl_nic/rtl8153a-3.fw":      file([]byte("firmware")),
		"sbin/e2fsck":                                 file(makeProgram(tb, m, ld, "libext2fs.so.2", "libc.so.6", "ld-linux-aarch64.so.1")),
		"usr/sbin/mke2fs":                             file(makeProgram(tb, m, ld, "libext2fs.so.2", "libc.so.6")),
		"usr/lib/aarch64-linux-gnu/libext2fs.so.2":    &fstest.MapFile{Data: []byte("libext2fs.so.2.4"), Mode: os.ModeSymlink | 0o777},
		"usr/lib/aarch64-linux-gnu/libext2fs.so.2.4":  file(makeProgram(tb, m, "", "libc.so.6")),
		"lib/aarch64-linux-gnu/libc.so.6":             file(makeProgram(tb, m, ld, "ld-linux-aarch64.so.1")),
		"lib/aarch64-linux-gnu/ld-linux-aarch64.so.1": file(makeProgram(tb, m, "")),
		"lib/ld-linux-aarch64.so.1":                   &fstest.MapFile{Data: []byte("/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1"), Mode: os.ModeSymlink | 0o777},
		"lib/x86_64-linux-gnu/libc.so.6":              file(makeProgram(tb, elf.EM_X86_64, "")),
		"etc/mke2fs.conf":                             file([]byte("[defaults]\n")),
	}
	return fsys
}

func tool(tb testing.TB, m elf.Machine) *io.SectionReader {
	b := makeELF(tb, elf.ET_EXEC, m, "")
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}

func options(tb testing.TB) initramfs.Options {
	return initramfs.Options{
		Sources:  []initramfs.Source{{Name: "a test", Root: system(tb, elf.EM_AARCH64)}},
		Program:  tool(tb, elf.EM_AARCH64),
		Programs: []string{"e2fsck", "mke2fs"},
		Clock:    noon, Random: zeros{},
		Info: initramfs.Info{Version: "1.2.3", Keys: []string{"RWQ"}, JobURL: "http://server/job.toml"},
	}
}

// unpack gives the files of a gzip'ed archive by name.
func unpack(tb testing.TB, packed []byte) map[string]cpio.Record {
	tb.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		tb.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	list, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(raw)))
	if err != nil {
		tb.Fatal(err)
	}
	m := map[string]cpio.Record{}
	for _, r := range list {
		m[r.Name] = r
	}
	return m
}

func content(tb testing.TB, r cpio.Record) string {
	tb.Helper()
	if r.ReaderAt == nil {
		tb.Errorf("record %q is not there", r.Name)
		return ""
	}
	b, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func TestBuild(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	o := options(t)
	o.Force = []string{"dwc2"}
	rep, err := initramfs.Build(t.Context(), &out, o)
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, out.Bytes())
	const mods = "lib/modules/" + kver + "/"
	for _, want := range []string{
		"init", "dev/console", "etc/passwd", "etc/resolv.conf", "etc/mke2fs.conf", "sbin/e2fsck", "sbin/mke2fs", "sbin/mkfs.ext4",
		"lib/libext2fs.so.2", "lib/libc.so.6", "lib/ld-linux-aarch64.so.1", "lib/firmware/rtl_nic/rtl8153a-3.fw",
		mods + "kernel/fs/ext4/ext4.ko", mods + "kernel/lib/crc16.ko", mods + "kernel/crypto/crc32c_generic.ko", mods + "modules.builtin", mods + "modules.order",
	} {
		if _, ok := files[want]; !ok {
			t.Errorf("%s is not in the image", want)
		}
	}
	for _, none := range []string{mods + "kernel/drivers/gpu/drm/vc4/vc4.ko", "lib/aarch64-linux-gnu/libc.so.6"} {
		if _, ok := files[none]; ok {
			t.Errorf("%s is in the image", none)
		}
	}
	for name, want := range map[string]string{"sbin/modprobe": "../init", "bin/lifeboat": "../init", "sbin/fsck.ext4": "e2fsck", "etc/modules": "loop\nmmc_block\ndwc2\n", "etc/resolv.conf": ""} {
		if got := content(t, files[name]); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	dep := content(t, files[mods+"modules.dep"])
	for _, want := range []string{
		"kernel/fs/ext4/ext4.ko: kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko\n",
		"kernel/drivers/net/usb/r8152.ko:\n",
	} {
		if !strings.Contains(dep, want) {
			t.Errorf("modules.dep: got\n%swant %q in it", dep, want)
		}
	}
	if got := content(t, files[mods+"modules.alias"]); !strings.Contains(got, "alias fs-ext4 ext4\n") {
		t.Errorf("modules.alias: got\n%s", got)
	}
	if got, want := content(t, files[mods+"modules.softdep"]), "softdep ext4 pre: crypto-crc32c\n"; got != want {
		t.Errorf("modules.softdep: got %q, want %q", got, want)
	}
	var info initramfs.Info
	if err := json.Unmarshal([]byte(content(t, files[initramfs.InfoFile])), &info); err != nil {
		t.Fatal(err)
	}
	if info.Date != "2026-11-02T12:00:00Z" || info.ID != "0000000000000000" || info.Version != "1.2.3" || !slices.Equal(info.Kernels, []string{kver}) {
		t.Errorf("got info %+v", info)
	}
	if k := rep.Kernels[0]; !slices.Contains(k.Built, "mmc_block") || !slices.Contains(k.Absent, "nvme") || !slices.Contains(k.Modules, "jbd2") {
		t.Errorf("got report %+v", k)
	}
	if int64(out.Len()) != rep.Packed || rep.Records != len(files) {
		t.Errorf("report says %d bytes, %d records; there are %d, %d", rep.Packed, rep.Records, out.Len(), len(files))
	}
}

// A kernel drops what comes before its folder, and takes equal inodes for hard
// links.
func TestRecordsAreInOrder(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	o := options(t)
	o.Format = codec.Zstd
	if _, err := initramfs.Build(t.Context(), &out, o); err != nil {
		t.Fatal(err)
	}
	z, err := codec.NewReader(&out, codec.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	list, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	folders, inodes := map[string]bool{".": true}, map[uint64]bool{}
	for _, r := range list {
		if !folders[filepath.Dir(r.Name)] {
			t.Errorf("%s comes before its folder", r.Name)
		}
		if r.Mode&cpio.S_IFMT == cpio.S_IFDIR {
			folders[r.Name] = true
		}
		if inodes[r.Ino] {
			t.Errorf("%s has the inode of another", r.Name)
		}
		inodes[r.Ino] = true
		if r.MTime != uint64(noon().Unix()) {
			t.Errorf("%s: got time %d", r.Name, r.MTime)
		}
	}
}

func TestBuildIsReproducible(t *testing.T) {
	t.Parallel()
	var a, b, c bytes.Buffer
	for _, w := range []*bytes.Buffer{&a, &b} {
		if _, err := initramfs.Build(t.Context(), w, options(t)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same clock and seed gave two different images")
	}
	o := options(t)
	o.Random = nil
	if _, err := initramfs.Build(t.Context(), &c, o); err != nil {
		t.Fatal(err)
	}
	if got := content(t, unpack(t, c.Bytes())["etc/random-seed"]); len(got) != 64 || got == strings.Repeat("\x00", 64) {
		t.Errorf("got seed %q", got)
	}
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*initramfs.Options, fstest.MapFS)
		want   string
	}{
		{"no program", func(o *initramfs.Options, _ fstest.MapFS) { o.Program = nil }, "no program"},
		{"a script", func(o *initramfs.Options, _ fstest.MapFS) {
			o.Program = io.NewSectionReader(strings.NewReader("#!/bin/sh"), 0, 9)
		}, "program for /init"},
		{"a dynamic one", func(o *initramfs.Options, _ fstest.MapFS) {
			b := makeProgram(t, elf.EM_AARCH64, "/lib/ld.so")
			o.Program = io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
		}, "static"},
		{"no e2fsck", func(_ *initramfs.Options, f fstest.MapFS) { delete(f, "sbin/e2fsck") }, "program e2fsck for EM_AARCH64"},
		{"another machine's e2fsck", func(_ *initramfs.Options, f fstest.MapFS) {
			f["sbin/e2fsck"] = file(makeProgram(t, elf.EM_X86_64, "/lib/ld.so"))
		}, "program e2fsck"},
		{"another machine's library", func(_ *initramfs.Options, f fstest.MapFS) { delete(f, "lib/aarch64-linux-gnu/libc.so.6") }, "library libc.so.6 for EM_AARCH64"},
		{"a module that is needed", func(_ *initramfs.Options, f fstest.MapFS) { delete(f, "lib/modules/"+kver+"/kernel/lib/crc16.ko") }, "crc16 is needed"},
		{"a damaged module", func(_ *initramfs.Options, f fstest.MapFS) {
			f["lib/modules/"+kver+"/kernel/lib/crc16.ko"] = file([]byte("\x7fELF"))
		}, "crc16.ko"},
		{"unknown kernel", func(o *initramfs.Options, _ fstest.MapFS) { o.Kernels = []string{"5.0"} }, "kernel 5.0"},
		{"another machine's kernel", func(o *initramfs.Options, f fstest.MapFS) {
			o.Kernels = []string{"x"}
			f["lib/modules/x/a.ko"] = file(makeModule(t, elf.EM_X86_64, "depends="))
		}, "kernel x is for EM_X86_64"},
		{"no randomness", func(o *initramfs.Options, _ fstest.MapFS) { o.Random = strings.NewReader("") }, "randomness"},
	} {
		o := options(t)
		c.change(&o, o.Sources[0].Root.(fstest.MapFS))
		var out bytes.Buffer
		_, err := initramfs.Build(t.Context(), &out, o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
		if out.Len() > 0 {
			t.Errorf("%s: %d bytes were written", c.name, out.Len())
		}
	}
}

// cpio and gzip are those who judge what a kernel will read.
func TestCpioReadsIt(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "cpio", "gzip", "sh")
	name := filepath.Join(t.TempDir(), "rescue.cpio.gz")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := initramfs.Build(t.Context(), f, options(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	fixture.Run(t, "gzip", "-t", name)
	list := fixture.Run(t, "sh", "-c", "gzip -dc "+name+" | cpio -itv --quiet")
	if got := strings.Count(list, "\n"); got != rep.Records {
		t.Errorf("cpio lists %d records, want %d:\n%s", got, rep.Records, list)
	}
	for _, want := range []string{"sbin/modprobe -> ../init", "5,   1", "drwxrwxrwt"} {
		if !strings.Contains(list, want) {
			t.Errorf("cpio's list lacks %q:\n%s", want, list)
		}
	}
}
