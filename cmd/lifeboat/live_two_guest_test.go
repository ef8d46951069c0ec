package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// toolInGuest is where the guest has the tool itself: its watchdog is another
// process of it.
const toolInGuest = "/tool"

// TestGuestBackupTwoDisks runs a system whose boot part lies on another disk, and
// has it saved.
func TestGuestBackupTwoDisks(t *testing.T) {
	vmtest.Only(t)
	root := t.TempDir()
	for _, m := range [][3]string{
		{"/dev/ubde1", root, "ext4"}, {"/dev/ubdd1", root + "/boot/firmware", "vfat"},
		{"proc", root + "/proc", "proc"}, {"sysfs", root + "/sys", "sysfs"}, {"devtmpfs", root + "/dev", "devtmpfs"}, {"tmpfs", root + "/tmp", "tmpfs"},
	} {
		if err := unix.Mount(m[0], m[1], m[2], 0, ""); err != nil {
			t.Fatalf("mount %s: %v", m[1], err)
		}
		defer unix.Unmount(m[1], unix.MNT_DETACH)
	}
	binary, err := os.ReadFile(toolInGuest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/tmp/lifeboat", binary, 0o755); err != nil {
		t.Fatal(err)
	}
	out := inRoot(t, root, "/tmp/lifeboat", "backup", "/", "/tmp/pi.img.zst", "--allow-long-freeze")
	for _, want := range []string{"/boot/firmware lies on /dev/ubdd, which boots this system: it is saved along, to /tmp/pi.boot.img.zst", "/tmp/pi.boot.img.zst: ", "/tmp/pi.img.zst: "} {
		if !strings.Contains(out, want) {
			t.Errorf("got %s\nwant %q in it", out, want)
		}
	}
	snapshotsOfTwo(t, root)
	nightlyOfTwo(t, root)
	cloneOfTwo(t, root)
	// Both, found by the one that was named, become one disk.
	one := filepath.Join(root, "tmp/one.img")
	inRoot(t, "", toolInGuest, "restore", root+"/tmp/pi.img.zst", one, "--with="+root+"/tmp/pi.boot.img.zst")
	if parts := fixture.Parts(t, one); len(parts) != 3 || parts[0].Type != "c" || parts[1].Type != "83" {
		t.Errorf("got the parts %+v", parts)
	}
	if out := inRoot(t, "", toolInGuest, "inspect", one); !strings.Contains(out, "root=: PARTUUID=626f6f74-02 is part 2") {
		t.Errorf("inspect: %s", out)
	}
}

// cloneOfTwo has the running system cloned from its two disks to one, and judges
// that.
func cloneOfTwo(t *testing.T, root string) {
	for _, dir := range []string{"/bin", "/lib", "/lib64"} { // what checks the clone: that root has no programs
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(dir, root+dir, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		defer unix.Unmount(root+dir, unix.MNT_DETACH)
	}
	inRoot(t, root, "/tmp/lifeboat", "clone", "/", "/tmp/both.img", "--allow-long-freeze")
	both := filepath.Join(root, "tmp/both.img")
	fixture.Check(t, both)
	parts := fixture.Parts(t, both)
	if len(parts) != 3 || parts[0].Type != "c" || parts[1].Type != "83" {
		t.Errorf("got the parts %+v", parts)
	}
	out := inRoot(t, "", toolInGuest, "inspect", both)
	if strings.Contains(out, "626f6f74") || !strings.Contains(out, "-02 is part 2") {
		t.Errorf("a clone has IDs of its own: %s", out)
	}
}

// nightlyOfTwo has two nights make images, of which one stays.
func nightlyOfTwo(t *testing.T, root string) {
	config := "[schedule.night]\nfrom = \"/\"\nto = \"/tmp/images\"\nfolder = \"pi\"\ntype = \"img.zst\"\nkeep = 1\nallow-long-freeze = true\nlog.folder = \"\"\nmin-free = \"0\"\n"
	if err := os.WriteFile(root+"/tmp/nightly.toml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(root+"/tmp/images", 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		inRoot(t, root, "/tmp/lifeboat", "nightly", "--config", "/tmp/nightly.toml")
		time.Sleep(time.Second) // the images' names have seconds
	}
	images, err := filepath.Glob(root + "/tmp/images/pi/night-*.img.zst")
	if err != nil || len(images) != 2 || !strings.HasSuffix(images[0], "Z.boot.img.zst") {
		t.Fatalf("got %v, %v", images, err)
	}
	inRoot(t, "", toolInGuest, "verify", images[0])
	inRoot(t, "", toolInGuest, "restore", "--dry-run", images[1], root+"/tmp/dry.img", "--with="+images[0])
}

// snapshotsOfTwo has the running system saved into a repository, by hand and as a
// nightly run, and judges the disks that are restored.
func snapshotsOfTwo(t *testing.T, root string) {
	repo := root + "/tmp/pis"
	inRoot(t, root, "/tmp/lifeboat", "repo", "init", "/tmp/pis")
	for range 2 { // the second follows the first
		out := inRoot(t, root, "/tmp/lifeboat", "backup", "/", "/tmp/pis", "--series=0123456789abcdef", "--allow-long-freeze")
		if strings.Count(out, ", verified") != 2 || !strings.Contains(out, "it is saved along, to /tmp/pis@") {
			t.Errorf("backup: %s", out)
		}
	}
	config := "[schedule.night]\nfrom = \"/\"\nto = \"/tmp/pis\"\nkeep = 1\nlog.folder = \"\"\nrepository.series = \"0123456789abcdef\"\nallow-long-freeze = true\n"
	if err := os.WriteFile(root+"/tmp/snapshots.toml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := inRoot(t, root, "/tmp/lifeboat", "nightly", "--dry-run", "--config", "/tmp/snapshots.toml"); !strings.Contains(out, "all checks passed") {
		t.Errorf("nightly: %s", out)
	}
	inRoot(t, root, "/tmp/lifeboat", "nightly", "--config", "/tmp/snapshots.toml")
	if out := inRoot(t, "", toolInGuest, "snapshots", repo); strings.Count(out, "  with ") != 6 || strings.Contains(out, "HALF") {
		t.Errorf("snapshots: %s", out)
	}
	ofRoot, ofBoot := root+"/tmp/root.img", root+"/tmp/boot.img"
	inRoot(t, "", toolInGuest, "restore", "--grow=none", repo+"@latest", ofRoot, "--second="+ofBoot)
	fixture.Check(t, ofRoot)
	fixture.Check(t, ofBoot)
}

// inRoot calls a program with root as its root folder ("" = as it is). It must end
// well.
func inRoot(t *testing.T, root, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: root}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}
