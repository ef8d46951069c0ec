package ext4_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

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
			c := mounted(t, l.args, l.options)
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
	synced map[string][]byte
}

func mounted(t *testing.T, args, options string) *live {
	t.Helper()
	fixture.Root(t)
	fixture.Need(t, "mount", "umount")
	c := &live{t: t, image: mkfs(t, layout{"live", 32 * mib, args, false}, tree(t, false)), dir: t.TempDir(), rnd: rand.New(rand.NewPCG(3, 4)), synced: map[string][]byte{}}
	if out, code := fixture.Try(t, "mount", "-o", "loop,commit=1000,"+options, c.image, c.dir); code != 0 {
		fixture.Missing(t, "loop mounts of ext4: "+out)
	}
	t.Cleanup(func() {
		// The test's context has ended, so that fixture.Run would not start it.
		if err := umount(c.dir); err != nil {
			t.Error(err)
		}
	})
	return c
}

// work changes the file system and syncs what it wrote, but not all.
func (c *live) work(round int) {
	c.t.Helper()
	write := func(name string, n int, sync bool) {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(c.rnd.Uint32())
		}
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
	must(c.t, os.Mkdir(filepath.Join(c.dir, fmt.Sprint("round", round)), 0o755))
	for i := range 150 {
		write(fmt.Sprintf("round%d/%03d", round, i), c.rnd.IntN(20_000), false)
	}
	for i := 0; i < 150; i += 3 {
		must(c.t, os.Remove(filepath.Join(c.dir, fmt.Sprintf("round%d/%03d", round, i))))
	}
	must(c.t, os.RemoveAll(filepath.Join(c.dir, fmt.Sprint("round", round-1))))
	for i := range 3 {
		write(fmt.Sprintf("synced%d-%d", round, i), 1+c.rnd.IntN(200_000), true)
	}
	write("unsynced", 50_000, false)
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
