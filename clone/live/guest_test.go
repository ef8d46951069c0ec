package live_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/live"
	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// TestInGuest runs the tests below where vfat can be mounted. The guest's kernel
// is older than limits for one disk, and has no tracing.
func TestInGuest(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "e2fsck", "fsck.vfat", "mkswap", "swapon", "swapoff", "dmsetup")
	vmtest.Run(t, vmtest.Options{
		Memory: 1 << 30,
		Disks: []string{
			fixture.Card(t, "pi-mbr-fat-ext4"), fixture.Card(t, "pi-mbr-fat-ext4"),
			fixture.Card(t, "pi-mbr-fat-ext4"), fixture.Card(t, "pi-mbr-fat-ext4"),
		},
		Modules:  []string{"vfat", "nls_cp437", "nls_iso8859_1", "nls_ascii", "nls_utf8", "dm_mod"},
		Programs: []string{"e2fsck", "fsck.vfat", "mkswap", "swapon", "swapoff", "dmsetup"},
	})
}

// A guestCard is one whose both parts are mounted.
type guestCard struct {
	disk       string
	boot, root string // where they are mounted
}

func newGuestCard(t *testing.T, node string) *guestCard {
	t.Helper()
	c := &guestCard{node, t.TempDir(), t.TempDir()}
	for _, m := range []struct{ part, dir, fstype string }{{"1", c.boot, "vfat"}, {"2", c.root, "ext4"}} {
		if err := unix.Mount(node+m.part, m.dir, m.fstype, 0, ""); err != nil {
			t.Fatalf("mount %s%s: %v", node, m.part, err)
		}
		t.Cleanup(func() {
			if err := fixture.Unmount(m.dir); err != nil {
				t.Errorf("unmount %s: %v", m.dir, err)
			}
		})
	}
	return c
}

