package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem"
	"lifeboat/internal/fixture"
	"lifeboat/internal/progress"
)

// A damage is what became of an image on its way.
type damage struct {
	what string
	do   func(b []byte) []byte
}

func cut(at func(n int) int) damage {
	return damage{"cut", func(b []byte) []byte { return b[:at(len(b))] }}
}

func flipBit(at func(n int) int) damage {
	return damage{"flip", func(b []byte) []byte {
		b = bytes.Clone(b)
		b[at(len(b))] ^= 1
		return b
	}}
}

// damages cuts an image at n places and flips a bit at n places, its ends among
// them.
func damages(n int) []damage {
	all := []damage{cut(func(n int) int { return n - 1 }), cut(func(n int) int { return n - 512 }), flipBit(func(n int) int { return n - 5 })}
	for i := range n {
		part := func(size int) int { return (size-1)*i/n + 1 }
		all = append(all, cut(part), flipBit(part))
	}
	return all
}

// TestDamagedImages restores images of every kind that were cut off, or of which
// a bit has turned. Never may a restore end well with wrong bytes, and its exit
// code must tell the truth: 1 and 3 of an untouched target.
func TestDamagedImages(t *testing.T) {
	t.Parallel()
	damagedImages(t, 1)
}

func TestLongDamagedImages(t *testing.T) {
	fixture.Long(t)
	damagedImages(t, 40)
}

func damagedImages(t *testing.T, n int) {
	t.Helper()
	fixture.Need(t, "mkfs.vfat", "mcopy", "sfdisk", "gzip", "xz", "zstd", "bzip2", "zip", "bmaptool", "fsck.vfat")
	w := newDamaged(t)
	for name, pack := range map[string]string{
		".img.gz": "gzip -c card.img", ".img.xz": "xz -0 -c card.img", ".img.zst": "zstd -q -c card.img",
		".img.bz2": "bzip2 -c card.img", ".zip": "zip -q - card.img", ".img": "cat card.img",
	} {
		t.Run(name, func(t *testing.T) {
			packed := w.sh(t, pack)
			bmap := []byte(nil)
			if name == ".img" {
				// What a bmap leaves out is not written, and which holes a file has
				// is its file system's affair: this one has none.
				bmap = w.sh(t, "cp --sparse=never card.img full.img && sync full.img && bmaptool create full.img")
			}
			codes := map[int]int{}
			for _, d := range damages(n) {
				codes[w.restored(t, d.what, name, d.do(packed), bmap)]++
			}
			if bmap != nil {
				for _, d := range damages(n) { // of the bmap: it is ignored, or speaks of another image
					codes[w.restored(t, "bmap: "+d.what, name, packed, d.do(bmap))]++
				}
			}
			if code := w.restored(t, "whole", name, packed, bmap); code != exitDone {
				t.Errorf("the whole image: exit code %d", code)
			}
			t.Logf("exit codes: %v", codes)
		})
	}
}

// A damagedCard is a small card, and what restores of it are held against.
type damagedCard struct {
	dir  string
	card *clone.Blocks
	data []byte
}

func newDamaged(t *testing.T) *damagedCard {
	t.Helper()
	dir := t.TempDir()
	w := &damagedCard{dir: dir}
	noise := make([]byte, 400<<10)
	mathrand.NewChaCha8([32]byte{5}).Read(noise)
	if err := os.WriteFile(filepath.Join(dir, "noise"), append(noise, bytes.Repeat([]byte("text "), 100<<10)...), 0o600); err != nil {
		t.Fatal(err)
	}
	w.sh(t, `truncate -s 8M card.img && echo 'label: dos
label-id: 0xbadcafe1
start=1MiB, size=6MiB, type=c' | sfdisk -q card.img && mkfs.vfat --invariant --offset=2048 card.img 6144 && mcopy -i card.img@@1M noise ::noise`)
	var err error
	if w.data, err = os.ReadFile(filepath.Join(dir, "card.img")); err != nil {
		t.Fatal(err)
	}
	if w.card, err = clone.NewBlocks(bytes.NewReader(w.data), int64(len(w.data)), 512); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *damagedCard) sh(t *testing.T, line string) []byte {
	t.Helper()
	return []byte(fixture.Run(t, "sh", "-c", "cd "+w.dir+" && PATH=$PATH:/usr/sbin:/sbin && "+line))
}

