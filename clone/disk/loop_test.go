package disk_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/internal/fixture"
)

// TestDevice: what a program does through the loop device and what goes through
// the window are the same bytes, in both directions, and stay in the window.
func TestDevice(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	const size = 48 << 20
	part := extent.Extent{Off: 4 << 20, Len: 32 << 20}
	onEach(t, size, func(t *testing.T, path, _ string) {
		tg := claim(t, path)
		around := noise(size, 8)
		if _, err := tg.WriteAt(around, 0); err != nil {
			t.Fatal(err)
		}
		w := tg.Window(part)
		program(t, w, "mke2fs", "-q", "-F", "-t", "ext4", "-O", "^metadata_csum", "-L", "root")
		label := make([]byte, 4)
		if _, err := w.ReadAt(label, 1024+120); err != nil || string(label) != "root" { // s_volume_name
			t.Errorf("the label as the window reads it: %q, %v", label, err)
		}
		if _, err := w.WriteAt([]byte("boot"), 1024+120); err != nil {
			t.Fatal(err)
		}
		if out := program(t, w, "e2label"); out != "boot\n" {
			t.Errorf("e2label does not see what the window wrote: %q", out)
		}
		program(t, w, "e2fsck", "-fn")
		got := make([]byte, size)
		if _, err := tg.ReadAt(got, 0); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got[:part.Off], around[:part.Off]) || !bytes.Equal(got[part.End():], around[part.End():]) {
			t.Error("bytes outside of the window changed")
		}
	})
}

// program runs a program of e2fsprogs on a window.
func program(t *testing.T, w *disk.Window, name string, args ...string) string {
	t.Helper()
	d, err := w.Device(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out, code := fixture.Try(t, name, append(args, d.Path())...)
	if code != 0 {
		t.Errorf("%s: exit code %d\n%s", name, code, out)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDeviceMounted mounts a device, and closes it as flows must: after. No test
// runs beside it: what that starts would hold the disk for an instant, too.
func TestDeviceMounted(t *testing.T) {
	tg := claim(t, fixture.Loop(t, image(t, 16<<20)))
	w := tg.Window(extent.Extent{Off: 1 << 20, Len: 8 << 20})
	program(t, w, "mke2fs", "-q", "-F")
	d, err := w.Device(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := unix.Mount(d.Path(), dir, "ext4", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o600); err != nil {
		t.Error(err)
	}
	if err := fixture.Unmount(dir); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	program(t, w, "e2fsck", "-fn")
	if err := tg.Close(); err != nil {
		t.Error(err)
	}
	claim(t, tg.Path()) // nothing holds it any more
}

func TestDeviceWithoutRights(t *testing.T) {
	t.Parallel()
	file := image(t, 1<<20)
	host := disk.Host()
	host.Dev = t.TempDir() // no loop-control
	f, err := host.Look(file)
	if err != nil {
		t.Fatal(err)
	}
	tg, err := disk.Claim(t.Context(), host, f, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tg.Close()
	if _, err := tg.Window(extent.Extent{Len: 1 << 20}).Device(t.Context()); !errors.Is(err, disk.ErrNoLoop) {
		t.Errorf("got %v, want no loop devices", err)
	}
}

// TestRereadTellsParts: where the kernel does not read the table, it is told the
// parts, and only what differs.
func TestRereadTellsParts(t *testing.T) {
	t.Parallel()
	path := fixture.Loop(t, image(t, 16<<20))
	tg := claim(t, path)
	mib := func(num int, off, size int64) disk.Partition {
		return disk.Partition{Num: num, Extent: extent.Extent{Off: off << 20, Len: size << 20}}
	}
	for _, want := range [][]disk.Partition{
		{mib(1, 1, 2), mib(2, 4, 4)},
		{mib(1, 1, 2), mib(2, 4, 8)},               // one has grown
		{mib(1, 1, 2), mib(4, 4, 8), mib(5, 5, 3)}, // an extended one with a logical
		{},
	} {
		if err := tg.Reread(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		have := look(t, path).Disk.Parts
		if len(have) != len(want) {
			t.Fatalf("got %+v, want %+v", have, want)
		}
		for i, p := range have {
			if p.Num != want[i].Num || p.Extent.Off != want[i].Extent.Off || p.Num != 4 && p.Extent != want[i].Extent {
				t.Errorf("got %+v, want %+v", p, want[i])
			}
		}
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	onEach(t, 3<<20, func(t *testing.T, path, file string) {
		size := look(t, path).Disk.Size
		want := noise(int(size), 4)
		tg := claim(t, path)
		if _, err := tg.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(tg.Sync(t.Context()), tg.Close()); err != nil {
			t.Fatal(err)
		}
		src, err := disk.OpenSource(disk.Host(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		got := make([]byte, size)
		if n, err := src.ReadAt(got, 0); n != len(got) || err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes, %v: not what was written", n, err)
		}
		if n, err := src.ReadAt(got[:100], 777); n != 100 || err != nil || !bytes.Equal(got[:100], want[777:877]) {
			t.Errorf("read %d bytes, %v: not what was written", n, err)
		}
		if _, writes := any(src).(io.WriterAt); writes {
			t.Error("a source can be written, which only a target may")
		}
		if src.InUse() || src.Size() != size || src.Path() != path {
			t.Errorf("got in use %v, size %d, path %s", src.InUse(), src.Size(), src.Path())
		}
		if path == file {
			return
		}
		var use *disk.InUseError
		if err := refused(t, look(t, path), disk.Say(look(t, path).Word)); !errors.As(err, &use) {
			t.Errorf("claim of what is being read: got %v", err)
		}
	})
}
