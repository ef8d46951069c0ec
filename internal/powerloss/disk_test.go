package powerloss_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"

	"lifeboat/internal/fixture"
	"lifeboat/internal/powerloss"
)

// TestSyncedStays holds what the other tests stand on: what was synced is there
// at each later instant, each sector of what was not is old or new, and the log
// sees writes through the page cache, past it, and holes.
func TestSyncedStays(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	base := fixture.Sparse(t, "base", size)
	fill(t, base, 'o')
	d := powerloss.Open(t, base)
	f, err := os.OpenFile(d.Path(), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	for i, c := range []byte("abc") {
		_, err := f.WriteAt(bytes.Repeat([]byte{c}, 8192), int64(i)*8192)
		must(t, err)
		if c == 'a' {
			must(t, f.Sync())
		}
	}
	l := d.Log()
	if l.Len() != 4 || len(l.Syncs()) != 1 || l.Written() != 3*8192 {
		t.Fatalf("got %d operations, syncs at %v, %d bytes", l.Len(), l.Syncs(), l.Written())
	}
	seen := map[byte]bool{}
	for seed := range uint64(200) {
		m := l.Medium(t)
		m.To(l.Len())
		m.Tear(rand.New(rand.NewPCG(seed, 0)))
		b, err := os.ReadFile(m.Path())
		must(t, err)
		for i, want := range []string{"a", "bo", "co"} {
			for s := i * 8192; s < (i+1)*8192; s += 512 {
				if !bytes.Contains([]byte(want), b[s:s+1]) || !bytes.Equal(b[s:s+512], bytes.Repeat(b[s:s+1], 512)) {
					t.Fatalf("seed %d: sector at %d begins with %q, want one of %q", seed, s, b[s], want)
				}
				seen[b[s]] = true
			}
		}
		m.Mend()
		again, err := os.ReadFile(m.Path())
		must(t, err)
		if !bytes.Equal(again[8192:], bytes.Repeat([]byte("o"), size-8192)) {
			t.Fatalf("seed %d: not all was taken back", seed)
		}
		must(t, os.Remove(m.Path()))
	}
	if len(seen) != 4 {
		t.Errorf("saw only %v", seen)
	}
}

func fill(t *testing.T, path string, c byte) {
	t.Helper()
	st, err := os.Stat(path)
	must(t, err)
	must(t, os.WriteFile(path, bytes.Repeat([]byte{c}, int(st.Size())), 0o600))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
