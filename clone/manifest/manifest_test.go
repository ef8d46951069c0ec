package manifest_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

const mib = 1 << 20

// head is a card with a boot loader before its parts, and a hole between them.
func head() *manifest.Head {
	return &manifest.Head{
		Version: manifest.Version, Size: 64 * mib, Sector: 512,
		Table: manifest.Table{Kind: manifest.MBR, ID: "cafe0001", Own: extent.Set{{Off: 0, Len: 512}}},
		Parts: []manifest.Part{
			{Num: 1, Extent: extent.Extent{Off: 4 * mib, Len: 8 * mib}, Used: 100, Min: -1},
			{Num: 2, Extent: extent.Extent{Off: 16 * mib, Len: 40 * mib}, Used: 200, Min: -1},
		},
	}
}

// TestGaps holds that all before the first part and between parts is kept, but
// for the table itself, and nothing behind the last.
func TestGaps(t *testing.T) {
	t.Parallel()
	want := extent.Set{{Off: 512, Len: 4*mib - 512}, {Off: 12 * mib, Len: 4 * mib}}
	if got := head().Gaps(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := (&manifest.Head{Size: mib}).Gaps(); len(got) != 0 {
		t.Errorf("a disk without parts has the gaps %v", got)
	}
}

func TestUsed(t *testing.T) {
	t.Parallel()
	h := head()
	if got, want := h.Used(), int64(8*mib-512+300); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	h.Parts[1].Used = -1
	if got := h.Used(); got != -1 {
		t.Errorf("with a part that is not known: got %d, want -1", got)
	}
}

func TestPart(t *testing.T) {
	t.Parallel()
	h := head()
	p, ok := h.Part(2)
	if !ok || p.Used != 200 {
		t.Fatalf("got %+v, %v", p, ok)
	}
	p.Used = 7 // it is the head's own
	if h.Parts[1].Used != 7 {
		t.Error("Part gave a copy")
	}
	if _, ok := h.Part(3); ok {
		t.Error("there is a part 3")
	}
}

// TestJSON holds the names in docs/FORMAT.md, which other programs may read.
func TestJSON(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(head())
	if err != nil {
		t.Fatal(err)
	}
	var back manifest.Head
	if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(&back, head()) {
		t.Errorf("got %+v back, %v", back, err)
	}
	var names map[string]any
	if err := json.Unmarshal(b, &names); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"version", "size", "sector", "table", "parts"} {
		if _, ok := names[want]; !ok {
			t.Errorf("no %q in %s", want, b)
		}
	}
}
