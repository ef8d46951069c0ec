package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// Sizes of the guest's disks, by which its tests know them.
const (
	twinSize   = 64 << 20 // two of them
	plainSize  = 96 << 20
	lockedSize = 80 << 20
	scsiSize   = 48 << 20
)

// Where the guest's SCSI disk has bad sectors: an aligned granule and one more.
const badFirst, badCount = 4656, 9

// TestInGuest runs the tests below on disks that a test may break.
func TestInGuest(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs", "e2fsck", "sfdisk", "mkswap", "swapon", "swapoff", "losetup", "dmsetup")
	vmtest.Run(t, vmtest.Options{
		Disks:  []string{image(t, twinSize), image(t, twinSize), image(t, plainSize)},
		Locked: []string{image(t, lockedSize)},
		Modules: []string{
			"loop", "dm-mod", "sd_mod",
			fmt.Sprintf("scsi_debug dev_size_mb=%d opts=2 medium_error_start=%d medium_error_count=%d", scsiSize>>20, badFirst, badCount),
		},
		Programs: []string{"mke2fs", "e2fsck", "sfdisk", "mkswap", "swapon", "swapoff", "losetup", "dmsetup"},
	})
}

// disks are the guest's disks of that size.
func disks(t *testing.T, size int64) []disk.Disk {
	t.Helper()
	all, err := disk.Host().Disks()
	if err != nil {
		t.Fatal(err)
	}
	var found []disk.Disk
	for _, d := range all {
		if d.Size == size {
			found = append(found, d)
		}
	}
	if len(found) == 0 {
		t.Fatalf("no disk of %d bytes in %+v", size, all)
	}
	return found
}

// soon waits until something is so.
func soon(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !so(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in 10 s it did not become so: %s", what)
		}
	}
}

