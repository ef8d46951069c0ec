package main

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lifeboat/clone/disk"
	"lifeboat/clone/filesystem"
	"lifeboat/internal/fixture"
	"lifeboat/internal/progress"
	"lifeboat/internal/vmtest"
)

// TestInGuest runs the tests below where a disk can be the running system's.
func TestInGuest(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "e2fsck", "tune2fs", "sfdisk", "resize2fs", "fsck.vfat", "losetup", "dmsetup", "blkid")
	card := fixture.Card(t, "pi-mbr-fat-ext4")
	if err := os.Truncate(card, 300<<20); err != nil {
		t.Fatal(err)
	}
	boot, root := fixture.Pair{}.Make(t)
	tool := filepath.Join(t.TempDir(), "lifeboat")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-s -w", "-o", tool, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	vmtest.Run(t, vmtest.Options{
		Memory: 640 << 20, Disks: []string{card, fixture.Card(t, "pi-mbr-fat-ext4"), noiseFile(t), boot, root},
		// vfat and its character sets are modules there.
		Modules:  []string{"loop", "dm-mod", "dm-zero", "dm-flakey", "vfat", "nls_cp437", "nls_iso8859_1", "nls_ascii", "nls_utf8"},
		Programs: []string{"e2fsck", "tune2fs", "sfdisk", "resize2fs", "fsck.vfat", "losetup", "dmsetup", "blkid"},
		Files:    map[string]string{toolInGuest: tool},
		Timeout:  12 * time.Minute,
	})
}

// TestGuestResizeRoot makes the card's root the test's own, and has it resized.
func TestGuestResizeRoot(t *testing.T) {
	vmtest.Only(t)
	const node, part = "/dev/ubda", "/dev/ubda2"
	dir := t.TempDir()
	for _, m := range [][3]string{{part, dir, "ext4"}, {"proc", dir + "/proc", "proc"}, {"sysfs", dir + "/sys", "sysfs"}, {"devtmpfs", dir + "/dev", "devtmpfs"}} {
		if err := unix.Mount(m[0], m[1], m[2], 0, ""); err != nil {
			t.Fatalf("mount %s: %v", m[1], err)
		}
	}
	back, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if err := unix.Chroot(dir); err != nil {
		t.Fatal(err)
	}
	inside(t)
	if err := back.Chdir(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Chroot("."); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"dev", "sys", "proc", ""} {
		if err := fixture.Unmount(filepath.Join(dir, sub)); err != nil {
			t.Fatalf("unmount %s: %v", sub, err)
		}
	}
	fixture.Run(t, "e2fsck", "-fn", part)
	fixture.Run(t, "sfdisk", "--verify", node)
	if parts := fixture.Parts(t, node); len(parts) != 2 || parts[1].Size != 256<<20 {
		t.Errorf("got %+v", parts)
	}
}

// inside calls the tool with the card as its root.
func inside(t *testing.T) {
	t.Helper()
	if out, code := resizing(t); code != exitRefused || !strings.Contains(out, "nobody is there to agree") {
		t.Errorf("without the word: got %d, %s", code, out)
	}
	out, code := resizing(t, "--dry-run")
	if code != exitDone || !strings.Contains(out, "88.1 MB → 268 MB") || !strings.Contains(out, "resize while it is mounted on /") {
		t.Errorf("dry run: got %d, %s", code, out)
	}
	facts, err := disk.Host().Look("/dev/ubda")
	if err != nil {
		t.Fatal(err)
	}
	if out, code := resizing(t, "--yes="+facts.Word); code != exitDone || !strings.Contains(out, "part 2 has 268 MB now") {
		t.Errorf("with the word: got %d, %s", code, out)
	}
	if out, code := resizing(t); code != exitDone || !strings.Contains(out, "nothing to do") {
		t.Errorf("again: got %d, %s", code, out)
	}
	var st unix.Statfs_t
	if err := unix.Statfs("/", &st); err != nil || int64(st.Blocks)*int64(st.Bsize) < 240<<20 {
		t.Errorf("the root has %d blocks of %d, %v", st.Blocks, st.Bsize, err)
	}
}

func resizing(t *testing.T, flags ...string) (string, int) {
	t.Helper()
	return called(t, append([]string{"resize", "/"}, flags...)...)
}

// called is the tool with a command line: all that it says, and its exit code.
func called(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	e := &env{
		stdin: strings.NewReader(""), stdout: &out, stderr: &out, sys: disk.Host(),
		tools: filesystem.Tools{Run: filesystem.Exec}, have: filesystem.Have,
		client: http.DefaultClient, clock: time.Now, random: rand.Reader, meter: progress.New(time.Now),
	}
	defer e.close()
	code := execute(t.Context(), e, args)
	return out.String(), code
}
