package ext4_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/ext4"
	"lifeboat/internal/fixture"
)

// TestCrash takes images of file systems that a kernel has mounted, as a power
// loss would leave them. What was synced must be there, in our eyes and in
// those of e2fsck after a copy of the used bytes alone.
func TestCrash(t *testing.T) {
	for _, l := range []struct{ name, args, options string }{
		{"ext4", "-t ext4 -b 4096 -g 2048 -J size=4", ""},
		{"ext4 1k", "-t ext4 -b 1024 -J size=2", ""},
		{"raspios", "-t ext4 -b 4096 -g 2048 -J size=4 -O ^64bit,^metadata_csum", ""},
		{"ext3", "-t ext3 -b 1024 -J size=2", ""},
		{"journal_checksum", "-t ext4 -b 1024 -J size=4 -O ^metadata_csum", "journal_checksum"},
		{"async commit", "-t ext4 -b 4096 -J size=4 -O ^metadata_csum", "journal_async_commit,data=writeback"},
		{"data journal", "-t ext4 -b 1024 -J size=8", "data=journal"},
		{"orphan_file", "-t ext4 -b 4096 -g 2048 -J size=4 -O orphan_file,metadata_csum_seed", ""},
		{"bigalloc", "-t ext4 -b 1024 -C 8192 -J size=4 -O bigalloc", ""},
	} {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			c := mounted(t, l.args, "commit=1000,"+l.options)
			for round := range 3 {
				c.work(round)
				c.snapshot(round)
			}
		})
	}
}

// A live is a file system that is mounted, and what was synced in it.
type live struct {
	t      *testing.T
	image  string
	dir    string
	rnd    *rand.Rand
	bytes  *rand.ChaCha8
	synced map[string][]byte
}

func mounted(t *testing.T, args, options string) *live {
	t.Helper()
	fixture.Root(t)
	fixture.Need(t, "mount", "umount")
	c := &live{t: t, image: mkfs(t, layout{"live", 20 * mib, args, false}, tree(t, false)), dir: t.TempDir(), rnd: rand.New(rand.NewPCG(3, 4)), bytes: rand.NewChaCha8([32]byte{2}), synced: map[string][]byte{}}
	if out, code := fixture.Try(t, "mount", "-o", "loop,"+options, c.image, c.dir); code != 0 {
		fixture.Missing(t, "loop mounts of ext4: "+out)
	}
	t.Cleanup(func() {
		// The test's context has ended: fixture.Run would start nothing.
		if err := fixture.Unmount(c.dir); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestKernel lets the kernel write what mke2fs does not: folders with an index,
// preallocated and scattered files, all levels of block maps. What it then
// reads must be what we read.
func TestKernel(t *testing.T) {
	for _, l := range []struct{ name, args string }{
		{"ext2", "-t ext2 -b 1024"}, {"ext4", "-t ext4 -b 1024"}, {"4k", "-t ext4 -b 4096 -O ^64bit"}, {"bigalloc", "-t ext4 -b 1024 -C 8192 -O bigalloc"},
	} {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			c := mounted(t, l.args, "")
			must(t, os.RemoveAll(filepath.Join(c.dir, "lost+found")))
			for i := range 1200 {
				c.write(fmt.Sprintf("many/a name that is rather long, so that there are levels %d", i), 10, false)
			}
			c.scattered("scattered", 400, 3*1024)
			c.scattered("far", 5, 17*mib) // the third level of block pointers begins at 64 MiB
			if l.name != "ext2" {
				fixture.Run(t, "fallocate", "-l", "300000", filepath.Join(c.dir, "preallocated"))
				f, err := os.OpenFile(filepath.Join(c.dir, "preallocated"), os.O_WRONLY, 0)
				must(t, err)
				_, err = f.WriteAt([]byte("in the middle"), 150_000)
				must(t, err)
				must(t, f.Close())
			}
			must(t, os.Lchown(filepath.Join(c.dir, "link"), 70_000, 80_000))
			must(t, fixture.Unmount(c.dir))
			fixture.Run(t, "mount", "-o", "loop,ro", c.image, c.dir)
			f, _ := open(t, c.image)
			compareTree(t, f.Files(), c.dir)
			s := f.Super()
			used, err := f.Used()
			must(t, err)
			cluster := s.Block
			if l.name == "bigalloc" {
				cluster = 8192
			}
			if want := dumpe2fsUsed(t, c.image, s.Block, s.Size, cluster); fmt.Sprint(used) != fmt.Sprint(want) {
				t.Errorf("missing %v, extra %v", want.Subtract(used), used.Subtract(want))
			}
		})
	}
}

// TestFrozen wants the exact map of a file system that a kernel has mounted and
// frozen: its journal is empty then.
func TestFrozen(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "fsfreeze")
	c := mounted(t, "-t ext4 -b 1024", "")
	must(t, os.RemoveAll(filepath.Join(c.dir, "lost+found")))
	c.work(0)
	fixture.Run(t, "fsfreeze", "-f", c.dir)
	img, err := os.ReadFile(c.image)
	fixture.Run(t, "fsfreeze", "-u", c.dir)
	must(t, err)
	path := filepath.Join(t.TempDir(), "frozen")
	writeSparse(t, path, img)
	f, _ := open(t, path)
	used, err := f.Used()
	must(t, err)
	s := f.Super()
	if want := dumpe2fsUsed(t, path, s.Block, s.Size, s.Block); s.Dirty || fmt.Sprint(used) != fmt.Sprint(want) {
		t.Errorf("dirty %v, missing %v, extra %v", s.Dirty, want.Subtract(used), used.Subtract(want))
	}
	compareTree(t, f.Files(), c.dir)
	if v := f.Void(); len(v) == 0 || zeros(img, v) {
		t.Errorf("premise: a journal that holds nothing, and is not zeros; got %v", v)
	}
	poison(t, img, used.Subtract(f.Void()), path)
}

