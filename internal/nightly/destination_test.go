package nightly

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"lifeboat/internal/fixture"
)

func TestParseDestination(t *testing.T) {
	t.Parallel()
	s := Settings{MountOptions: "vers=3.0", Credentials: "/etc/who"}
	for text, want := range map[string]string{
		"nfs:nas:/export/pi":    "mount -t nfs nas:/export/pi DIR -o soft,timeo=600,retrans=3,vers=3.0",
		"nfs:[fe80::1]:/export": "mount -t nfs [fe80::1]:/export DIR -o soft,timeo=600,retrans=3,vers=3.0",
		"smb://nas/pi":          "mount -t cifs //nas/pi DIR -o vers=3.0,credentials=/etc/who",
		"//nas/pi/sub":          "mount -t cifs //nas/pi/sub DIR -o vers=3.0,credentials=/etc/who",
		"sshfs:me@nas:/srv":     "sshfs me@nas:/srv DIR -o BatchMode=yes,reconnect,ServerAliveInterval=15,ServerAliveCountMax=8,vers=3.0",
		"davfs:https://nas/dav": "mount -t davfs https://nas/dav DIR -o vers=3.0,conf=/etc/who",
		"UUID=1234-5678":        "mount UUID=1234-5678 DIR -o nosuid,nodev,vers=3.0",
		"LABEL=backup":          "mount LABEL=backup DIR -o nosuid,nodev,vers=3.0",
		"/mnt/../srv/x":         "folder /srv/x",
		"sftp://me@nas/srv":     "address sftp://me@nas/srv",
		"s3://bucket/pis?x=y":   "address s3://bucket/pis",
		"https://nas/pis":       "error",
		"":                      "error",
		"backup":                "error",
		"UUID=":                 "error",
		"nfs:nas":               "error",
		"smb://nas":             "error",
		"ftp://nas/x":           "error",
		"davfs:nas/x":           "error",
	} {
		d, err := ParseDestination(text)
		got := strings.Join(d.command(s, "DIR"), " ")
		switch {
		case err != nil:
			got = "error"
		case d.Folder != "":
			got = "folder " + d.Folder
		case d.Address != "":
			got = "address " + d.Shown()
		}
		equal(t, text, got, want)
	}
}

func TestFits(t *testing.T) {
	t.Parallel()
	const gb = 1e9
	for _, test := range []struct {
		fstype, kind string
		e            Estimate
		free         int64
		want         string // of the error; "" is none
	}{
		{"ext4", "img.zst", Estimate{4 * gb, 32 * gb, 0}, 9 * gb, ""},
		{"ext4", "img.zst", Estimate{4 * gb, 32 * gb, 0}, 8 * gb, `type = "img" would fit`},
		{"ext4", "img.zst", Estimate{4 * gb, 32 * gb, 2 * gb}, 7 * gb, ""}, // the last one had 2 GB
		{"ext4", "img", Estimate{4 * gb, 32 * gb, 0}, 5 * gb, ""},
		{"ext4", "img", Estimate{4 * gb, 32 * gb, 0}, 4 * gb, "the destination has 4.00 GB free, of which 100 MB stay free, and the run needs up to 4.00 GB"},
		{"vfat", "img", Estimate{4 * gb, 32 * gb, 0}, 100 * gb, "is FAT, where a file has at most 4.29 GB, and the image of the disk has 32.0 GB while it is made: make it ext4 or exFAT"},
		{"vfat", "img.zst", Estimate{1 * gb, 32 * gb, 0}, 100 * gb, "is FAT"},
		{"vfat", "img.zst", Estimate{1 * gb, 4 * gb, 0}, 100 * gb, ""},
		{"exfat", "img.gz", Estimate{4 * gb, 32 * gb, 0}, 20 * gb, "on exFAT gaps take room; on ext4 it would fit"},
		{"exfat", "img.gz", Estimate{4 * gb, 32 * gb, 0}, 40 * gb, ""},
		{"nfs4", "img.gz", Estimate{4 * gb, 32 * gb, 0}, 10 * gb, ""},
		{"ext4", "snapshot", Estimate{4 * gb, 32 * gb, 0}, 4.2 * gb, ""},
		{"ext4", "snapshot", Estimate{4 * gb, 32 * gb, 0}, 4 * gb, "the run needs up to 4.00 GB: fewer snapshots"},
		{"vfat", "snapshot", Estimate{4 * gb, 32 * gb, 0.5 * gb}, 1.2 * gb, ""}, // chunks are small, and the week added half a gigabyte
		{"ext4", "snapshot", Estimate{4 * gb, 32 * gb, 0.5 * gb}, 1 * gb, "needs up to 1.00 GB"},
		{"ext4", "snapshot", Estimate{4 * gb, 32 * gb, 1}, 0.2 * gb, "needs up to 200 MB"}, // a quiet week
	} {
		err := test.e.fits(test.fstype, test.kind, test.free, gb/10)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s on %s, %+v: %v, want %q", test.kind, test.fstype, test.e, err, test.want)
		}
	}
}

