package ext4_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/ext4"
)

// The forms of the log: how a file system is made, and how debugfs
// opens its journal.
var forms = []struct{ name, args, open string }{
	{"plain", "-t ext3 -b 1024 -J size=4", "jo"},
	{"plain 64bit", "-t ext4 -b 1024 -J size=4 -O ^metadata_csum,64bit", "jo"},
	{"v1 checksums", "-t ext4 -b 1024 -J size=4 -O ^metadata_csum,^64bit", "jo -c -v 1"},
	{"v2", "-t ext4 -b 1024 -J size=4 -O ^64bit,metadata_csum", "jo -c -v 2"},
	{"v2 64bit", "-t ext4 -b 1024 -J size=4 -O 64bit,metadata_csum", "jo -c -v 2"},
	{"v3", "-t ext4 -b 1024 -J size=4 -O ^64bit,metadata_csum", "jo -c -v 3"},
	{"v3 64bit", "-t ext4 -b 1024 -J size=4 -O 64bit,metadata_csum", "jo -c -v 3"},
	{"v3 4k", "-t ext4 -b 4096 -J size=4 -O 64bit,metadata_csum", "jo -c -v 3"},
}

const crashSize = 16 * mib

// A crash is an image whose journal waits, and how it has to look afterwards.
type crash struct {
	path   string
	block  int64
	before []byte // with the log
	after  []byte // what the log makes of it, but for the journal
	wrote  extent.Set
}

// newCrash makes an image, changes a copy of it, and writes the difference into
// the image's journal, in transactions: each block of the change first with
// other content, then as it is to be; tail is written at last, by debugfs.
func newCrash(t *testing.T, args, open, tail string) crash {
	t.Helper()
	src := tree(t, false)
	path := mkfs(t, layout{"crash", crashSize, args, false}, src)
	old, err := os.ReadFile(path)
	must(t, err)
	c := crash{path: path, block: 1024}
	if strings.Contains(args, "4096") {
		c.block = 4096
	}
	changed := filepath.Join(t.TempDir(), "changed")
	writeSparse(t, changed, old)
	debugfs(t, changed, fmt.Sprintf("write %s new\nmkdir newdir\nwrite %s newdir/magic\nrm sizes/5000\n",
		filepath.Join(src, "sizes/400000"), filepath.Join(src, "magic")))
	c.after, err = os.ReadFile(changed)
	must(t, err)

	var numbers []string
	var data []byte
	for off := int64(0); off < int64(len(old)); off += c.block {
		e := extent.Extent{Off: off, Len: c.block}
		if off/c.block*c.block <= 1024 && e.End() > 1024 || bytes.Equal(old[e.Off:e.End()], c.after[e.Off:e.End()]) {
			continue // debugfs writes the superblock itself
		}
		c.wrote = c.wrote.Append(e)
		numbers = append(numbers, fmt.Sprint(off/c.block))
		data = append(data, c.after[e.Off:e.End()]...)
	}
	first, second := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")
	must(t, os.WriteFile(first, bytes.Repeat([]byte{0x5a}, len(data)), 0o600))
	must(t, os.WriteFile(second, data, 0o600))
	list := strings.Join(numbers, ",")
	debugfs(t, path, fmt.Sprintf("%s\njw -b %s %s\njw -b %s %s\n%s\njc\n", open, list, first, list, second, strings.ReplaceAll(tail, "FIRST", first)))
	c.before, err = os.ReadFile(path)
	must(t, err)
	return c
}

// TestReplay reads each form of the log and holds what comes out against what
// went in, and against e2fsck.
func TestReplay(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			c := newCrash(t, form.args, form.open, "")
			f, err := ext4.Open(bytes.NewReader(c.before), int64(len(c.before)))
			must(t, err)
			if !f.Super().Dirty {
				t.Fatal("got a clean file system, want a dirty one")
			}
			c.compare(t, f)
			for _, name := range []string{"new", "newdir/magic"} {
				want := map[string]string{"new": "again", "newdir/magic": "magic"}[name]
				got, err := fs.ReadFile(f.Files(), name)
				must(t, err)
				b, err := fs.ReadFile(f.Files(), want)
				must(t, err)
				if !bytes.Equal(got, b) {
					t.Errorf("%s differs from %s", name, want)
				}
			}
			if _, err := fs.Stat(f.Files(), "sizes/5000"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("sizes/5000: got %v, want %v", err, fs.ErrNotExist)
			}
			c.copyAndCheck(t, f)
		})
	}
}

// compare holds the blocks as they are read through the log against what they
// should be.
func (c crash) compare(t *testing.T, f *ext4.FS) {
	t.Helper()
	for _, e := range c.wrote {
		got := make([]byte, e.Len)
		_, err := ext4.Replayed(f).ReadAt(got, e.Off)
		must(t, err)
		if !bytes.Equal(got, c.after[e.Off:e.End()]) {
			t.Errorf("%v differs behind the log", e)
		}
		// A piece that is not aligned, over the border of two blocks.
		got = make([]byte, 700)
		off := min(e.Off+2, int64(len(c.after))-700)
		_, err = ext4.Replayed(f).ReadAt(got, off)
		must(t, err)
		if n := min(700, e.End()-off); !bytes.Equal(got[:n], c.after[off:off+n]) {
			t.Errorf("700 bytes at %d differ behind the log", off)
		}
	}
}