// TestGuestParts writes a table to a claimed disk, lets the kernel read it, and
// sees what the kernel and the claim then say of its parts.
func TestGuestParts(t *testing.T) {
	vmtest.Only(t)
	path := disks(t, plainSize)[0].Path
	tg := claim(t, path)
	d, err := tg.Window(extent.Extent{Off: 8 << 20, Len: 32 << 20}).Device(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fixture.Run(t, "mke2fs", "-q", "-t", "ext4", d.Path())
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	table := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(table, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(table, plainSize); err != nil {
		t.Fatal(err)
	}
	script(t, table, "label: dos\nlabel-id: 0xcafe0001\nstart=4M,size=4M,type=c\nstart=8M,size=32M,type=83\nstart=40M,size=40M,type=5\nstart=41M,size=8M,type=82\n")
	for _, off := range []int64{0, 40 << 20} {
		copySector(t, tg, table, off)
	}
	part := func(num int, off, size int64) disk.Partition {
		return disk.Partition{Num: num, Extent: extent.Extent{Off: off, Len: size}}
	}
	want := []disk.Partition{part(1, 4<<20, 4<<20), part(2, 8<<20, 32<<20), part(3, 40<<20, 40<<20), part(5, 41<<20, 8<<20)}
	if err := tg.Reread(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	have := disks(t, plainSize)[0].Parts
	if len(have) != 4 || have[1].Extent != want[1].Extent || have[3].Num != 5 || have[3].Extent != want[3].Extent {
		t.Fatalf("the kernel's parts: %+v", have)
	}
	two, five := "/dev/"+have[1].Name, "/dev/"+have[3].Name
	if err := unix.Mount(two, "/mnt", "ext4", 0, ""); !errors.Is(err, unix.EBUSY) {
		t.Errorf("mount of a part of a claimed disk: got %v, want busy", err)
	}
	if err := tg.Close(); err != nil {
		t.Fatal(err)
	}
	partRefused(t, path, two)
	mountedRefused(t, path, two)
	swappedRefused(t, path, five)
}

func copySector(t *testing.T, tg *disk.Target, file string, off int64) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 512)
	if _, err := f.ReadAt(b, off); err != nil {
		t.Fatal(err)
	}
	if _, err := tg.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

func partRefused(t *testing.T, path, part string) {
	t.Helper()
	_, err := disk.Host().Look(part)
	var not *disk.NotADiskError
	if !errors.As(err, &not) || not.Disk != path || err.Error() != part+" is a part of "+path+": give the disk" {
		t.Errorf("look at a part: got %v", err)
	}
}

// mountedRefused also holds the premises of the rule: a plain open for writing
// succeeds on a disk with a mounted part, an exclusive one does not.
func mountedRefused(t *testing.T, path, part string) {
	t.Helper()
	before := look(t, path)
	if err := unix.Mount(part, "/mnt", "ext4", 0, ""); err != nil {
		t.Fatal(err)
	}
	for flags, want := range map[int]error{os.O_RDWR: nil, os.O_RDWR | os.O_EXCL: unix.EBUSY} {
		f, err := os.OpenFile(path, flags, 0)
		if !errors.Is(err, want) {
			t.Errorf("premise: open with flags %#x of a disk in use: got %v, want %v", flags, err, want)
		}
		f.Close()
	}
	f := look(t, path)
	if got := fmt.Sprint(f.Users); got != "["+part+" is mounted on /mnt]" {
		t.Errorf("users: got %s", got)
	}
	var use *disk.InUseError
	if err := refused(t, before, disk.Say(f.Word)); !errors.As(err, &use) {
		t.Errorf("got %v, want in use", err)
	}
	readMounted(t, path)
	if err := fixture.Unmount("/mnt"); err != nil {
		t.Fatal(err)
	}
}

// readMounted: a source that is mounted shows what its file system wrote last,
// though the cache of the whole disk holds something older.
func readMounted(t *testing.T, path string) {
	t.Helper()
	src, err := disk.OpenSource(disk.Host(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if !src.InUse() {
		t.Error("a mounted source does not say that it is in use")
	}
	fillPageCache(t, path)
	text := noise(10_000, 77)
	if err := os.WriteFile("/mnt/file", text, 0o600); err != nil {
		t.Fatal(err)
	}
	unix.Sync()
	at := int64(-1)
	chunk := make([]byte, 1<<20)
	for off := int64(0); off < src.Size() && at < 0; off += int64(len(chunk)) {
		if _, err := src.ReadAt(chunk, off); err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(chunk, text[:1024]); i >= 0 { // the smallest block
			at = off + int64(i)
		}
	}
	if at < 0 {
		t.Fatal("a mounted source does not show what was written last")
	}
	small := make([]byte, 777)
	if _, err := src.ReadAt(small, at+5); err != nil || !bytes.Equal(small, text[5:5+777]) {
		t.Errorf("a small read of a mounted source: %v, or not the latest bytes", err)
	}
}

func fillPageCache(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(io.Discard, f); err != nil {
		t.Fatal(err)
	}
}

func swappedRefused(t *testing.T, path, part string) {
	t.Helper()
	fixture.Run(t, "mkswap", part)
	fixture.Run(t, "swapon", part)
	f := look(t, path)
	if got := fmt.Sprint(f.Users); got != "["+part+" is swap space in use]" {
		t.Errorf("users: got %s", got)
	}
	var use *disk.InUseError
	if err := refused(t, f, disk.Say(f.Word)); !errors.As(err, &use) {
		t.Errorf("got %v, want in use", err)
	}
	fixture.Run(t, "swapoff", part)
}

func TestGuestSameWord(t *testing.T) {
	vmtest.Only(t)
	twins := disks(t, twinSize)
	f := look(t, twins[0].Path)
	var same *disk.SameWordError
	if err := refused(t, f, disk.Say(f.Word)); !errors.As(err, &same) || len(same.Paths) != 2 {
		t.Fatalf("got %v, want the same word twice", err)
	}
	if err := os.WriteFile(twins[1].Path, []byte("it holds something now"), 0); err != nil {
		t.Fatal(err)
	}
	claim(t, twins[0].Path)
}

func TestGuestReadOnly(t *testing.T) {
	vmtest.Only(t)
	f := look(t, disks(t, lockedSize)[0].Path)
	var ro *disk.ReadOnlyError
	if err := refused(t, f, disk.Say(f.Word)); !errors.As(err, &ro) {
		t.Errorf("got %v, want read-only", err)
	}
}

// TestGuestReadError reads across bad sectors.
func TestGuestReadError(t *testing.T) {
	vmtest.Only(t)
	src, err := disk.OpenSource(disk.Host(), disks(t, scsiSize)[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if src.InUse() {
		t.Errorf("in use: %v", src.Facts().Users)
	}
	var bad extent.Set
	b := make([]byte, 1<<20)
	for off := int64(2 << 20); off < 4<<20; {
		n, err := src.ReadAt(b, off)
		off += int64(n)
		var rerr *disk.ReadError
		if errors.As(err, &rerr) {
			if rerr.Extent.Off != off {
				t.Fatalf("%d is the first byte not read, the error says %v", off, rerr.Extent)
			}
			bad = bad.Append(rerr.Extent)
			off = rerr.Extent.End()
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if want := extent.Of(extent.Extent{Off: badFirst * 512, Len: badCount * 512}); fmt.Sprint(bad) != fmt.Sprint(want) {
		t.Errorf("bad: got %v, want %v", bad, want)
	}
}

// TestGuestWriteError writes across sectors that a mapping makes bad.
func TestGuestWriteError(t *testing.T) {
	vmtest.Only(t)
	under := disks(t, twinSize)[0].Path
	table := fmt.Sprintf("0 4096 linear %s 0\n4096 24 error\n4120 4096 linear %s 4120\n", under, under)
	name := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(name, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	fixture.Run(t, "dmsetup", "create", "--noudevsync", "flaky", name)
	defer fixture.Try(t, "dmsetup", "remove", "--retry", "--noudevsync", "flaky")
	if f := look(t, under); len(f.Users) != 1 || !strings.Contains(f.Users[0].How, "(flaky)") {
		t.Errorf("a disk under a mapping: users are %v", f.Users)
	}
	tg := claim(t, fixture.Loop(t, "/dev/dm-0", "--direct-io=on"))
	n, err := tg.WriteAt(extent.Buffer()[:], 2<<20-512<<10)
	var werr *disk.WriteError
	if want := (extent.Extent{Off: 4096 * 512, Len: 24 * 512}); n != 512<<10 || !errors.As(err, &werr) || werr.Extent != want {
		t.Errorf("got %d bytes and %v, want %v", n, err, want)
	}
	if err := tg.Close(); err != nil {
		t.Error(err)
	}
	fixture.Detach(t, tg.Path())
}

// TestGuestReplug: the same disk in the same place is another one once it was
// out.
func TestGuestReplug(t *testing.T) {
	vmtest.Only(t)
	d := disks(t, scsiSize)[0]
	before := look(t, d.Path)
	sysfs := "/sys/block/" + d.Name + "/device"
	host, err := filepath.Glob("/sys/class/scsi_host/host*/scan")
	if err != nil || len(host) != 1 {
		t.Fatalf("SCSI hosts: %v, %v", host, err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	write(sysfs+"/delete", "1")
	soon(t, "the disk is gone", func() bool { _, err := os.Stat(d.Path); return err != nil })
	if _, err := disk.Host().Look(d.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("look at a disk that was pulled: %v", err)
	}
	write(host[0], "- - -")
	// The kernel makes the node before the link in /sys/block.
	soon(t, "the disk is back", func() bool { _, err := os.Stat(sysfs); return err == nil })
	after := look(t, d.Path)
	if after.Disk.Seq <= before.Disk.Seq || after.Word != before.Word {
		t.Fatalf("premise: a new sequence number and the same word; before %+v, after %+v", before, after)
	}
	var changed *disk.ChangedError
	if err := refused(t, before, disk.Say(before.Word)); !errors.As(err, &changed) || changed.What != "sequence number" {
		t.Errorf("got %v, want that it changed", err)
	}
}

// TestGuestSourceIsHeld: while a free disk is read, nobody can mount it.
func TestGuestSourceIsHeld(t *testing.T) {
	vmtest.Only(t)
	d := disks(t, twinSize)[1]
	fixture.Run(t, "mke2fs", "-q", "-F", d.Path)
	src, err := disk.OpenSource(disk.Host(), d.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(d.Path, "/mnt", "ext4", 0, ""); !errors.Is(err, unix.EBUSY) {
		t.Errorf("mount of a disk that is being read: got %v, want busy", err)
	}
	if err := src.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(d.Path, "/mnt", "ext4", 0, ""); err != nil {
		t.Errorf("mount of a disk that was read: %v", err)
	}
	if err := fixture.Unmount("/mnt"); err != nil {
		t.Error(err)
	}
}