func zeros(img []byte, set extent.Set) bool {
	for _, e := range set {
		if !extent.IsZero(img[e.Off:e.End()]) {
			return false
		}
	}
	return true
}

// scattered writes n small pieces of a file, a stride apart.
func (c *live) scattered(name string, n, stride int64) {
	c.t.Helper()
	f, err := os.Create(filepath.Join(c.dir, name))
	must(c.t, err)
	for i := range n {
		_, err := f.WriteAt(fmt.Appendf(nil, "piece %d of %s", i, name), i*stride)
		must(c.t, err)
		if i%50 == 0 {
			must(c.t, f.Sync())
		}
	}
	must(c.t, f.Close())
}

// work changes the file system and syncs what it wrote, but not all.
func (c *live) work(round int) {
	c.t.Helper()
	must(c.t, os.Mkdir(filepath.Join(c.dir, fmt.Sprint("round", round)), 0o755))
	for i := range 150 {
		c.write(fmt.Sprintf("round%d/%03d", round, i), c.rnd.IntN(20_000), false)
	}
	for i := 0; i < 150; i += 3 {
		must(c.t, os.Remove(filepath.Join(c.dir, fmt.Sprintf("round%d/%03d", round, i))))
	}
	must(c.t, os.RemoveAll(filepath.Join(c.dir, fmt.Sprint("round", round-1))))
	for i := range 3 {
		c.write(fmt.Sprintf("synced%d-%d", round, i), 1+c.rnd.IntN(200_000), true)
	}
	c.write("unsynced", 50_000, false)
}

// write makes a file of n bytes.
func (c *live) write(name string, n int, sync bool) {
	c.t.Helper()
	data := make([]byte, n)
	_, _ = c.bytes.Read(data)
	if n > 4 && c.rnd.IntN(3) == 0 {
		copy(data, []byte{0xc0, 0x3b, 0x39, 0x98})
	}
	f, err := os.Create(filepath.Join(c.dir, name))
	must(c.t, err)
	_, err = f.Write(data)
	must(c.t, err)
	if sync {
		must(c.t, f.Sync())
		c.synced[name] = data
	}
	must(c.t, f.Close())
}

// snapshot copies the device, and judges the copy.
func (c *live) snapshot(round int) {
	t := c.t
	t.Helper()
	img, err := os.ReadFile(c.image)
	must(t, err)
	f, err := ext4.Open(bytes.NewReader(img), int64(len(img)))
	must(t, err)
	if !f.Super().Dirty {
		t.Fatal("got a clean file system, want a dirty one")
	}
	used, err := f.Used()
	must(t, err)
	for name, want := range c.synced {
		if got, err := fs.ReadFile(f.Files(), name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("round %d: %s differs from what was synced, error %v", round, name, err)
		}
	}
	bad := bytes.Repeat([]byte{0xa5}, len(img))
	for _, e := range used {
		copy(bad[e.Off:e.End()], img[e.Off:e.End()])
	}
	path := filepath.Join(t.TempDir(), "copy")
	must(t, os.WriteFile(path, bad, 0o600))
	if code := e2fsck(t, path, "-fy"); code > 1 {
		t.Errorf("round %d: e2fsck -fy of the copy: got code %d", round, code)
	}
	if code := e2fsck(t, path, "-fn"); code != 0 {
		t.Errorf("round %d: e2fsck -fn of the copy: got code %d, want 0", round, code)
	}
	g, _ := open(t, path)
	s := g.Super()
	cluster := s.Block
	if filepath.Base(t.Name()) == "bigalloc" {
		cluster = 8192
	}
	want := dumpe2fsUsed(t, path, s.Block, s.Size, cluster)
	if missing := want.Subtract(used); len(missing) > 0 {
		t.Errorf("round %d: missing %d bytes: %v", round, missing.Bytes(), missing)
	}
	for name, want := range c.synced {
		if got, err := fs.ReadFile(g.Files(), name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("round %d: %s of the copy differs from what was synced, error %v", round, name, err)
		}
	}
	t.Logf("round %d: %d bytes used, %d more than after the replay", round, used.Bytes(), used.Subtract(want).Bytes())
}
