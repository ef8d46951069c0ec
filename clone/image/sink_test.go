package image_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/image"
	"lifeboat/clone/manifest"
	"lifeboat/internal/fixture"
)

func TestRawImageIsTheDiskAndSparse(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "bmaptool")
	d, dir := newDisk(), t.TempDir()
	path := filepath.Join(dir, "card.img")
	d.save(t, path, image.SinkOptions{})
	if got := read(t, path); !bytes.Equal(got, d.bytes) {
		t.Error("the image is not as the disk")
	}
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	if have, want := st.Blocks*512, d.data.Bytes()+1<<20; have > want {
		t.Errorf("got %d bytes on the file system, want at most %d", have, want)
	}
	copied := filepath.Join(dir, "copied.img")
	fixture.Run(t, "bmaptool", "copy", path, copied) // verifies all ranges
	if got := read(t, copied); !bytes.Equal(got, d.bytes) {
		t.Error("bmaptool made another disk of it")
	}
	b, err := image.ParseBmap(bytes.NewReader(read(t, path+".bmap")))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := b.Set(), d.used().Align(4096, diskSize); len(got.Subtract(want)) > 0 || len(want.Subtract(got)) > 0 {
		t.Errorf("got the map %v, want %v", got, want)
	}
}

func TestBmaptoolSeesDamage(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "bmaptool")
	d, dir := newDisk(), t.TempDir()
	path := filepath.Join(dir, "card.img")
	d.save(t, path, image.SinkOptions{})
	b := read(t, path)
	b[15<<20] ^= 1
	write(t, path, b)
	if out, code := fixture.Try(t, "bmaptool", "copy", path, filepath.Join(dir, "copied.img")); code == 0 {
		t.Errorf("bmaptool took a damaged image\n%s", out)
	}
}

func TestPackedImagesAreTheDisk(t *testing.T) {
	t.Parallel()
	d := newDisk()
	for _, c := range []struct{ ext, tool string }{{".img.gz", "gzip"}, {".img.zst", "zstd"}} {
		t.Run(c.ext, func(t *testing.T) {
			t.Parallel()
			fixture.Need(t, c.tool)
			path := filepath.Join(t.TempDir(), "card"+c.ext)
			d.save(t, path, image.SinkOptions{})
			fixture.Run(t, c.tool, "-q", "-t", path)
			if got := fixture.Run(t, c.tool, "-q", "-d", "-c", path); got != string(d.bytes) {
				t.Error("the unpacked image is not as the disk")
			}
			s, err := image.ParseSidecar(bytes.NewReader(read(t, path+".json")))
			if err != nil {
				t.Fatal(err)
			}
			file := read(t, path)
			if want := (image.Sum{Size: int64(len(file)), SHA256: sumOf(file)}); s.File != want {
				t.Errorf("got %+v for the file, want %+v", s.File, want)
			}
			if want := (image.Sum{Size: diskSize, SHA256: sumOf(d.bytes)}); s.Content != want {
				t.Errorf("got %+v for the content, want %+v", s.Content, want)
			}
		})
	}
}

