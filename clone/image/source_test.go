package image_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/clone/extent"
	"lifeboat/clone/image"
	"lifeboat/clone/store"
	"lifeboat/internal/fixture"
)

// places are where an image may lie, by the same name.
func places(t *testing.T, dir string) map[string]store.Store {
	t.Helper()
	at := func(h http.Handler) store.Store {
		srv := httptest.NewServer(h)
		t.Cleanup(srv.Close)
		u, err := url.Parse(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		return store.NewHTTP(u, nil)
	}
	files := http.FileServer(http.Dir(dir))
	return map[string]store.Store{
		"folder": store.NewFolder(dir),
		"server": at(files),
		"server without ranges": at(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			files.ServeHTTP(w, r)
		})),
	}
}

func TestSourceReadsWhatSinkWrote(t *testing.T) {
	t.Parallel()
	d, dir := newDisk(), t.TempDir()
	names := []string{"card.img", "card.img.gz", "card.img.zst"}
	for _, name := range names {
		d.save(t, filepath.Join(dir, name), image.SinkOptions{})
	}
	wants := map[string]extent.Set{
		"all": all(diskSize), "used": d.used(),
		"some": extent.Of(extent.Extent{Off: 100, Len: 300}, extent.Extent{Off: 9 << 20, Len: 6 << 20}),
		"none": nil,
	}
	for place, s := range places(t, dir) {
		for _, name := range names {
			t.Run(place+" "+name, func(t *testing.T) {
				t.Parallel()
				src, err := image.Open(t.Context(), s, name, image.Options{UsedOnly: true})
				if err != nil {
					t.Fatal(err)
				}
				defer src.Close()
				if src.Size() != diskSize || len(src.Head().Parts) != 1 {
					t.Errorf("got size %d and head %+v", src.Size(), src.Head())
				}
				_, random := src.(io.ReaderAt)
				if want := name == "card.img" && place != "server without ranges"; random != want {
					t.Errorf("got random access %v, want %v", random, want)
				}
				for wname, want := range wants {
					got, yielded, zeros, err := load(t.Context(), src, want, diskSize)
					if err != nil {
						t.Fatalf("%s: %v", wname, err)
					}
					d.wantSame(t, got, d.used().Intersect(want))
					if extra := yielded.Subtract(want); len(extra) > 0 {
						t.Errorf("%s: got %v, which nobody wants", wname, extra)
					}
					if extra := yielded.Subtract(d.used().Align(64<<10, diskSize)); extra.Bytes() > 1<<20 {
						t.Errorf("%s: got %d bytes that are not in use: %v", wname, extra.Bytes(), extra)
					}
					if miss := d.zero.Intersect(want).Subtract(zeros); len(miss) > 0 {
						t.Errorf("%s: zeros that are in use came as data, or never: %v", wname, miss)
					}
				}
			})
		}
	}
}

// Images of other people have no side files, and other packings.
func TestBareImages(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "xz", "gzip", "zstd", "bzip2", "zip")
	d, dir := newDisk(), t.TempDir()
	const diskSize = 2<<20 + 512 // bzip2 is slow
	d.bytes = d.bytes[:diskSize]
	path := filepath.Join(dir, "card.img")
	write(t, path, d.bytes)
	for _, c := range [][]string{
		{"xz", "-k", "-0", "-T2"}, {"gzip", "-k", "-1"}, {"zstd", "-q", "-k", "-1"}, {"bzip2", "-k", "-1"}, {"zip", "-q", "-j", "-1", path + ".zip"},
	} {
		fixture.Run(t, c[0], append(c[1:], path)...)
	}
	for name, size := range map[string]int64{
		"card.img": diskSize, "card.img.xz": diskSize, "card.img.gz": -1, "card.img.zst": diskSize, "card.img.bz2": -1, "card.img.zip": diskSize,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := read(t, filepath.Join(dir, name))
			for what, sum := range map[string]string{"nothing": "", "content": sumOf(d.bytes), "file": sumOf(file)} {
				src := open(t, filepath.Join(dir, name), image.Options{SHA256: sum})
				if src.Size() != size {
					t.Errorf("got size %d, want %d", src.Size(), size)
				}
				got, yielded, _, err := load(t.Context(), src, all(diskSize), diskSize)
				if err != nil {
					t.Fatalf("digest of %s: %v", what, err)
				}
				if !bytes.Equal(got, d.bytes) || yielded.Bytes() != diskSize {
					t.Errorf("digest of %s: got another disk, %d bytes of it", what, yielded.Bytes())
				}
			}
			src := open(t, filepath.Join(dir, name), image.Options{SHA256: strings.Repeat("ab", 32)})
			_, _, _, err := load(t.Context(), src, all(diskSize), diskSize)
			var digest *image.DigestError
			if !errors.As(err, &digest) || digest.Want != strings.Repeat("ab", 32) {
				t.Errorf("a wrong digest: got %v", err)
			}
		})
	}
}