// aMounter is one whose mount comes into being at the given try.
func aMounter(t *testing.T, works int) (*mounter, *[]string) {
	var lines []string
	tries := 0
	m := &mounter{
		have: func(string) bool { return true }, fstab: write(t, filepath.Join(t.TempDir(), "fstab"), ""), dir: filepath.Join(t.TempDir(), "destination"),
		proc: fstest.MapFS{"self/mountinfo": {Data: []byte("1 0 8:1 / / rw - ext4 /dev/root rw\n")}},
		logf: t.Logf, pauses: []time.Duration{time.Millisecond},
		note: func([]string) error { lines = append(lines, "note"); return nil },
	}
	m.run = func(_ context.Context, _ []string, name string, args ...string) (string, error) {
		line := strings.Join(append([]string{name}, args...), " ")
		lines = append(lines, line)
		if name == "mount" {
			if tries++; tries < works {
				return "", errors.New("mount.nfs: No route to host")
			}
		}
		return "", nil
	}
	return m, &lines
}

// TestSleepingNAS comes at the third try.
func TestSleepingNAS(t *testing.T) {
	t.Parallel()
	m, lines := aMounter(t, 3)
	p, err := m.open(t.Context(), Settings{To: "nfs:nas:/x", Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.close(t.Context()); err != nil {
		t.Error(err)
	}
	got := strings.ReplaceAll(strings.Join(*lines, "; "), m.dir, "DIR")
	once := "note; mount -t nfs nas:/x DIR -o soft,timeo=600,retrans=3; mountpoint -q DIR; umount DIR"
	equal(t, "lines", got, once+"; "+once+"; "+once)

	m, _ = aMounter(t, 1000)
	if _, err := m.open(t.Context(), Settings{To: "nfs:nas:/x", Wait: 20 * time.Millisecond}); err == nil || !strings.Contains(err.Error(), "destination nfs:nas:/x: mount.nfs: No route to host") {
		t.Errorf("one that never wakes: %v", err)
	}
	m.have = func(string) bool { return false }
	if _, err := m.open(t.Context(), Settings{To: "smb://nas/x"}); err == nil || !strings.Contains(err.Error(), "install the package cifs-utils") {
		t.Errorf("no program: %v", err)
	}
}

// TestFstab mounts what fstab knows and is not mounted, and unmounts only that.
func TestFstab(t *testing.T) {
	t.Parallel()
	m, lines := aMounter(t, 0)
	top := t.TempDir()
	folder := filepath.Join(top, "with space", "pi")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	point := filepath.Dir(folder)
	write(t, m.fstab, fmt.Sprintf("# x %s ext4\nUUID=1 / ext4 defaults 0 1\nUUID=2 %s ext4 noauto 0 2\nUUID=3 none swap sw 0 0\nUUID=4 %s ext4\n",
		point, strings.ReplaceAll(point, " ", `\040`), top))
	p, err := m.open(t.Context(), Settings{To: folder})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.close(t.Context()); err != nil {
		t.Error(err)
	}
	equal(t, "lines", strings.Join(*lines, "; "), "note; mount "+point+"; mountpoint -q "+point+"; umount "+point)

	m.proc = fstest.MapFS{"self/mountinfo": {Data: []byte(fmt.Sprintf("1 0 8:1 / / rw - ext4 /dev/root rw\n2 1 8:2 / %s rw - exfat /dev/sda rw\n", strings.ReplaceAll(point, " ", `\040`)))}}
	*lines = nil
	if p, err = m.open(t.Context(), Settings{To: folder}); err != nil || len(*lines) > 0 || p.close(t.Context()) != nil || len(*lines) > 0 {
		t.Errorf("it is mounted already: %v, %q", err, *lines)
	}
	equal(t, "type", p.fstype, "exfat")
}

// TestMountByUUID mounts a real ext4, once it is there, and lets go of it.
func TestMountByUUID(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	fixture.Need(t, "mke2fs", "losetup", "mount", "umount", "mountpoint")
	uuid := strings.TrimSpace(string(must(os.ReadFile("/proc/sys/kernel/random/uuid"))))
	image := filepath.Join(t.TempDir(), "disk")
	fixture.Run(t, "mke2fs", "-q", "-t", "ext4", "-U", uuid, image, "16M")
	loop := strings.TrimSpace(fixture.Run(t, "losetup", "--find", "--show", image))
	t.Cleanup(func() {
		if err := exec.Command("losetup", "-d", loop).Run(); err != nil {
			t.Error(err)
		}
	})
	// As udev does; mount asks nobody else where it is there.
	link := filepath.Join("/dev/disk/by-uuid", uuid)
	if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(loop, link)); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(link) })
	host := Host{RunDir: t.TempDir(), Fstab: "/dev/null", Proc: os.DirFS("/proc"), Run: Exec, Have: func(string) bool { return true }, Pauses: []time.Duration{time.Second}}
	var folder string
	err := host.Visit(t.Context(), Settings{To: "UUID=" + uuid, Wait: 10 * time.Second}, t.Logf, func(dir string) error {
		folder = dir
		return os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "file")); err == nil {
		t.Error("it is still mounted")
	}
	out, _ := fixture.Try(t, "debugfs", "-R", "stat file", image)
	if !strings.Contains(out, "Type: regular") {
		t.Errorf("the file is not on the disk: %s", out)
	}
}

