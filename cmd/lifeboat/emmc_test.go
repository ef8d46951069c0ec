package main

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/clone/disk"
	"lifeboat/clone/filesystem"
	"lifeboat/internal/fixture"
	"lifeboat/internal/progress"
)

const areaBytes = 1 << 20

// An mmcRoom is a machine with eMMCs.
type mmcRoom struct {
	*testing.T
	sys  *disk.Sys
	emmc *fixture.EMMCs
	dir  string
}

func newMMCRoom(t *testing.T) *mmcRoom {
	e := fixture.NewEMMCs(t)
	control := filepath.Join(e.Dev, "loop-control")
	if err := os.Symlink("/dev/loop-control", control); err != nil {
		t.Fatal(err)
	}
	sys := &disk.Sys{Proc: os.DirFS("/proc"), Sys: os.DirFS(e.Sys), Dev: e.Dev, Dir: e.Sys}
	return &mmcRoom{T: t, sys: sys, emmc: e, dir: t.TempDir()}
}

// tool calls the tool, which must end with that code, and returns what it said.
func (b *mmcRoom) tool(code int, args ...string) string {
	b.Helper()
	var out bytes.Buffer
	e := &env{
		stdin: strings.NewReader(""), stdout: &out, stderr: &out, sys: b.sys, random: rand.Reader,
		tools: filesystem.Tools{Run: filesystem.Exec}, have: filesystem.Have,
		client: http.DefaultClient, clock: time.Now, meter: progress.New(time.Now),
	}
	if got := execute(b.Context(), e, args); got != code {
		b.Errorf("lifeboat %s: got %d, want %d: %s", strings.Join(args, " "), got, code, out.String())
	}
	return out.String()
}

// said holds that a text says something.
func (b *mmcRoom) said(text string, wants ...string) {
	b.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			b.Errorf("got %q, want %q in it", text, want)
		}
	}
}

// restore restores with the word of the moment.
func (b *mmcRoom) restore(code int, from, to string, flags ...string) string {
	b.Helper()
	f, err := b.sys.Look(to)
	if err != nil {
		b.Fatal(err)
	}
	return b.tool(code, append([]string{"restore", from, to, "--yes=" + f.Word}, flags...)...)
}

func (b *mmcRoom) area(node string) []byte {
	b.Helper()
	data, err := os.ReadFile(node)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// full is an eMMC with a table, a part, and a boot loader in boot0.
func (b *mmcRoom) full() (node string, loader []byte) {
	b.Helper()
	node = b.emmc.Add(b, 16<<20, areaBytes)
	table := filepath.Join(b.dir, "table")
	if err := os.WriteFile(table, []byte("label: dos\nlabel-id: 0xe77cafe0\nstart=4MiB,size=1MiB,type=83\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	fixture.Need(b, "sfdisk")
	fixture.Run(b, "sh", "-c", `PATH=$PATH:/usr/sbin:/sbin; sfdisk -q --no-reread --no-tell-kernel "$1" <"$2"`, "sh", node, table)
	loader = bytes.Repeat([]byte("a boot loader "), 70_000)
	f, err := os.OpenFile(node+"boot0", os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(loader); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return node, loader
}

// TestEMMC saves an eMMC with its boot areas, and restores both.
func TestEMMC(t *testing.T) {
	t.Parallel()
	b := newMMCRoom(t)
	node, loader := b.full()
	b.said(b.tool(exitDone, "disks"), node+"boot0", "boot area of "+node)
	b.said(b.tool(exitDone, "disks", "--json"), `"areas":[{"name":"boot0","path":"`+node+`boot0","size":1048576}`)
	b.said(b.tool(exitReserved, "inspect", node), "boot area boot0: 1.05 MB, SHA-256", "boot area boot1: 1.05 MB, blank")
	image := filepath.Join(b.dir, "e.img.zst")
	b.said(b.tool(exitDone, "backup", "--dry-run", node, image), "boot area boot0: 1.05 MB, to "+image+".boot0.img")
	b.tool(exitDone, "backup", node, image)
	saved := b.area(image + ".boot0.img")
	if !bytes.HasPrefix(saved, loader) || len(saved) != areaBytes {
		t.Errorf("boot0 was saved as %d bytes", len(saved))
	}
	if _, err := os.Stat(image + ".boot1.img"); err == nil {
		t.Error("a blank area was saved")
	}
	b.tool(exitDone, "convert", image, filepath.Join(b.dir, "raw.img"))
	b.tool(exitDone, "verify", image, node)
	for _, from := range []string{image, filepath.Join(b.dir, "raw.img"), node} {
		to := b.emmc.Add(t, 16<<20, 2*areaBytes)
		b.tool(exitDiffers, "verify", image, to)
		b.said(b.restore(exitReserved, from, to), "boot area")
		if !bytes.Equal(b.area(to + "boot0")[:areaBytes], saved) {
			t.Errorf("boot0 does not hold what was saved in %s", from)
		}
		b.tool(exitDone, "verify", image, to)
	}
	locks, err := filepath.Glob(filepath.Join(b.emmc.Sys, "block/*/force_ro"))
	if err != nil || len(locks) != 8 {
		t.Fatalf("%d locks, %v", len(locks), err)
	}
	for _, lock := range locks {
		if got := strings.TrimSpace(string(b.area(lock))); got != "1" {
			t.Errorf("%s is %s", lock, got)
		}
	}
}

// TestEMMCElsewhere: what becomes of a boot area that has no place, or cannot be
// had, is told.
func TestEMMCElsewhere(t *testing.T) {
	t.Parallel()
	b := newMMCRoom(t)
	node, _ := b.full()
	image := filepath.Join(b.dir, "e.img")
	b.tool(exitDone, "backup", node, image)
	small, none := b.emmc.Add(t, 16<<20, areaBytes/2), b.emmc.Add(t, 16<<20, 0)
	b.said(b.restore(exitReserved, image, small), "boot0 (1.05 MB) is not restored: that of "+small+" has 524 kB only")
	b.said(b.restore(exitReserved, image, none), "boot0 (1.05 MB) is not restored: "+none+" has none")
	b.said(b.restore(exitReserved, image, node, "--parts=1"), "boot0 (1.05 MB) is not written: only some parts are wanted")
	b.said(b.tool(exitRefused, "restore", image, small+"boot0", "--yes=x"), "is a boot area of "+small)
	if data := b.area(small + "boot0"); len(bytes.Trim(data, "\x00")) > 0 {
		t.Error("the area that is too small was written to")
	}

	side := image + ".boot0.img"
	data := b.area(side)
	data[100]++
	if err := os.WriteFile(side, data, 0o600); err != nil {
		t.Fatal(err)
	}
	b.said(b.tool(exitFailed, "verify", image), "e.img.boot0.img: the digest of the file is")
	to := b.emmc.Add(t, 16<<20, areaBytes)
	b.said(b.restore(exitReserved, image, to), "but: the boot area boot0 that belongs to "+image+" cannot be had", "damaged or exchanged")
	b.said(b.tool(exitReserved, "convert", image, filepath.Join(b.dir, "c.img.gz")), "but: the boot area boot0")
	// A new image takes the place of the old one, and of what lay beside it.
	b.tool(exitDone, "backup", "--overwrite", small, image)
	if _, err := os.Stat(side); err == nil {
		t.Error("the boot area of the image that was replaced is still there")
	}
	b.said(b.restore(exitReserved, image, node), "the boot areas of "+node+" stay as they are")
}