func TestDamageIsFoundBeforeTheEnd(t *testing.T) {
	t.Parallel()
	d, dir := newDisk(), t.TempDir()
	path := filepath.Join(dir, "card.img")
	d.save(t, path, image.SinkOptions{})
	b := read(t, path)
	b[15<<20] ^= 1
	write(t, path, b)
	var digest *image.DigestError
	// not even if the damaged byte itself is not wanted
	for _, want := range []extent.Set{all(diskSize), extent.Of(extent.Extent{Off: 15<<20 + 8192, Len: 512})} {
		if _, _, _, err := load(t.Context(), open(t, path, image.Options{}), want, diskSize); !errors.As(err, &digest) {
			t.Errorf("with a bmap: got %v", err)
		}
	}
	if err := os.Remove(path + ".bmap"); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := load(t.Context(), open(t, path, image.Options{}), d.used(), diskSize); !errors.As(err, &digest) {
		t.Errorf("with a head: got %v", err)
	}
	untouched := extent.Of(extent.Extent{Off: 1 << 20, Len: 1 << 20})
	if _, _, _, err := load(t.Context(), open(t, path, image.Options{}), untouched, diskSize); err != nil {
		t.Errorf("where it is whole: %v", err)
	}
}

func TestSideFilesThatDoNotFitAreIgnored(t *testing.T) {
	t.Parallel()
	d, dir := newDisk(), t.TempDir()
	path := filepath.Join(dir, "card.img")
	d.save(t, path, image.SinkOptions{})
	longer := append(bytes.Clone(d.bytes), make([]byte, 4096)...)
	for name, spoil := range map[string]func(){
		"another size": func() { write(t, path, longer) },
		"no JSON":      func() { write(t, path+".json", []byte("{")); write(t, path+".bmap", []byte("<bmap")) },
		"a page":       func() { write(t, path+".json", []byte("<html>")); write(t, path+".bmap", []byte("<html></html>")) },
	} {
		spoil()
		var log []string
		src := open(t, path, image.Options{Logf: func(f string, _ ...any) { log = append(log, f) }})
		if _, known := src.Used(); known || len(src.Head().Parts) != 0 || len(log) != 2 {
			t.Errorf("%s: got used %v, %d parts, log %q", name, known, len(src.Head().Parts), log)
		}
		if _, _, _, err := load(t.Context(), src, d.used(), int64(len(longer))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTruncatedImages(t *testing.T) {
	t.Parallel()
	d, dir := newDisk(), t.TempDir()
	for _, name := range []string{"card.img.gz", "card.img.zst"} {
		path := filepath.Join(dir, name)
		d.save(t, path, image.SinkOptions{})
		b := read(t, path)
		write(t, path, b[:len(b)-5])
		_, _, _, err := load(t.Context(), open(t, path, image.Options{}), d.used(), diskSize)
		if err == nil || !strings.Contains(err.Error(), "ends in the middle") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	write(t, filepath.Join(dir, "empty.img"), nil)
	if _, err := image.Open(t.Context(), store.NewFolder(dir), "empty.img", image.Options{}); err == nil {
		t.Error("an empty image: got no error")
	}
}

func TestStreamsAreReadOnce(t *testing.T) {
	t.Parallel()
	d, dir := newDisk(), t.TempDir()
	path := filepath.Join(dir, "card.img.zst")
	d.save(t, path, image.SinkOptions{})
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	src, err := image.FromStream(f, "standard input", image.Options{SHA256: sumOf(d.bytes)})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	got, _, _, err := load(t.Context(), src, all(diskSize), diskSize)
	if err != nil || !bytes.Equal(got, d.bytes) {
		t.Errorf("got another disk and %v", err)
	}
	if _, err := src.Open(t.Context(), d.used()); !errors.Is(err, image.ErrOnce) {
		t.Errorf("again: got %v", err)
	}
}

// A pipe that brings nothing must not hold a pass that is closed.
func TestPassEndsEarly(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	defer w.Close()
	src, err := image.FromStream(r, "pipe", image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p, err := src.Open(ctx, all(diskSize))
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := p.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	p.Close()

	d, dir := newDisk(), t.TempDir()
	for _, name := range []string{"card.img", "card.img.zst"} {
		path := filepath.Join(dir, name)
		d.save(t, path, image.SinkOptions{})
		src := open(t, path, image.Options{})
		for range 3 { // passes are repeatable, also after one that was left
			p, err := src.Open(t.Context(), d.used())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Next(t.Context()); err != nil {
				t.Error(err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if _, err := p.Next(t.Context()); err == nil {
				t.Error("after Close: got no error")
			}
		}
	}
}