func TestFolder(t *testing.T) {
	t.Parallel()
	f := Folder{t.TempDir()}
	now := time.Date(2026, 11, 28, 3, 30, 0, 0, time.FixedZone("x", 3600))
	plain, named := FileName("nightly", "img.zst", "", now), FileName("weekly", "img.gz", "Before / upgrade: 1.2", now)
	equal(t, "name", plain, "nightly-20261128T023000Z.img.zst")
	equal(t, "name", named, "weekly-20261128T023000Z-Before___upgrade__1_2.img.gz")
	others := []string{"nightly.img.zst", "nightly-20261128T023000Z.tar", "nightly-20261328T023000Z.img", "nightly-20261128T023000Z-.img", plain + ".json", plain + ".boot0.img", "README", "-20261128T023000Z.img"}
	boots := []string{"nightly-20261128T023000Z.boot.img.zst", "nightly-20261128T023000Z.boot.img.zst.json"}
	leftovers := []string{"." + plain + "123", "." + plain + ".456.spool", "nightly-20261127T023000Z.boot.img.zst", "nightly-20261127T023000Z-named.boot.img.zst.json"}
	kept := []string{".weekly-20261128T023000Z.img.gz1", ".nightly-notes", "weekly-20261127T023000Z.boot.img.gz", "nightly.boot.img", named[:len(named)-len("img.gz")] + "boot.img.gz"}
	for _, name := range slices.Concat([]string{plain, named}, others, boots, leftovers, kept) {
		write(t, filepath.Join(f.Path, name), "12345")
	}
	all, err := f.List(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, s := range all {
		if !s.Time.Equal(now) || s.Size != 5 {
			t.Errorf("%+v", s)
		}
	}
	equal(t, "read", fmt.Sprint(all[0].Schedule, all[0].Type, all[0].Pinned), "nightlyimg.zst")
	equal(t, "read", fmt.Sprint(all[1].Schedule, all[1].Type, all[1].Pinned), "weeklyimg.gzBefore___upgrade__1_2")
	if err := f.Sweep("nightly", t.Logf); err != nil {
		t.Fatal(err)
	}
	for _, name := range boots {
		if _, err := os.Stat(filepath.Join(f.Path, name)); err != nil {
			t.Errorf("it belongs to %s: %v", plain, err)
		}
	}
	if n, err := f.Remove(t.Context(), all[:1]); err != nil || n != 1 {
		t.Fatalf("%d removed, %v", n, err)
	}
	left, _ := os.ReadDir(f.Path)
	if len(left) != 1+len(others)-2+len(kept) {
		t.Errorf("left: %v", left)
	}
	if none, err := ListFolder(f.Path + "/none"); err != nil || len(none) != 0 {
		t.Errorf("a folder that is not there: %v, %v", none, err)
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("nightly-20261128T023000Z-a.img.zst")
	f.Add("nightly-20261128T023000Z.img")
	f.Fuzz(func(t *testing.T, name string) {
		s, ok := ParseName(name)
		if !ok {
			return
		}
		if s.Name != name || strings.Contains(s.Schedule, "-") || s.Pinned != "" && !strings.Contains(name, s.Pinned) {
			t.Errorf("%q is read as %+v", name, s)
		}
		if s.Pinned == plainName(s.Pinned) && FileName(s.Schedule, s.Type, s.Pinned, s.Time) != name {
			t.Errorf("%q is written as %q", name, FileName(s.Schedule, s.Type, s.Pinned, s.Time))
		}
	})
}
