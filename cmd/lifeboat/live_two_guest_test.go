package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

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

// inRoot calls a program with root as its root folder ("" = as it is). It must end
// well.
func inRoot(t *testing.T, root, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: root}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out.String())
	}
	return out.String()
}
