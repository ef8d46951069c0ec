package live_test

import (
	"os"
	"testing"
	"testing/fstest"

	"lifeboat/clone/disk"
	"lifeboat/clone/live"
)

func TestBootDisk(t *testing.T) {
	t.Parallel()
	const root = "25 1 259:1 / / rw,noatime shared:1 - ext4 /dev/nvme0n1p1 rw\n"
	for _, c := range []struct{ name, mounts, path, point string }{
		{"one disk", root + "26 25 259:2 / /boot/firmware rw - vfat /dev/nvme0n1p2 rw\n", "", ""},
		{"bookworm", root + "26 25 179:1 / /boot/firmware rw - vfat /dev/mmcblk0p1 rw\n", "/dev/mmcblk0", "/boot/firmware"},
		{"bullseye", root + "26 25 179:1 / /boot rw - vfat /dev/mmcblk0p1 rw\n", "/dev/mmcblk0", "/boot"},
		{"not mounted", root, "", ""},
		{"not looked at yet", root + "26 25 0:44 / /boot/firmware rw - autofs systemd-1 rw\n", "", ""},
	} {
		sys := &disk.Sys{
			Dev: "/dev", Proc: fstest.MapFS{"self/mountinfo": {Data: []byte(c.mounts)}},
			Sys: fstest.MapFS{},
		}
		devices := sys.Sys.(fstest.MapFS)
		for number, part := range map[string]string{"259:1": "nvme0n1/nvme0n1p1", "259:2": "nvme0n1/nvme0n1p2", "179:1": "mmcblk0/mmcblk0p1"} {
			devices["dev/block/"+number] = &fstest.MapFile{Mode: os.ModeSymlink, Data: []byte("../../devices/" + part)}
			devices["devices/"+part+"/partition"] = &fstest.MapFile{Data: []byte("1\n")}
		}
		path, point, err := live.BootDisk(sys, "/dev/nvme0n1")
		if err != nil || path != c.path || point != c.point {
			t.Errorf("%s: got %q on %q, %v, want %q on %q", c.name, path, point, err, c.path, c.point)
		}
	}
}
