package clone_test

import (
	"os"
	"testing"

	"lifeboat/clone"
	"lifeboat/clone/extent"
	"lifeboat/internal/fixture"
)

// TestVoid restores a card whose empty journal is full of what was in it, to a disk
// full of something else: neither may be there afterwards, and the disk counts as
// what the card holds.
func TestVoid(t *testing.T) {
	t.Parallel()
	card := fixture.Card(t, "pi-mbr-fat-ext4")
	void := blocksOf(t, card).Void()
	if void.Bytes() < 1<<20 {
		t.Fatalf("premise: the card's journal holds nothing; void are %v", void)
	}
	litter(t, card, void)
	src, to := blocksOf(t, card), fill(t, blocksOf(t, card).Head().Size)
	if _, err := restore(t.Context(), t, src, to, clone.Options{IDs: clone.KeepIDs}); err != nil {
		t.Fatal(err)
	}
	fixture.Check(t, to)
	sameParts(t, card, to, 0)
	b, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range void {
		if !extent.IsZero(b[e.Off:e.End()]) {
			t.Errorf("the disk has more than zeros in %v, where the card holds nothing", e)
		}
	}
	for name, path := range map[string]string{"card": card, "disk": to} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if c, err := clone.Compare(t.Context(), src, src.Head(), f, nil); err != nil || len(c.Differing) > 0 {
			t.Errorf("the %s held against the card: got %+v, %v", name, c, err)
		}
	}
}

// litter fills a set of an image's bytes.
func litter(tb testing.TB, path string, set extent.Set) {
	tb.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	for _, e := range set {
		b := make([]byte, e.Len)
		for i := range b {
			b[i] = byte(i%251) + 1
		}
		if _, err := f.WriteAt(b, e.Off); err != nil {
			tb.Fatal(err)
		}
	}
}
