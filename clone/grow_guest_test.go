package clone_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/filesystem"
	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// grownCards are the cards that a guest grows while they are mounted: what the
// guest calls them, and which of their parts grows.
var grownCards = []struct {
	node, card string
	num        int
}{
	{"/dev/ubda", "pi-mbr-fat-ext4", 2},
	{"/dev/ubdb", "gpt-fat-ext4", 3},
	{"/dev/ubdc", "pi-noobs", 7},
	{"/dev/ubdd", "swap-behind-root", 2},
}

const grownSize = 384 << 20

// TestInGuest runs the tests below where a mounted file system may grow: that
// wants a capability which containers do not have.
func TestInGuest(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "e2fsck", "sfdisk")
	var disks []string
	for _, c := range grownCards {
		path := fixture.Card(t, c.card)
		if err := os.Truncate(path, grownSize); err != nil {
			t.Fatal(err)
		}
		disks = append(disks, path)
	}
	otherTool(t, disks[0])
	vmtest.Run(t, vmtest.Options{Disks: disks, Programs: []string{"e2fsck", "sfdisk"}})
}

// otherTool writes the fields of sector 0 that nobody reads as other programs
// do: parted's CHS, and two bytes behind the disk ID.
func otherTool(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for off, b := range map[int64]string{444: "ZZ", 447: "\x04\x01\x02", 451: "\x03\xe0\xff", 463: "\x05\x06\x07", 467: "\xfe\xff\xff"} {
		if _, err := f.WriteAt([]byte(b), off); err != nil {
			t.Fatal(err)
		}
	}
}

func yes() disk.Consent { return func(context.Context, disk.Facts) error { return nil } }

func planGrown(t *testing.T, node string) (*clone.Growth, disk.Facts) {
	t.Helper()
	sys := disk.Host()
	facts, err := sys.Look(node)
	if err != nil {
		t.Fatal(err)
	}
	src, err := disk.OpenSource(sys, node)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := clone.NewBlocks(src, src.Size(), src.Sector())
	if err != nil {
		t.Fatal(err)
	}
	defer blocks.Close()
	g, err := clone.PlanGrow(blocks.Head(), facts, clone.GrowLast)
	if err != nil {
		t.Fatal(err)
	}
	return g, facts
}

func mountPart(t *testing.T, part string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount(part, dir, "ext4", 0, ""); err != nil {
		t.Fatalf("mount %s: %v", part, err)
	}
	return dir
}

// TestGuestGrowMounted grows each card while its root is mounted and a file in
// it is held open.
func TestGuestGrowMounted(t *testing.T) {
	vmtest.Only(t)
	for _, c := range grownCards[:3] {
		t.Run(c.card, func(t *testing.T) {
			part := fmt.Sprintf("%s%d", c.node, c.num)
			dir := mountPart(t, part)
			before := firstSector(t, c.node)
			was := fixture.Parts(t, c.node)
			held, err := os.Create(filepath.Join(dir, "held"))
			if err != nil {
				t.Fatal(err)
			}
			defer held.Close()
			g, facts := planGrown(t, c.node)
			if err := g.InUse(disk.Host(), facts); err != nil {
				t.Fatal(err)
			}
			run := clone.Runner{Tools: filesystem.Tools{Run: filesystem.Exec}, Logf: t.Logf, Clock: time.Now}
			if err := run.GrowMounted(t.Context(), disk.Host(), g, facts, yes()); err != nil {
				t.Fatal(err)
			}
			fillGrown(t, dir, held)
			if err := fixture.Unmount(dir); err != nil {
				t.Fatal(err)
			}
			fixture.Run(t, "e2fsck", "-fn", part)
			fixture.Run(t, "sfdisk", "--verify", c.node)
			grewAlone(t, was, fixture.Parts(t, c.node), c.num)
			sameButEnds(t, before, firstSector(t, c.node))
			if again, _ := planGrown(t, c.node); len(again.Steps) > 0 {
				t.Errorf("it is to be grown again: %v", again.Steps)
			}
		})
	}
}

// fillGrown writes more than the file system could hold before.
func fillGrown(t *testing.T, dir string, held *os.File) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || int64(st.Blocks)*int64(st.Bsize) < 180<<20 {
		t.Fatalf("statfs: %d blocks of %d, %v", st.Blocks, st.Bsize, err)
	}
	chunk := bytes.Repeat([]byte("grown"), 1<<20/5)
	for range 140 {
		if _, err := held.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(held.Sync(), held.Close()); err != nil {
		t.Fatal(err)
	}
}

func firstSector(t *testing.T, node string) []byte {
	t.Helper()
	b, err := readStart(node)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readStart(node string) ([]byte, error) {
	src, err := disk.OpenSource(disk.Host(), node)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	b := make([]byte, 512)
	_, err = src.ReadAt(b, 0)
	return b, err
}

func grewAlone(t *testing.T, was, is []fixture.Part, num int) {
	t.Helper()
	if len(was) != len(is) {
		t.Fatalf("got %d parts, want %d", len(is), len(was))
	}
	for i := range was {
		w, got := was[i], is[i]
		switch {
		case w.Num == num && got.Off+got.Size < grownSize-2<<20:
			t.Errorf("part %d ends at %d", num, got.Off+got.Size)
		case w.Num == num:
			got.Size = w.Size
		case w.Type == "5":
			got.Size = w.Size // the extended part follows
		}
		if got != w {
			t.Errorf("part %d: got %+v, want %+v", w.Num, got, w)
		}
	}
}

// sameButEnds holds that sector 0 is as it was, but for ends and lengths.
func sameButEnds(t *testing.T, was, is []byte) {
	t.Helper()
	for i := range was {
		at := (i - 446) % 16
		end := i >= 446 && i < 510 && (at >= 5 && at < 8 || at >= 12)
		if was[i] != is[i] && !end {
			t.Errorf("sector 0: byte %d was %#x and is %#x", i, was[i], is[i])
		}
	}
}

// TestGuestGrowMountedRefused: what would move a part of a disk in use is a no.
func TestGuestGrowMountedRefused(t *testing.T) {
	vmtest.Only(t)
	c := grownCards[3]
	dir := mountPart(t, fmt.Sprintf("%s%d", c.node, c.num))
	defer fixture.Unmount(dir)
	g, facts := planGrown(t, c.node)
	var no *clone.Refusal
	if err := g.InUse(disk.Host(), facts); !errors.As(err, &no) {
		t.Errorf("got %v, want a refusal", err)
	}
}
