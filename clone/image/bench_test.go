package image_test

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/image"
	"lifeboat/clone/manifest"
)

// BenchmarkSink writes a disk of 1 GiB of which three quarters are in use, half
// of that noise.
func BenchmarkSink(b *testing.B) {
	const size = 1 << 30
	noise, text := make([]byte, extent.BufferSize), make([]byte, extent.BufferSize)
	rand.NewChaCha8([32]byte{3}).Read(noise)
	for i := range text {
		text[i] = "PARTUUID=3c3f4bdb-02 rootfstype=ext4 "[i%37]
	}
	for _, name := range []string{"card.img", "card.img.gz", "card.img.zst"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size * 3 / 4)
			for b.Loop() {
				k, err := image.Create(filepath.Join(b.TempDir(), name), image.SinkOptions{})
				if err != nil {
					b.Fatal(err)
				}
				if err := k.Start(b.Context(), &manifest.Head{Version: 1, Size: size}); err != nil {
					b.Fatal(err)
				}
				for off := int64(0); off < size; off += extent.BufferSize {
					r := extent.Record{Extent: extent.Extent{Off: off, Len: extent.BufferSize}, Data: noise}
					switch (off >> 20) % 4 {
					case 0:
						continue
					case 1:
						r.Data = text
					}
					if err := k.Put(b.Context(), r); err != nil {
						b.Fatal(err)
					}
				}
				if err := k.Commit(b.Context(), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
