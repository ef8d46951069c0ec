package disk_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"lifeboat/clone/disk"
)

// image makes a sparse file of size bytes.
func image(tb testing.TB, size int64) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "card.img")
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		tb.Fatal(err)
	}
	return path
}

func look(tb testing.TB, path string) disk.Facts {
	tb.Helper()
	f, err := disk.Host().Look(path)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func claim(tb testing.TB, path string) *disk.Target {
	tb.Helper()
	f := look(tb, path)
	t, err := disk.Claim(tb.Context(), disk.Host(), f, disk.Say(f.Word))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { t.Close() })
	return t
}

func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b)
	return b
}