// Imager shows the size from the one frame's head.
func TestPackedZstdSaysItsSize(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "zstd")
	d, path := newDisk(), filepath.Join(t.TempDir(), "card.img.zst")
	d.save(t, path, image.SinkOptions{})
	if got := fixture.Run(t, "zstd", "-l", "-v", path); !strings.Contains(got, "(18874880 B)") || !strings.Contains(got, "Frames: 1\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestPatchesWin(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"card.img", "card.img.zst"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, path := newDisk(), filepath.Join(t.TempDir(), name)
			k, err := image.Spool(path, image.SinkOptions{Sum: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Start(t.Context(), d.head()); err != nil {
				t.Fatal(err)
			}
			for _, r := range d.records() {
				if err := k.Put(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			patch := func(e extent.Extent, b byte) {
				r := extent.Record{Extent: e, Kind: extent.Zero}
				if b != 0 {
					r.Kind, r.Data = extent.Data, bytes.Repeat([]byte{b}, int(e.Len))
				}
				copy(d.bytes[e.Off:e.End()], bytes.Repeat([]byte{b}, int(e.Len)))
				if err := k.Patch(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			patch(extent.Extent{Off: 2 << 20, Len: 8192}, 1)
			patch(extent.Extent{Off: 15<<20 + 512, Len: 10_000}, 0) // what was data
			patch(extent.Extent{Off: 6 << 20, Len: 512}, 3)         // what was not in use
			patch(extent.Extent{Off: diskSize - 512, Len: 512}, 4)  // in the short block
			patch(extent.Extent{Off: 2<<20 + 4096, Len: 512}, 5)    // again
			if err := k.Commit(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			src := open(t, path, image.Options{SHA256: sumOf(d.bytes)})
			got, _, _, err := load(t.Context(), src, all(diskSize), diskSize)
			if err != nil {
				t.Fatal(err)
			}
			d.wantSame(t, got, d.used())
			d.wantSame(t, got, extent.Of(extent.Extent{Off: 6 << 20, Len: 512}))
			if name == "card.img" {
				fixture.Need(t, "bmaptool")
				fixture.Run(t, "bmaptool", "copy", path, path+".copied")
				if !bytes.Equal(read(t, path+".copied"), d.bytes) {
					t.Error("bmaptool made another disk of it")
				}
			}
		})
	}
}

func TestPackedSinkIsNoPatcher(t *testing.T) {
	t.Parallel()
	k, err := image.Create(filepath.Join(t.TempDir(), "card.img.gz"), image.SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := k.(image.Patcher); ok {
		t.Error("a packed image claims to take patches")
	}
	if err := k.Start(t.Context(), newDisk().head()); err != nil {
		t.Fatal(err)
	}
	zero := func(off int64) extent.Record {
		return extent.Record{Extent: extent.Extent{Off: off, Len: 512}, Kind: extent.Zero}
	}
	if err := k.Put(t.Context(), zero(4096)); err != nil {
		t.Fatal(err)
	}
	if err := k.Put(t.Context(), zero(0)); err == nil {
		t.Error("a record before the last: got no error")
	}
	if err := k.Abort(t.Context()); err != nil {
		t.Error(err)
	}
}

// failing are the ways in which a backup may end early.
func TestAbortLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"card.img", "card.img.gz", "card.img.zst", "spool.img.zst"} {
		for _, after := range []int{-1, 0, 3, 1000} {
			d, dir := newDisk(), t.TempDir()
			make := image.Create
			if strings.HasPrefix(name, "spool") {
				make = func(p string, o image.SinkOptions) (image.Sink, error) { return image.Spool(p, o) }
			}
			k, err := make(filepath.Join(dir, name), image.SinkOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if after >= 0 {
				if err := k.Start(t.Context(), d.head()); err != nil {
					t.Fatal(err)
				}
			}
			for i, r := range d.records() {
				if i < after {
					if err := k.Put(t.Context(), r); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := k.Abort(t.Context()); err != nil {
				t.Errorf("%s after %d records: %v", name, after, err)
			}
			wantNothing(t, dir)
		}
	}
}

func wantNothing(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("got %v left behind, %v", left, err)
	}
}

func TestSinkObeysTheContext(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"card.img", "card.img.zst"} {
		d, dir := newDisk(), t.TempDir()
		k, err := image.Create(filepath.Join(dir, name), image.SinkOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := k.Start(ctx, d.head()); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := k.Put(ctx, d.records()[1]); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: put: got %v", name, err)
		}
		if err := k.Commit(ctx, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: commit: got %v", name, err)
		}
		if err := k.Abort(t.Context()); err != nil {
			t.Error(err)
		}
		wantNothing(t, dir)
	}
}

func TestSinkRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"card", "card.xz", "card.img.xz", "card.zip"} {
		if _, err := image.Create(filepath.Join(dir, name), image.SinkOptions{}); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	path := filepath.Join(dir, "card.img")
	write(t, path, []byte("the only backup"))
	if _, err := image.Create(path, image.SinkOptions{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an image that is there: got %v", err)
	}
	if got := read(t, path); string(got) != "the only backup" {
		t.Errorf("got %q", got)
	}
	k, err := image.Create(filepath.Join(dir, "new.img"), image.SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Start(t.Context(), &manifest.Head{}); err == nil {
		t.Error("a disk of no size: got no error")
	}
	huge := newDisk().head()
	huge.Parts = []manifest.Part{{Num: 1, Extent: extent.Extent{Len: 1 << 59}, Used: 1 << 59}}
	if err := k.Start(t.Context(), huge); err == nil || !strings.Contains(err.Error(), "are missing") {
		t.Errorf("more than there is room for: got %v", err)
	}
	if err := k.Start(t.Context(), newDisk().head()); err != nil {
		t.Fatal(err)
	}
	for _, e := range []extent.Extent{{Off: diskSize, Len: 1}, {Off: -1, Len: 1}, {Off: 1, Len: diskSize}} {
		if err := k.Put(t.Context(), extent.Record{Extent: e, Kind: extent.Zero}); err == nil {
			t.Errorf("%v: got no error", e)
		}
	}
	k.Abort(t.Context())
}

func TestOverwriteIsAskedFor(t *testing.T) {
	t.Parallel()
	d, dir := newDisk(), t.TempDir()
	path := filepath.Join(dir, "card.img.gz")
	write(t, path, []byte("old"))
	write(t, path+".json", []byte("old"))
	d.save(t, path, image.SinkOptions{Overwrite: true})
	src := open(t, path, image.Options{})
	if got := src.Head().Parts; len(got) != 1 {
		t.Errorf("got the parts %v", got)
	}
	if names, _ := os.ReadDir(dir); len(names) != 2 {
		t.Errorf("got %v", names)
	}
}
