package disk_test

import (
	"testing"

	"lifeboat/clone/disk"
	"lifeboat/internal/vmtest"
)

// TestInGuest runs the tests below on disks that a test may break.
func TestInGuest(t *testing.T) {
	vmtest.Run(t, vmtest.Options{
		Disks:    []string{image(t, 64<<20), image(t, 64<<20), image(t, 96<<20)},
		Locked:   []string{image(t, 80<<20)},
		Modules:  []string{"loop", "sd_mod", "scsi_debug dev_size_mb=48 opts=2 medium_error_start=4660 medium_error_count=9"},
		Programs: []string{"mke2fs", "e2fsck", "sfdisk"},
	})
}

func TestGuestSmoke(t *testing.T) {
	vmtest.Only(t)
	ds, err := disk.Host().Disks()
	for _, d := range ds {
		t.Logf("%+v", d)
	}
	t.Log(err)
}
