package image_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/image"
	"lifeboat/clone/manifest"
	"lifeboat/clone/store"
)

// diskSize is no multiple of a block, and more than one range of a bmap.
const diskSize = 18<<20 + 512

// A testDisk is a disk with data, used zeros and bytes that nobody uses.
type testDisk struct {
	bytes []byte
	data  extent.Set
	zero  extent.Set // in use
}

func newDisk() *testDisk {
	d := &testDisk{
		bytes: make([]byte, diskSize),
		data: extent.Of(
			extent.Extent{Off: 0, Len: 512},               // a table
			extent.Extent{Off: 1 << 20, Len: 3<<20 + 100}, // ends within a block
			extent.Extent{Off: 4<<20 + 1024, Len: 512},    // in the same block
			extent.Extent{Off: 14 << 20, Len: 3 << 20},    // across 16 MiB
			extent.Extent{Off: diskSize - 33*512, Len: 33 * 512},
		),
		zero: extent.Of(extent.Extent{Off: 8 << 20, Len: 2 << 20}),
	}
	rnd := rand.NewChaCha8([32]byte{7})
	for _, e := range d.data {
		rnd.Read(d.bytes[e.Off:e.End()])
	}
	return d
}

func (d *testDisk) used() extent.Set { return d.data.Union(d.zero) }

func (d *testDisk) head() *manifest.Head {
	return &manifest.Head{Version: manifest.Version, Size: int64(len(d.bytes)), Sector: 512, Parts: []manifest.Part{
		{Num: 1, Extent: extent.Extent{Off: 1 << 20, Len: 16 << 20}, FS: manifest.FS{Type: "ext4"}, Used: -1, Min: -1},
	}}
}

// records cuts the disk into what an engine would hand to a sink.
func (d *testDisk) records() []extent.Record {
	var rs []extent.Record
	for _, e := range d.used() {
		for e.Len > 0 {
			r := extent.Record{Extent: extent.Extent{Off: e.Off, Len: min(e.Len, 700_000)}, Kind: extent.Zero}
			if len(d.zero.Clip(r.Extent)) == 0 {
				r.Kind, r.Data = extent.Data, d.bytes[r.Off:r.End()]
			}
			rs = append(rs, r)
			e = extent.Extent{Off: r.End(), Len: e.Len - r.Len}
		}
	}
	return rs
}

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// save writes the disk as an image.
func (d *testDisk) save(t testing.TB, path string, o image.SinkOptions) {
	t.Helper()
	k, err := image.Create(path, o)
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
	if err := k.Commit(t.Context(), &manifest.Tail{Used: d.used()}); err != nil {
		t.Fatal(err)
	}
}

// load runs a pass over want and lays what it yields over poison.
func load(ctx context.Context, src image.Source, want extent.Set, size int64) (got []byte, yielded, zeros extent.Set, err error) {
	got = bytes.Repeat([]byte{0xA5}, int(size))
	p, err := src.Open(ctx, want)
	if err != nil {
		return nil, nil, nil, err
	}
	defer p.Close()
	for {
		r, err := p.Next(ctx)
		if err == io.EOF {
			return got, yielded, zeros, nil
		}
		if err != nil {
			return nil, yielded, zeros, err
		}
		yielded = yielded.Append(r.Extent)
		if r.Kind == extent.Zero {
			zeros = zeros.Append(r.Extent)
			clear(got[r.Off:r.End()])
			continue
		}
		if int64(len(r.Data)) != r.Len || r.Len > extent.BufferSize {
			return nil, nil, nil, errors.New("a record has another length than its data")
		}
		copy(got[r.Off:], r.Data)
	}
}

// wantSame compares what a pass yielded of want with the disk.
func (d *testDisk) wantSame(t testing.TB, got []byte, want extent.Set) {
	t.Helper()
	for _, e := range want {
		if !bytes.Equal(got[e.Off:e.End()], d.bytes[e.Off:e.End()]) {
			t.Errorf("bytes %v are not as on the disk", e)
		}
	}
}

func all(size int64) extent.Set { return extent.Of(extent.Extent{Off: 0, Len: size}) }

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t testing.TB, path string, o image.Options) image.Source {
	t.Helper()
	src, err := image.Open(t.Context(), store.NewFolder(filepath.Dir(path)), filepath.Base(path), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}
