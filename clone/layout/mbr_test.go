package layout_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
	"lifeboat/internal/fixture"
)

const (
	mib = int64(1) << 20
	gib = int64(1) << 30
)

// layouts of MBR disks of 16 GiB, as sfdisk's script says them.
var mbrLayouts = map[string]string{
	"Raspberry Pi": `1: start=8192, size=1048576, type=c
2: start=1056768, size=4200000, type=83`,
	"NOOBS": `1: start=8192, size=3200000, type=e
2: start=3208192, size=25000000, type=5
5: start=3210240, size=65534, type=83
6: start=3284992, size=500000, type=c
7: start=3801088, size=20000000, type=83`,
	"swap at the end": `1: start=8192, size=524288, type=c
2: start=532480, size=20000000, type=83
3: start=20533248, size=2097152, type=82`,
	"extended behind root": `1: start=8192, size=524288, type=c
2: start=532480, size=10000000, type=83
4: start=10534912, size=6000000, type=f
5: start=10536960, size=2000000, type=82
6: start=12541952, size=3000000, type=83`,
	"boot flag and gap": `1: start=2048, size=524288, type=c, bootable
3: start=1048576, size=4000000, type=83`,
	"empty extended": `1: start=2048, size=524288, type=c
2: start=1048576, size=4000000, type=85`,
	"no parts": ``,
}

// sfdisk makes a disk of size bytes with what script says.
func sfdisk(tb testing.TB, size int64, label, script string) string {
	tb.Helper()
	fixture.Need(tb, "sfdisk")
	path := blank(tb, size)
	in := filepath.Join(tb.TempDir(), "script")
	must(tb, os.WriteFile(in, []byte(label+"\n"+script+"\n"), 0o600))
	fixture.Run(tb, "sh", "-c", `PATH=$PATH:/usr/sbin:/sbin; sfdisk -q "$1" < "$2"`, "sh", path, in)
	return path
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func open(tb testing.TB, path string) (*os.File, int64) {
	tb.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(tb, err)
	tb.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	must(tb, err)
	return f, info.Size()
}

// blank is a disk of zeros.
func blank(tb testing.TB, size int64) string {
	tb.Helper()
	path := filepath.Join(scratch(tb), "disk.img")
	must(tb, os.WriteFile(path, nil, 0o600))
	must(tb, os.Truncate(path, size))
	return path
}

// scratch is a folder in memory, if there is one: the tools sync each write.
func scratch(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "layout")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func read(tb testing.TB, path string) manifest.Table {
	tb.Helper()
	f, size := open(tb, path)
	t, err := layout.Read(f, size, 512)
	must(tb, err)
	return t
}

func write(tb testing.TB, t manifest.Table, path string) {
	tb.Helper()
	f, size := open(tb, path)
	must(tb, layout.Write(f, t, size, 512))
}

// dump is sfdisk's view of a disk, without its path.
func dump(tb testing.TB, path string) string {
	tb.Helper()
	return strings.ReplaceAll(fixture.Run(tb, "sfdisk", "--dump", path), path, "disk")
}

// sameOwn compares the sectors that hold the table.
func sameOwn(tb testing.TB, t manifest.Table, a, b string) {
	tb.Helper()
	fa, _ := open(tb, a)
	fb, _ := open(tb, b)
	for _, e := range t.Own {
		x, y := make([]byte, e.Len), make([]byte, e.Len)
		if _, err := fa.ReadAt(x, e.Off); err != nil {
			tb.Fatal(err)
		}
		if _, err := fb.ReadAt(y, e.Off); err != nil {
			tb.Fatal(err)
		}
		for i := range x {
			if x[i] != y[i] {
				tb.Errorf("byte %d of the table: got %#x want %#x", e.Off+int64(i), y[i], x[i])
				break
			}
		}
	}
}

func TestMBRIsWrittenAsSfdiskWritesIt(t *testing.T) {
	t.Parallel()
	for name, script := range mbrLayouts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := sfdisk(t, 16*gib, "label: dos\nlabel-id: 0x1234abcd", script)
			table := read(t, disk)
			if table.Kind != manifest.MBR || table.ID != "1234abcd" {
				t.Errorf("got kind %q, ID %q", table.Kind, table.ID)
			}
			copied := blank(t, 16*gib)
			write(t, table, copied)
			sameOwn(t, table, disk, copied)
			if got, want := dump(t, copied), dump(t, disk); got != want {
				t.Errorf("sfdisk --dump: got\n%s\nwant\n%s", got, want)
			}
			fixture.Run(t, "sfdisk", "--verify", "-q", copied)
		})
	}
}

func TestBootCodeIsKept(t *testing.T) {
	t.Parallel()
	disk := sfdisk(t, 16*gib, "label: dos", mbrLayouts["Raspberry Pi"])
	f, _ := open(t, disk)
	code := bytes.Repeat([]byte{0xc7}, 440)
	_, err := f.WriteAt(code, 0)
	must(t, err)
	table := read(t, disk)
	if !bytes.Equal(table.Code, code) {
		t.Errorf("got code %x", table.Code)
	}
}

// same compares tables field by field.
func same(tb testing.TB, got, want manifest.Table) {
	tb.Helper()
	if !reflect.DeepEqual(got, want) {
		tb.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}
