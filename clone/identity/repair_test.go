package identity_test

import (
	"io/fs"
	"strings"
	"testing"

	"lifeboat/clone/identity"
	"lifeboat/clone/manifest"
)

// TestRepairs mends what a card's files say wrong, and holds what they say then.
func TestRepairs(t *testing.T) {
	t.Parallel()
	const right = "root=PARTUUID=cafe0001-02 rootwait\n"
	for name, c := range map[string]struct {
		slot          string
		cmdline, tab  string
		wantCmd, want string // "" = as it was
		left          int
	}{
		"all is well": {"", right, "PARTUUID=cafe0001-02 / ext4\n", "", "", 0},
		"the source's disk ID": {"",
			"quiet root=PARTUUID=deadbeef-02 resume=PARTUUID=deadbeef-03\n",
			"PARTUUID=deadbeef-01 /boot/firmware vfat\nPARTUUID=deadbeef-02 / ext4\nPARTUUID=beefbeef-01 /usb ext4 nofail\n",
			"quiet root=PARTUUID=cafe0001-02 resume=PARTUUID=cafe0001-03\n",
			"PARTUUID=cafe0001-01 /boot/firmware vfat\nPARTUUID=cafe0001-02 / ext4\nPARTUUID=beefbeef-01 /usb ext4 nofail\n", 0},
		"the case stays": {"", "root=PARTUUID=DEADBEEF-02\n", "", "root=PARTUUID=CAFE0001-02\n", "", 0},
		"the same wrong name twice": {"",
			right, "PARTUUID=cafe0001-01 / ext4\nPARTUUID=cafe0001-01 /boot vfat\n",
			"", "PARTUUID=cafe0001-02 / ext4\nPARTUUID=cafe0001-01 /boot vfat\n", 0},
		"a UUID of another time": {"",
			"root=UUID=\"" + usbUUID + "\" ro\n", "UUID=" + usbUUID + " / ext4\nUUID=1111-2222 /boot/efi vfat\nUUID=" + usbUUID + " none swap sw\n",
			"root=UUID=\"" + rootUUID + "\" ro\n", "UUID=" + rootUUID + " / ext4\nUUID=" + bootUUID + " /boot/efi vfat\nUUID=" + swapUUID + " none swap sw\n", 0},
		"a name by place, of a part that is not there": {"",
			"root=/dev/mmcblk0p9 rootwait\n", "/dev/mmcblk0p2 / ext4\n",
			"root=PARTUUID=cafe0001-02 rootwait\n", "", 0},
		"names by place that cannot be here": {"nvme",
			"root=/dev/mmcblk0p2 rootwait\n", "/dev/mmcblk0p1 /boot vfat\n/dev/mmcblk0p2 / ext4\n",
			"root=PARTUUID=cafe0001-02 rootwait\n", "PARTUUID=cafe0001-01 /boot vfat\nPARTUUID=cafe0001-02 / ext4\n", 0},
		"names by place that can":          {"sd", "root=/dev/mmcblk0p2 rootwait\n", "/dev/mmcblk0p2 / ext4\n", "", "", 0},
		"a label nobody has":               {"", right, "LABEL=\"oldroot\" / ext4\n", "", "LABEL=\"rootfs\" / ext4\n", 0},
		"counted on from a part":           {"", "root=PARTUUID=deadbeef-01/PARTNROFF=1 rw\n", "", "root=PARTUUID=cafe0001-02 rw\n", "", 0},
		"another disk":                     {"", right, "UUID=" + usbUUID + " /srv ext4\n", "", "", 1},
		"another disk that may be missing": {"", right, "UUID=" + usbUUID + " /boot/backup ext4 nofail\n", "", "", 0},
		"no root at all":                   {"", "quiet\n", "", "", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			boot, root := tree("cmdline.txt", c.cmdline), tree("etc/fstab", c.tab)
			repairs, left, err := identity.Repairs(card("cafe0001"), boot, root, c.slot)
			if err != nil || len(left) != c.left {
				t.Fatalf("got %d left (%+v), %v, want %d", len(left), left, err, c.left)
			}
			mend(t, repairs, boot, root)
			for file, want := range map[string]string{"cmdline.txt": orElse(c.wantCmd, c.cmdline), "etc/fstab": orElse(c.want, c.tab)} {
				tree := boot
				if file == "etc/fstab" {
					tree = root
				}
				if got, _ := fs.ReadFile(tree, file); string(got) != want {
					t.Errorf("%s:\ngot  %q\nwant %q", file, got, want)
				}
			}
			again, _, err := identity.Repairs(card("cafe0001"), boot, root, c.slot)
			if err != nil || len(again) > 0 {
				t.Errorf("mended, and still to be mended: %v, %v", again, err)
			}
		})
	}
}