// restored restores an image to a disk of noise, and judges exit code and disk.
func (w *damagedCard) restored(t *testing.T, what, ext string, img, bmap []byte) int {
	t.Helper()
	dir := t.TempDir()
	from, to := filepath.Join(dir, "x"+ext), filepath.Join(dir, "to.img")
	was := bytes.Repeat([]byte{0xa5}, len(w.data))
	files := map[string][]byte{from: img, to: was}
	if bmap != nil {
		files[from+".bmap"] = bmap
	}
	for name, b := range files {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, code := tried(t, nil, "restore", from, to)
	is, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	switch code {
	case exitDone, exitReserved:
		c, err := clone.Compare(t.Context(), w.card, w.card.Head(), bytes.NewReader(is), nil)
		if differs := err != nil || len(c.Differing) > 0; differs && !(ext == ".img" && bmap == nil) {
			t.Errorf("%s of %d bytes: exit code %d, and the target differs: %+v, %v\n%s", what, len(img), code, c, err, out)
		}
	case exitFailed, exitRefused:
		if !bytes.Equal(is, was) {
			t.Errorf("%s of %d bytes: exit code %d, and the target was written to:\n%s", what, len(img), code, out)
		}
		fallthrough
	case exitTouched:
		if !strings.Contains(out, "lifeboat: ") {
			t.Errorf("%s: exit code %d without a sentence:\n%s", what, code, out)
		}
	default:
		t.Errorf("%s: exit code %d:\n%s", what, code, out)
	}
	return code
}

// tried is the tool as an ordinary caller meets it: what it says, and its exit
// code. It must end within minutes.
func tried(t *testing.T, stdin io.Reader, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	var out bytes.Buffer
	e := &env{
		stdin: stdin, stdout: &out, stderr: &out, sys: disk.Host(), pipe: startPipe,
		tools: filesystem.Tools{Run: filesystem.Exec}, have: filesystem.Have,
		client: http.DefaultClient, clock: time.Now, random: mathrand.NewChaCha8([32]byte{}), meter: progress.New(time.Now),
	}
	defer e.close()
	code := execute(ctx, e, args)
	return out.String(), code
}

// TestLyingImages restores images whose words about themselves are wrong, and
// files that are no images.
func TestLyingImages(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mkfs.vfat", "mcopy", "sfdisk", "gzip", "bmaptool")
	w := newDamaged(t)
	packed, bmap := w.sh(t, "gzip -c card.img"), w.sh(t, "bmaptool create card.img")
	lying := bytes.Clone(packed)
	binary.LittleEndian.PutUint32(lying[len(lying)-4:], uint32(len(w.data)-512))
	video := make([]byte, 1<<20)
	mathrand.NewChaCha8([32]byte{6}).Read(video)
	copy(video, "\x00\x00\x00\x20ftypisom")
	page := []byte("<!DOCTYPE html>\n<html><body>Please sign in.</body></html>\n")
	whole := append(bytes.Clone(page), bytes.Repeat([]byte(" "), 4096-len(page))...)
	for name, c := range map[string]struct {
		ext       string
		img, bmap []byte
		codes     []int
	}{
		"gzip says another size":    {".img.gz", lying, nil, []int{exitTouched, exitFailed}},
		"gzip with a page behind":   {".img.gz", append(bytes.Clone(packed), page...), nil, []int{exitTouched, exitFailed}},
		"bmap says another size":    {".img", w.data, bytes.Replace(bmap, []byte("8388608"), []byte("8388096"), 1), []int{exitDone}},
		"bmap of another image":     {".img", flipBit(func(int) int { return 1<<20 + 3 }).do(w.data), bmap, []int{exitTouched, exitFailed}},
		"a web page":                {".img", page, nil, []int{exitRefused}},
		"a web page of 4096 bytes":  {".img", whole, nil, []int{exitRefused}},
		"a web page, called .zst":   {".img.zst", page, nil, []int{exitRefused, exitFailed}},
		"a video":                   {".img", video, nil, []int{exitRefused}},
		"a web page in the archive": {".img.gz", gz(t, whole), nil, []int{exitRefused, exitFailed}},
		"a video in the archive":    {".img.gz", gz(t, video), nil, []int{exitRefused, exitFailed}},
	} {
		code := w.restored(t, name, c.ext, c.img, c.bmap)
		ok := false
		for _, want := range c.codes {
			ok = ok || code == want
		}
		if !ok {
			t.Errorf("%s: exit code: got %d, want one of %v", name, code, c.codes)
		}
	}
	for name, b := range map[string][]byte{"page": whole, "video": video} {
		to := filepath.Join(t.TempDir(), "to.img")
		out, code := tried(t, bytes.NewReader(b), "restore", "-", to)
		if _, err := os.Stat(to); code != exitRefused && code != exitFailed || err == nil {
			t.Errorf("%s from a pipe: exit code %d, and a target: %v\n%s", name, code, err == nil, out)
		}
	}
}

func gz(t *testing.T, b []byte) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return []byte(fixture.Run(t, "gzip", "-c", path))
}

// TestBombs gives the tool images that unpack to very much: reading ends with a
// sentence, and with little memory, long before that is unpacked.
func TestBombs(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "xz", "zstd", "bzip2", "zip")
	dir := t.TempDir()
	for ext, pack := range map[string]string{".img.zst": "zstd -q -c", ".img.xz": "xz -0 -c", ".img.bz2": "bzip2 -c", ".zip": "zip -q - -"} {
		path := filepath.Join(dir, "bomb"+ext)
		fixture.Run(t, "sh", "-c", fmt.Sprintf("head -c 256M /dev/zero | %s > %s", pack, path))
		to := filepath.Join(dir, "to"+ext+".img")
		if err := os.WriteFile(to, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		out, code := tried(t, nil, "restore", path, to)
		if code != exitRefused && code != exitFailed {
			t.Errorf("%s: exit code %d:\n%s", ext, code, out)
		}
		if b, err := os.ReadFile(to); err != nil || !extent.IsZero(b) {
			t.Errorf("%s: the target was written to", ext)
		}
	}
}
