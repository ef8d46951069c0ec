package disk_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/internal/fixture"
)

// growable is a loop device with two parts and room behind the second, and a
// growth of that which is right.
func growable(t *testing.T) (path, file string, g disk.Growth) {
	t.Helper()
	file = image(t, 64<<20)
	script(t, file, "label: dos\nlabel-id: 0xcafe0009\nstart=4M,size=8M,type=c\nstart=12M,size=20M,type=83\n")
	path = fixture.Loop(t, file)
	tg := claim(t, path)
	parts := []disk.Partition{{Num: 1, Extent: extent.Extent{Off: 4 << 20, Len: 8 << 20}}, {Num: 2, Extent: extent.Extent{Off: 12 << 20, Len: 20 << 20}}}
	if err := errors.Join(tg.Reread(t.Context(), parts), tg.Close()); err != nil {
		t.Fatal(err)
	}
	was := make([]byte, 512)
	src, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if _, err := src.ReadAt(was, 0); err != nil {
		t.Fatal(err)
	}
	is := bytes.Clone(was)
	copy(is[446+16+12:], []byte{0x00, 0xa0, 0x01, 0x00}) // 52 MiB in sectors
	return path, file, disk.Growth{
		Num: 2, Was: parts[1].Extent, Is: extent.Extent{Off: 12 << 20, Len: 52 << 20},
		Writes: []disk.Sectors{{Off: 0, Was: was, Is: is}},
	}
}

func TestGrowPart(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	path, file, g := growable(t)
	f := look(t, path)
	touched, err := disk.GrowPart(t.Context(), disk.Host(), f, g, disk.Say(f.Word))
	if err != nil || !touched {
		t.Fatalf("got %v, %v", touched, err)
	}
	parts := look(t, path).Disk.Parts
	if len(parts) != 2 || parts[1].Extent != g.Is || parts[0].Extent.Len != 8<<20 {
		t.Errorf("the kernel's parts: %+v", parts)
	}
	fixture.Run(t, "sfdisk", "--verify", file)
	if got := fixture.Parts(t, file); len(got) != 2 || got[1].Size != 52<<20 {
		t.Errorf("the table's parts: %+v", got)
	}
}

// wrongGrowths each make a growth one that must be refused.
func wrongGrowths() map[string]func(g *disk.Growth) {
	sector := make([]byte, 512)
	flip := func(at int, b byte) func(g *disk.Growth) {
		return func(g *disk.Growth) { g.Writes[0].Is[at] = b }
	}
	return map[string]func(g *disk.Growth){
		"another start":   func(g *disk.Growth) { g.Is.Off += 1 << 20 },
		"smaller":         func(g *disk.Growth) { g.Is.Len = 8 << 20 },
		"behind the disk": func(g *disk.Growth) { g.Is.Len = 60 << 20 },
		"not what it is":  func(g *disk.Growth) { g.Was.Len += 512; g.Is.Len += 1024 },
		"no such part":    func(g *disk.Growth) { g.Num = 5 },
		"over the next part": func(g *disk.Growth) {
			g.Num, g.Was = 1, extent.Extent{Off: 4 << 20, Len: 8 << 20}
			g.Is = extent.Extent{Off: 4 << 20, Len: 9 << 20}
		},
		"boot code":      flip(0, 0xe9),
		"the disk ID":    flip(440, 0xff),
		"a part's type":  flip(446+4, 0x83),
		"a part's start": flip(446+16+8, 0x01),
		"a part's flag":  flip(446, 0x80),
		"the magic":      flip(510, 0),
		"a shorter part": flip(446+13, 0),
		"into a part":    func(g *disk.Growth) { g.Writes[0].Off = 4 << 20 },
		"into the grown part": func(g *disk.Growth) {
			g.Writes = append(g.Writes, disk.Sectors{Off: 40 << 20, Was: sector, Is: sector})
		},
		"half a sector":         func(g *disk.Growth) { g.Writes[0].Was, g.Writes[0].Is = g.Writes[0].Was[:256], g.Writes[0].Is[:256] },
		"what is not there now": func(g *disk.Growth) { g.Writes[0].Was[0] ^= 1; g.Writes[0].Is[0] ^= 1 },
	}
}

// TestGrowPartRefused holds that the narrow door is narrow: what its caller says
// is not believed, and nothing is written.
func TestGrowPartRefused(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	path, file, right := growable(t)
	f := look(t, path)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range wrongGrowths() {
		g := right
		w := right.Writes[0]
		g.Writes = []disk.Sectors{{Off: w.Off, Was: bytes.Clone(w.Was), Is: bytes.Clone(w.Is)}}
		change(&g)
		if touched, err := disk.GrowPart(t.Context(), disk.Host(), f, g, disk.Say(f.Word)); err == nil || touched {
			t.Errorf("%s: got %v, %v", name, touched, err)
		}
	}
	for name, no := range map[string]disk.Consent{"nobody": nil, "the wrong word": disk.Say("lifebuoy")} {
		if _, err := disk.GrowPart(t.Context(), disk.Host(), f, right, no); !errors.Is(err, disk.ErrNoConsent) {
			t.Errorf("%s agreed: got %v", name, err)
		}
	}
	var not error
	if _, not = disk.GrowPart(t.Context(), disk.Host(), look(t, image(t, 1<<20)), right, nil); not == nil {
		t.Error("a file was grown")
	}
	after, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the disk was written to, or: %v", err)
	}
	if parts := look(t, path).Disk.Parts; len(parts) != 2 || parts[1].Extent != right.Was {
		t.Errorf("the kernel's parts: %+v", parts)
	}
}