func (c *guestCard) open(t *testing.T, hook func() error, more ...func(*live.Options)) *live.Source {
	t.Helper()
	o := options(t).WithFrozen(hook)
	for _, set := range more {
		set(&o)
	}
	o.AllowLongFreeze = true
	o.MaxFreeze = time.Minute // the hook reads the whole disk, on a slow machine
	s, err := live.Open(t.Context(), disk.Host(), c.disk, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// readDisk reads a disk past the page cache. Of its memory it touches only what is
// not zero: writers wait meanwhile, and a page of memory costs this guest more than
// reading it.
func readDisk(path string, size int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := extent.Buffer()
	defer extent.Release(buf)
	b := make([]byte, size)
	for off := 0; off < len(b); off += extent.BufferSize {
		n, err := f.ReadAt(buf[:min(extent.BufferSize, len(b)-off)], int64(off))
		if err != nil {
			return nil, err
		}
		for at := 0; at < n; at += 4096 {
			if page := buf[at:min(at+4096, n)]; !extent.IsZero(page) {
				copy(b[off+at:], page)
			}
		}
	}
	return b, nil
}

func writeAndSync(path, text string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	return f.Sync()
}

// TestGuestBootPart writes to the boot part within the first freeze: it cannot
// be frozen, so that freeze was in vain.
func TestGuestBootPart(t *testing.T) {
	vmtest.Only(t)
	c := newGuestCard(t, "/dev/ubda")
	image := filepath.Join(t.TempDir(), "image")
	var truth []byte
	var size int64
	var during map[string]string
	tries := 0
	var s *live.Source
	s = c.open(t, func() (err error) {
		during = valuesOf(t, s.Settings())
		if tries++; tries == 1 {
			return writeAndSync(filepath.Join(c.boot, "config.new"), "arm_64bit=1\n")
		}
		truth, err = readDisk(c.disk, size)
		return err
	})
	size = s.Head().Size
	before := valuesOf(t, s.Settings())
	if err := os.WriteFile(filepath.Join(c.root, "file"), bytes.Repeat([]byte("dirty"), mib), 0o600); err != nil {
		t.Fatal(err)
	}
	tail, err := save(t, s, image)
	if err != nil {
		t.Fatal(err)
	}
	if tries != 2 || len(s.Notes()) > 0 || tail.Live.Method != live.Compared {
		t.Errorf("frozen %d times, notes %v, %+v: want two freezes and no note", tries, s.Notes(), tail.Live)
	}
	got := read(t, image)
	for _, e := range s.Void() {
		if !extent.IsZero(got[e.Off:e.End()]) {
			t.Errorf("the image has more than zeros in %v, the journal", e)
		}
	}
	if v := s.Void(); len(v) == 0 || extent.IsZero(truth[v[0].Off:v[0].End()]) {
		t.Error("premise: the journal of the frozen disk is not empty")
	}
	for _, e := range tail.Used.Subtract(s.Void()) {
		if !bytes.Equal(got[e.Off:e.End()], truth[e.Off:e.End()]) {
			t.Errorf("used bytes differ from those of the frozen disk in %v", e)
		}
	}
	if !bytes.Contains(got, []byte("arm_64bit=1\n")) {
		t.Error("what was written to the boot part is not in the image")
	}
	after := valuesOf(t, s.Settings())
	if !maps.Equal(before, after) || maps.Equal(before, during) {
		t.Errorf("settings were %v, %v within the freeze, and are %v", before, during, after)
	}
	judgeParts(t, s, got)
}

// judgeParts lets the file systems' own tools judge an image.
func judgeParts(t *testing.T, s *live.Source, image []byte) {
	t.Helper()
	for _, p := range s.Head().Parts {
		file := filepath.Join(t.TempDir(), "part")
		if err := os.WriteFile(file, image[p.Extent.Off:p.Extent.End()], 0o600); err != nil {
			t.Fatal(err)
		}
		program := []string{"e2fsck", "-fn"}
		if p.FS.Type == "vfat" {
			fixture.Try(t, "fsck.vfat", "-a", file) // takes the mark off that it is mounted
			program = []string{"fsck.vfat", "-n"}
		}
		if out, code := fixture.Try(t, program[0], append(program[1:], file)...); code != 0 {
			t.Errorf("part %d: %s: exit code %d\n%s", p.Num, program[0], code, out)
		}
	}
}

// TestGuestRestlessBootPart never lets the boot part be: that is told, and the
// rest is of one instant.
func TestGuestRestlessBootPart(t *testing.T) {
	vmtest.Only(t)
	c := newGuestCard(t, "/dev/ubdb")
	n := 0
	s := c.open(t, func() error {
		n++
		return writeAndSync(filepath.Join(c.boot, fmt.Sprint("file", n)), "again")
	})
	if _, err := save(t, s, filepath.Join(t.TempDir(), "image")); err != nil {
		t.Fatal(err)
	}
	if len(s.Notes()) != 1 || !strings.Contains(s.Notes()[0], "FAT") {
		t.Errorf("notes are %q, want one about the FAT part", s.Notes())
	}
}

// TestGuestSwapFile swaps to a file of the frozen root: that it is written to is
// no trouble, but what was left out must be swap until the end.
func TestGuestSwapFile(t *testing.T) {
	vmtest.Only(t)
	c := newGuestCard(t, "/dev/ubdc")
	swap := filepath.Join(c.root, "swap")
	const memory = "what lay in memory"
	if err := os.WriteFile(swap, bytes.Repeat([]byte(memory), 4*mib/len(memory)+1)[:4*mib], 0o600); err != nil {
		t.Fatal(err)
	}
	fixture.Run(t, "mkswap", swap)
	fixture.Run(t, "swapon", swap)
	s := c.open(t, nil)
	if got := s.Swap().Bytes(); got != 4*mib-64<<10 {
		t.Errorf("swapped to %d bytes, want 4 MiB without the header's 64 KiB", got)
	}
	image := filepath.Join(t.TempDir(), "image")
	if _, err := save(t, s, image); err != nil {
		t.Fatal(err)
	}
	saved := read(t, image)
	judgeParts(t, s, saved)
	if n := bytes.Count(saved, []byte(memory)); n > 64<<10/len(memory) {
		t.Errorf("the image has what lay in memory %d times", n)
	}
	if !bytes.Contains(saved, []byte("SWAPSPACE2")) {
		t.Error("the image has no header of the swap file")
	}

	off := func(o *live.Options) {
		o.BeforeFreeze = func(context.Context) error {
			fixture.Run(t, "swapoff", swap)
			return nil
		}
	}
	if _, err := save(t, c.open(t, nil, off), image); err == nil || !strings.Contains(err.Error(), "swap was switched off") {
		t.Errorf("swap switched off amid the copy: got %v", err)
	}
}

// TestGuestMappedPart refuses a disk of which another device has a part: who
// writes through that cannot be frozen.
func TestGuestMappedPart(t *testing.T) {
	vmtest.Only(t)
	const disk4, name = "/dev/ubdd", "mapped"
	fixture.Run(t, "dmsetup", "create", name, "--noudevsync", "--table", "0 2048 linear "+disk4+"1 0")
	defer fixture.Run(t, "dmsetup", "remove", "--retry", "--noudevsync", name)
	_, err := live.Open(t.Context(), disk.Host(), disk4, options(t))
	refused(t, err, "carries dm-")
}
