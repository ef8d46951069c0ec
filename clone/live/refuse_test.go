package live_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"lifeboat/clone/disk"
	"lifeboat/clone/live"
	"lifeboat/internal/fixture"
)

func refused(t *testing.T, err error, want string) {
	t.Helper()
	var no *live.RefusedError
	if !errors.As(err, &no) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want a refusal with %q", err, want)
	}
}

// TestDestination refuses to write to what it freezes, however that is named.
func TestDestination(t *testing.T) {
	t.Parallel()
	c := newCard(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(c.dir, link); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(c.dir, "inner.img")
	fixture.Run(t, "truncate", "-s", "8M", inner)
	fixture.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", inner)
	node, inside := fixture.Loop(t, inner), t.TempDir()
	if err := unix.Mount(node, inside, "ext4", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(inside, 0) })
	for _, to := range []string{
		filepath.Join(c.dir, "pi.img.zst"),
		filepath.Join(c.dir, "not/there/yet/pi.img"),
		filepath.Join(link, "pi.img"),
		filepath.Join(inside, "pi.img"),
	} {
		o := options(t)
		o.Destination = to
		_, err := live.Open(t.Context(), disk.Host(), c.disk, o)
		refused(t, err, "contain itself")
	}
	o := options(t)
	o.Destination = filepath.Join(t.TempDir(), "pi.img")
	c.open(t, o)
}

// TestLongFreeze is not had without being asked for.
func TestLongFreeze(t *testing.T) {
	t.Parallel()
	c := newCard(t)
	_, err := live.Open(t.Context(), disk.Host(), c.disk, options(t).WithMethod(live.Compared))
	refused(t, err, "would have to wait")
}

// TestWatchdogMissing does nothing without a watchdog.
func TestWatchdogMissing(t *testing.T) {
	t.Parallel()
	c := newCard(t)
	o := options(t)
	o.Watchdog = func() *exec.Cmd { return exec.Command("false") }
	if _, err := live.Open(t.Context(), disk.Host(), c.disk, o); err == nil || !strings.Contains(err.Error(), "watchdog") {
		t.Errorf("got %v, want no start without a watchdog", err)
	}
}

func TestRootDisk(t *testing.T) {
	t.Parallel()
	const (
		card    = "25 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root rw\n26 25 179:1 / /boot rw - vfat /dev/mmcblk0p1 rw\n"
		initrd  = "1 1 0:2 / / rw - rootfs rootfs rw\n"
		overlay = "25 1 0:20 / / rw - overlay overlay rw,lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work\n"
		nfs     = "25 1 0:20 / / rw - nfs4 10.0.0.1:/pi rw\n"
		btrfs   = "25 1 0:20 /@ / rw - btrfs /dev/sda2 rw\n"
		lvm     = "25 1 254:0 / / rw - ext4 /dev/mapper/vg-root rw\n"
	)
	for _, c := range []struct{ name, mounts, want, no string }{
		{"card", card, "/dev/mmcblk0", ""},
		{"mounted over an initrd", initrd + card, "/dev/mmcblk0", ""},
		{"overlay", overlay, "", "overlay"},
		{"network", nfs, "", "network"},
		{"btrfs", btrfs, "", "btrfs"},
		{"lvm", lvm, "", "made of other devices"},
		{"memory", initrd, "", "memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sys := &disk.Sys{Dev: "/dev",
				Proc: fstest.MapFS{"self/mountinfo": {Data: []byte(c.mounts)}},
				Sys: fstest.MapFS{
					"dev/block/179:2": {Mode: os.ModeSymlink, Data: []byte("../../devices/mmc/block/mmcblk0/mmcblk0p2")},
					"dev/block/254:0": {Mode: os.ModeSymlink, Data: []byte("../../devices/virtual/block/dm-0")},
					"devices/mmc/block/mmcblk0/mmcblk0p2/partition": {Data: []byte("2\n")},
					"devices/virtual/block/dm-0/dev":                {Data: []byte("254:0\n")},
				}}
			got, err := live.RootDisk(sys)
			if c.no != "" {
				refused(t, err, c.no)
			} else if err != nil || got != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
		})
	}
}
