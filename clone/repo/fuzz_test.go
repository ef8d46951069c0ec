package repo_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"lifeboat/clone/repo"
	"lifeboat/clone/store"
)

// FuzzIndex: what it takes it gives back.
func FuzzIndex(f *testing.F) {
	b := make([]byte, 0)
	for _, v := range []uint64{48, 0x96824d9c7b129ff9, 0xa000000000000000, chunk, chunk, chunk, 1<<64 - 1, 0xe75b9e112f17417d, 1000} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = append(b, make([]byte, 32)...)
	for _, v := range []uint64{0, 0, 48, 96, 0x4b4f050e5549ecd1} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	if _, err := repo.DecodeIndex(b); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := repo.DecodeIndex(b)
		if err != nil {
			return
		}
		again, err := repo.DecodeIndex(x.Encode())
		if err != nil || len(again.IDs()) != len(x.IDs()) || !bytes.Equal(again.Encode(), x.Encode()) {
			t.Errorf("encoded and decoded: %v", err)
		}
	})
}

// FuzzJSON meets the small files: none panics, and none passes that names what
// lies elsewhere.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"version":1,"id":"0123456789abcdef","chunk":1048576,"grace_seconds":86400}`))
	f.Add([]byte(`{"version":1,"base":"0123456789abcdef/20261124T021500Z-5f0c9a1e","chunks":"AAAA"}`))
	f.Add([]byte(`{"version":1,"files":["snapshots/0123456789abcdef/20261124T021500Z-5f0c9a1e.caibx"]}`))
	f.Add([]byte(`{"version":1,"repository":"0123456789abcdef","pair":{"file":"0123456789abcdef/20261124T021500Z-5f0c9a1e","size":1,"boots":true}}`))
	f.Add([]byte(`["0123456789abcdef/20261124T021500Z-5f0c9a1e"]`))
	r := fresh(f, store.NewFolder(f.TempDir()), repo.InitOptions{}, repo.Options{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if names, ok := repo.DecodeSmall(r, b); ok {
			for _, name := range names {
				if !strings.HasPrefix(name, "snapshots/") || strings.Contains(name, "..") {
					t.Errorf("it leads to %q", name)
				}
			}
		}
	})
}

// FuzzChunk: packed bytes from outside never give more than a chunk, and give one
// only under its name.
func FuzzChunk(f *testing.F) {
	r := fresh(f, store.NewFolder(f.TempDir()), repo.InitOptions{}, repo.Options{})
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(enc.EncodeAll(bytes.Repeat([]byte("lifeboat"), 1000), nil))
	f.Add(enc.EncodeAll(make([]byte, chunk+1), nil))
	f.Fuzz(func(t *testing.T, packed []byte) {
		plain, id := repo.UnpackAny(r, packed)
		if len(plain) > chunk {
			t.Errorf("%d bytes", len(plain))
		}
		if plain == nil {
			return
		}
		var other repo.ID
		io.ReadFull(rand.Reader, other[:])
		if repo.UnpackAs(r, packed, id) != nil || repo.UnpackAs(r, packed, other) == nil {
			t.Error("a chunk passes under another name, or not under its own")
		}
	})
}