func orElse(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func mend(t *testing.T, repairs []identity.Repair, boot, root memory) {
	t.Helper()
	byTree := map[string][]identity.Repair{}
	for _, r := range repairs {
		byTree[r.Was.Where] = append(byTree[r.Was.Where], r)
	}
	for where, list := range byTree {
		tree := boot
		if where == identity.Root {
			tree = root
		}
		if err := identity.Mend(list, tree); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRepairsWithDoubt holds that of two roots none is guessed, and that a disk
// without an ID is not named by it.
func TestRepairsWithDoubt(t *testing.T) {
	t.Parallel()
	two := card("cafe0001")
	two.Parts[2].FS = manifest.FS{Type: "ext4", UUID: swapUUID}
	boot := tree("cmdline.txt", "root=UUID="+usbUUID)
	repairs, left, err := identity.Repairs(two, boot, nil, "")
	if err != nil || len(repairs) > 0 || len(left) != 1 {
		t.Errorf("two roots: got %v, %v, %v", repairs, left, err)
	}
	boot = tree("cmdline.txt", "root=/dev/mmcblk0p2")
	repairs, _, err = identity.Repairs(card("00000000"), boot, nil, "usb")
	if err != nil || len(repairs) != 1 || repairs[0].Is.String() != "UUID="+rootUUID {
		t.Errorf("no disk ID: got %v, %v", repairs, err)
	}
}

// TestMendLooksAgain holds that a file which changed meanwhile is left alone.
func TestMendLooksAgain(t *testing.T) {
	t.Parallel()
	boot := tree("cmdline.txt", "root=PARTUUID=deadbeef-02")
	repairs, _, err := identity.Repairs(card("cafe0001"), boot, nil, "")
	if err != nil || len(repairs) != 1 {
		t.Fatalf("got %v, %v", repairs, err)
	}
	const now = "root=PARTUUID=beefbeef-02"
	boot = tree("cmdline.txt", now)
	err = identity.Mend(repairs, boot)
	if err == nil || !strings.Contains(err.Error(), "not what it was") {
		t.Errorf("got %v", err)
	}
	if got, _ := fs.ReadFile(boot, "cmdline.txt"); string(got) != now {
		t.Errorf("it was changed to %q", got)
	}
}

func TestCanBe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		slot, device string
		want         bool
	}{
		{"sd", "/dev/mmcblk0p2", true}, {"emmc", "/dev/mmcblk1", true}, {"sd", "/dev/sda2", false},
		{"usb", "/dev/sda2", true}, {"usb", "/dev/mmcblk0p2", false}, {"sata", "/dev/sdb1", true},
		{"nvme", "/dev/nvme0n1p2", true}, {"nvme", "/dev/sda1", false}, {"virtio", "/dev/vda1", true}, {"", "/dev/mmcblk0p2", true},
	} {
		if got := identity.CanBe(c.slot, c.device); got != c.want {
			t.Errorf("%s in %q: got %v", c.device, c.slot, got)
		}
	}
	for name, want := range map[string]bool{"/dev/nvme0n1": true, "/dev/sda": true, "/dev/mmcblk0": true, "/dev/sda1": false, "nvme0n1": false, "": false, "/dev/disk": false} {
		if got := identity.ValidDisk(name); got != want {
			t.Errorf("%q: got %v", name, got)
		}
	}
}

// FuzzRepairs: mended files need no mending, and no other line is touched.
func FuzzRepairs(f *testing.F) {
	for _, seed := range []string{"root=PARTUUID=deadbeef-02", "root=UUID=\"5DE4-665D\" x", "/dev/mmcblk0p9 / ext4\n", "LABEL='a b' / ext4"} {
		f.Add(seed, "nvme")
	}
	f.Fuzz(func(t *testing.T, text, slot string) {
		boot, root := tree("cmdline.txt", text), tree("etc/fstab", text)
		repairs, _, err := identity.Repairs(card("cafe0001"), boot, root, slot)
		if err != nil {
			return
		}
		mend(t, repairs, boot, root)
		got, _ := fs.ReadFile(boot, "cmdline.txt")
		if strings.Count(string(got), "\n") != strings.Count(text, "\n") {
			t.Fatalf("%q became %q", text, got)
		}
		if again, _, err := identity.Repairs(card("cafe0001"), boot, root, slot); err != nil || len(again) > 0 {
			t.Fatalf("%q became %q, and is still to be mended: %v, %v", text, got, again, err)
		}
	})
}
