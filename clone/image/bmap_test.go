package image_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/image"
	"lifeboat/internal/fixture"
)

func TestParseBmapTakesBmaptools(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "bmaptool")
	d, dir := newDisk(), t.TempDir()
	path := filepath.Join(dir, "card.img")
	d.save(t, path, image.SinkOptions{}) // sparse
	out := fixture.Run(t, "bmaptool", "create", path)
	b, err := image.ParseBmap(strings.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	if b.Size != diskSize || b.Type != "sha256" || len(d.data.Subtract(b.Set())) > 0 {
		t.Errorf("got size %d, type %s, map %v", b.Size, b.Type, b.Set())
	}
	write(t, path+".bmap", []byte(out))
	if _, _, _, err := load(t.Context(), open(t, path, image.Options{}), d.used(), diskSize); err != nil {
		t.Errorf("its digests: %v", err)
	}
	bad := strings.Replace(out, "0-", "1-", 1)
	if bad == out {
		bad = strings.Replace(out, "<Range", "<Range ", 1)
	}
	if _, err := image.ParseBmap(strings.NewReader(bad)); err == nil {
		t.Error("a changed bmap: got no error")
	}
}

const oldBmap = `<?xml version="1.0" ?>
<bmap version="1.3">
 <ImageSize> 9000 </ImageSize> <BlockSize> 4096 </BlockSize>
 <BlocksCount> 3 </BlocksCount> <MappedBlocksCount> 2 </MappedBlocksCount>
 <BlockMap>
  <Range sha1="da39a3ee5e6b4b0d3255bfef95601890afd80709"> 0 </Range>
  <Range sha1="DA39A3EE5E6B4B0D3255BFEF95601890AFD80709"> 2 </Range>
 </BlockMap>
</bmap>`

func TestParseBmapTakesOldOnes(t *testing.T) {
	t.Parallel()
	b, err := image.ParseBmap(strings.NewReader(oldBmap))
	if err != nil {
		t.Fatal(err)
	}
	want := extent.Of(extent.Extent{Off: 0, Len: 4096}, extent.Extent{Off: 8192, Len: 808})
	if got := b.Set(); b.Type != "sha1" || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %s %v, want %v", b.Type, got, want)
	}
}

func TestParseBmapRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, new, says string }{
		{`version="1.3"`, `version="3.0"`, "version"},
		{`<ImageSize> 9000 `, `<ImageSize> -1 `, "ImageSize"},
		{`<ImageSize> 9000 `, `<ImageSize> 90000 `, "blocks of 4096 bytes"},
		{`<BlockSize> 4096 `, `<BlockSize> 0 `, "blocks of 0 bytes"},
		{`> 2 </MappedBlocksCount`, `> 3 </MappedBlocksCount`, "MappedBlocksCount"},
		{`> 2 </Range`, `> 3 </Range`, `range " 3 "`},
		{`> 2 </Range`, `> 0 </Range`, "above it"},
		{`> 2 </Range`, `> 2-1 </Range`, "ends before"},
		{`"da39a3ee`, `"zzda39a3ee`, "no digest"},
		{`</bmap>`, ``, "EOF"},
	} {
		bad := strings.Replace(oldBmap, c.old, c.new, 1)
		if bad == oldBmap {
			t.Fatalf("BUG: %q is not there", c.old)
		}
		if _, err := image.ParseBmap(strings.NewReader(bad)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: got %v, want %q", c.new, err, c.says)
		}
	}
}

// FuzzParseBmap: whatever is taken can be written, and is then the same map.
func FuzzParseBmap(f *testing.F) {
	f.Add([]byte(oldBmap))
	b := image.Bmap{Size: 9000, Block: 4096, Type: "sha256", Ranges: []image.Range{{Extent: extent.Extent{Off: 4096, Len: 4904}, Sum: strings.Repeat("0", 64)}}}
	f.Add(b.Encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := image.ParseBmap(bytes.NewReader(raw))
		if err != nil {
			return
		}
		if err := b.Set().Check(b.Size); err != nil {
			t.Error(err)
		}
		if b.Type == "" {
			return // cannot be written as version 2
		}
		again, err := image.ParseBmap(bytes.NewReader(b.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := again.Set(), b.Set(); len(got.Subtract(want))+len(want.Subtract(got)) > 0 {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// FuzzHead: whatever is taken is possible, and can be written and taken again.
func FuzzHead(f *testing.F) {
	d := newDisk()
	s := image.Sidecar{Version: 1, File: image.Sum{Size: 5}, Content: image.Sum{Size: diskSize}, Head: *d.head()}
	s.Tail.Used = d.used()
	raw, err := json.Marshal(s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := image.ParseSidecar(bytes.NewReader(raw))
		if err != nil {
			return
		}
		if err := s.Tail.Used.Check(s.Content.Size); err != nil {
			t.Error(err)
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := image.ParseSidecar(bytes.NewReader(again)); err != nil {
			t.Error(err)
		}
	})
}
