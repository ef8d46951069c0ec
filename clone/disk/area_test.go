package disk_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lifeboat/clone/disk"
	"lifeboat/internal/fixture"
)

// emmc is a machine with one eMMC.
func emmc(t *testing.T) (sys *disk.Sys, node string) {
	t.Helper()
	e := fixture.NewEMMCs(t)
	node = e.Add(t, 4<<20, 512<<10)
	return &disk.Sys{Proc: os.DirFS("/proc"), Sys: os.DirFS(e.Sys), Dev: e.Dev, Dir: e.Sys}, node
}

func claimEMMC(t *testing.T, sys *disk.Sys, node string) (*disk.Target, error) {
	t.Helper()
	f, err := sys.Look(node)
	if err != nil {
		t.Fatal(err)
	}
	return disk.Claim(t.Context(), sys, f, disk.Say(f.Word))
}

// lockOf is the kernel's lock of boot0.
func lockOf(t *testing.T, sys *disk.Sys) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(sys.Dir, "block/mmcblk0boot0/force_ro"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestAreas(t *testing.T) {
	t.Parallel()
	sys, node := emmc(t)
	disks, err := sys.Disks()
	if err != nil || len(disks) != 1 || len(disks[0].Areas) != 2 {
		t.Fatalf("got %+v, %v", disks, err)
	}
	if a := disks[0].Areas[1]; a.Name != "boot1" || a.Path != node+"boot1" || a.Size != 512<<10 {
		t.Errorf("got %+v", a)
	}
	var no *disk.NotADiskError
	if _, err := sys.Look(node + "boot0"); !errors.As(err, &no) || no.Disk != node || !strings.Contains(err.Error(), "is a boot area of "+node) {
		t.Errorf("a look at an area: %v", err)
	}
	target, err := claimEMMC(t, sys, node)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	data := bytes.Repeat([]byte("loader"), 50_000)
	for range 2 { // the second time it is there
		if err := target.WriteArea(t.Context(), "boot0", data); err != nil {
			t.Fatal(err)
		}
	}
	got, err := sys.ReadArea(disks[0].Areas[0])
	if err != nil || !bytes.HasPrefix(got, data) || len(got) != 512<<10 {
		t.Errorf("%d bytes read back, %v", len(got), err)
	}
	other, err := sys.ReadArea(disks[0].Areas[1])
	if err != nil || len(bytes.Trim(other, "\x00")) > 0 {
		t.Errorf("boot1 was written to, %v", err)
	}
	if lock := lockOf(t, sys); lock != "1" {
		t.Errorf("force_ro is %q afterwards", lock)
	}
	if err := target.WriteArea(t.Context(), "boot0", make([]byte, 1<<20)); err == nil {
		t.Error("more was written than there is room for")
	}
	if err := target.WriteArea(t.Context(), "boot2", data); err == nil {
		t.Error("an area that is not there was written")
	}
}

// Whatever goes wrong, the lock is put back.
func TestAreaLocked(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "blockdev")
	sys, node := emmc(t)
	target, err := claimEMMC(t, sys, node)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := target.WriteArea(ctx, "boot0", []byte("loader")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	fixture.Run(t, "blockdev", "--setro", node+"boot0")
	err = target.WriteArea(t.Context(), "boot0", bytes.Repeat([]byte("x"), 512<<10))
	if err == nil || !strings.Contains(err.Error(), "is write-protected") {
		t.Errorf("a protected area: got %v", err)
	}
	if lock := lockOf(t, sys); lock != "1" {
		t.Errorf("force_ro is %q afterwards", lock)
	}
	fixture.Run(t, "blockdev", "--setrw", node+"boot0")
	if err := os.Remove(filepath.Join(sys.Dir, "block/mmcblk0boot0/force_ro")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(sys.Dir, "block/mmcblk0boot0/force_ro"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := target.WriteArea(t.Context(), "boot0", []byte("loader")); err == nil || !strings.Contains(err.Error(), "set force_ro of "+node+"boot0 to 0") {
		t.Errorf("a lock that cannot be opened: got %v", err)
	}
}

// Whoever holds a boot area holds its disk, and the other way round.
func TestAreaClaimed(t *testing.T) {
	t.Parallel()
	sys, node := emmc(t)
	held, err := os.OpenFile(node+"boot1", os.O_RDONLY|unix.O_EXCL, 0)
	if err != nil {
		t.Fatal(err)
	}
	var used *disk.InUseError
	if _, err := claimEMMC(t, sys, node); !errors.As(err, &used) || !strings.Contains(err.Error(), node+"boot1 is held by another program") {
		t.Errorf("with an area in use: got %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	target, err := claimEMMC(t, sys, node)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := os.OpenFile(node+"boot1", os.O_RDONLY|unix.O_EXCL, 0); err == nil {
		f.Close()
		t.Error("the boot area of a claimed disk can be had by another")
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(node+"boot1", os.O_RDONLY|unix.O_EXCL, 0)
	if err != nil {
		t.Fatalf("the boot area of a disk that was given up: %v", err)
	}
	f.Close()
}