// copyAndCheck copies only the used bytes, lets e2fsck replay the copy, and
// holds it and the map against each other.
func (c crash) copyAndCheck(t *testing.T, f *ext4.FS) {
	t.Helper()
	used, err := f.Used()
	must(t, err)
	if v := f.Void(); len(v) > 0 {
		t.Errorf("void in a journal that waits for its replay: %v", v)
	}
	bad := bytes.Repeat([]byte{0xa5}, len(c.before))
	for _, e := range used {
		copy(bad[e.Off:e.End()], c.before[e.Off:e.End()])
	}
	must(t, os.WriteFile(c.path, bad, 0o600))
	if code := e2fsck(t, c.path, "-fy"); code > 1 {
		t.Errorf("e2fsck -fy of the copy: got code %d", code)
	}
	if code := e2fsck(t, c.path, "-fn"); code != 0 {
		t.Errorf("e2fsck -fn of the copy: got code %d, want 0", code)
	}
	g, img := open(t, c.path)
	s := g.Super()
	want := dumpe2fsUsed(t, c.path, s.Block, s.Size, s.Block)
	if missing := want.Subtract(used); len(missing) > 0 {
		t.Errorf("missing %d bytes: %v", missing.Bytes(), missing)
	}
	// Too much are the blocks that the log frees.
	if extra := used.Subtract(want); extra.Bytes() > 64*s.Block {
		t.Errorf("extra %d bytes: %v", extra.Bytes(), extra)
	}
	same := 0
	for _, e := range c.wrote {
		if bytes.Equal(img[e.Off:e.End()], c.after[e.Off:e.End()]) {
			same++
		}
	}
	if same < len(c.wrote)*3/4 { // e2fsck sets times and counts
		t.Errorf("only %d of %d pieces are as e2fsck made them", same, len(c.wrote))
	}
}

// TestRevoke wants that a revoked block is not written from older transactions,
// but is from newer ones.
func TestRevoke(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			// Blocks near the end are free; what the log says of them is all there is.
			n := int64(crashSize/1024 - 200)
			if strings.Contains(form.args, "4096") {
				n = crashSize/4096 - 200
			}
			c := newCrash(t, form.args, form.open, fmt.Sprintf("jw -b %d,%d FIRST\njw -r %d\njw -b %d FIRST\njw -r %d\njw -b %d FIRST", n, n+1, n, n+2, n+3, n+3))
			f, err := ext4.Open(bytes.NewReader(c.before), int64(len(c.before)))
			must(t, err)
			if form.name == "v1 checksums" {
				// debugfs 1.47.0 sums the revoke blocks too. Neither jbd2 nor e2fsck
				// does: "Journal transaction 2 was corrupt, replay was aborted".
				var doubt *ext4.UnsureError
				if _, err := f.Used(); !errors.As(err, &doubt) {
					t.Errorf("got %v, want a doubt", err)
				}
				return
			}
			for block, want := range map[int64]byte{n: c.before[n*c.block], n + 1: 0x5a, n + 2: 0x5a, n + 3: 0x5a} {
				got := make([]byte, 1)
				_, err := ext4.Replayed(f).ReadAt(got, block*c.block)
				must(t, err)
				if got[0] != want {
					t.Errorf("block %d: got %#x, want %#x", block, got[0], want)
				}
			}
			c.compare(t, f)
		})
	}
}

// TestTorn wants that a transaction without its commit is as if it never was.
func TestTorn(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			c := newCrash(t, form.args, form.open, "jw -c -b 2-9,3900 FIRST")
			f, err := ext4.Open(bytes.NewReader(c.before), int64(len(c.before)))
			must(t, err)
			c.compare(t, f)
			c.copyAndCheck(t, f)
		})
	}
}

// TestSpoiledJournal turns bits in the log: what has checksums must notice.
func TestSpoiledJournal(t *testing.T) {
	t.Parallel()
	c := newCrash(t, "-t ext4 -b 1024 -J size=4 -O 64bit,metadata_csum", "jo -c -v 3", "")
	place := bytes.Index(c.before, append([]byte{0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 1}, 0, 0, 0))
	if place < 0 {
		t.Fatal("the image has no descriptor block")
	}
	commit := bytes.Index(c.before[place:], []byte{0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 2}) + place
	for name, spoil := range map[string]func(b []byte){
		"descriptor": func(b []byte) { b[place+900] ^= 1 },
		"data":       func(b []byte) { copy(b[lastData(b, c):], []byte{1, 2, 3, 4, 5}) },
		"commit":     func(b []byte) { b[commit+500] ^= 1 },
	} {
		b := bytes.Clone(c.before)
		spoil(b)
		f, err := ext4.Open(bytes.NewReader(b), int64(len(b)))
		must(t, err)
		used, err := f.Used()
		var doubt *ext4.UnsureError
		if !errors.As(err, &doubt) || !strings.Contains(doubt.Why, "checksum") || !strings.Contains(doubt.Why, "journal") {
			t.Errorf("%s: got %d bytes, error %v, want a wrong checksum in the journal", name, used.Bytes(), err)
		}
		if _, err := fs.Stat(f.Files(), "."); !errors.As(err, &doubt) {
			t.Errorf("%s: files: got %v, want a doubt", name, err)
		}
		if got := f.Super().Label; got != "rootfs" {
			t.Errorf("%s: got label %q, want rootfs", name, got)
		}
	}
}

// lastData is the place of the log's last copy of a block, before the last
// commit.
func lastData(b []byte, c crash) int64 {
	commit := bytes.LastIndex(b, []byte{0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 2})
	return int64(commit) - c.block + 100
}
