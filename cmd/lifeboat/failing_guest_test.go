package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/image"
	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// What the guest calls a card, and a disk of the same size that holds noise; the
// places of the card's parts (testdata/cards/pi-mbr-fat-ext4.sh).
const (
	goodNode, noiseNode = "/dev/ubdb", "/dev/ubdc"
	failingSize         = 128 << 20
	bootOff, rootOff    = 4 << 20, 44 << 20
)

func noiseFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "noise.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1<<20)
	r := mathrand.NewChaCha8([32]byte{7})
	for range failingSize / len(b) {
		r.Read(b)
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// A span is a piece of a mapped disk: "linear", "error", "zero" or "flakey",
// which loses all writes.
type span struct {
	kind string
	extent.Extent
	to int64 // where linear and flakey lead
}

// mapped is a disk whose pieces the device mapper makes, under a loop device: a
// mapping itself is not taken for a disk.
func mapped(t *testing.T, node string, spans ...span) string {
	t.Helper()
	var table strings.Builder
	for _, s := range spans {
		fmt.Fprintf(&table, "%d %d %s", s.Off/512, s.Len/512, s.kind)
		switch s.kind {
		case "linear":
			fmt.Fprintf(&table, " %s %d", node, s.to/512)
		case "flakey":
			fmt.Fprintf(&table, " %s %d 0 1 1 drop_writes", node, s.to/512)
		}
		table.WriteString("\n")
	}
	file := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(file, []byte(table.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	fixture.Run(t, "dmsetup", "create", "--noudevsync", "failing", file)
	t.Cleanup(func() { undone(t, "dmsetup", "remove", "--retry", "--noudevsync", "failing") })
	loop := strings.TrimSpace(fixture.Run(t, "losetup", "--show", "-f", "--direct-io=on", "/dev/dm-0"))
	t.Cleanup(func() { undone(t, "losetup", "-d", loop) })
	return loop
}

// undone runs a program when the test's context has ended.
func undone(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", program, err, out)
	}
}

// holed is a disk with bad places.
func holed(t *testing.T, node string, bad extent.Set) string {
	t.Helper()
	var spans []span
	at := int64(0)
	for _, e := range bad {
		if e.Off > at { // a mapping has no empty pieces
			spans = append(spans, span{"linear", extent.Extent{Off: at, Len: e.Off - at}, at})
		}
		spans = append(spans, span{kind: "error", Extent: e})
		at = e.End()
	}
	return mapped(t, node, append(spans, span{"linear", extent.Extent{Off: at, Len: failingSize - at}, at})...)
}

// goodCard is the card as a source. The caller closes it: it is held until then.
func goodCard(t *testing.T) *clone.Blocks {
	t.Helper()
	blocks, err := openBlocks(disk.Host(), goodNode, false)
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

// contentAt is a place of n bytes that holds the content of a file of part 2:
// behind its maps, and not zero.
func contentAt(t *testing.T, n int64) extent.Extent {
	t.Helper()
	card := goodCard(t)
	defer card.Close()
	b := make([]byte, n)
	for _, e := range card.Used().Clip(extent.Extent{Off: rootOff + 8<<20, Len: 64 << 20}) {
		for off := e.Off; off+n <= e.End(); off += 4096 {
			if _, err := card.ReadAt(b, off); err != nil {
				t.Fatal(err)
			}
			if bytes.Count(b, []byte{0}) < len(b)/2 {
				return extent.Extent{Off: off, Len: n}
			}
		}
	}
	t.Fatal("the card's root holds no content")
	return extent.Extent{}
}

// says calls the tool, which must end with a code, and say these texts.
func says(t *testing.T, what string, wantCode int, texts []string, args ...string) {
	t.Helper()
	out, code := called(t, args...)
	if code != wantCode {
		t.Fatalf("%s: exit code: got %d, want %d:\n%s", what, code, wantCode, out)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("%s: %q is not in what it says:\n%s", what, text, out)
		}
	}
}

// TestGuestFailingSource reads a card with two bad places: content of a file in
// its root, and one sector before its first part.
func TestGuestFailingSource(t *testing.T) {
	vmtest.Only(t)
	bad := extent.Of(extent.Extent{Off: 1<<20 + 512, Len: 512}, contentAt(t, 8192))
	node := holed(t, goodNode, bad)
	dir := t.TempDir()
	img, packed, target := filepath.Join(dir, "a.img"), filepath.Join(dir, "a.img.zst"), filepath.Join(dir, "target.img")

	first := fmt.Sprintf("outside of parts: bytes %d to %d of %s cannot be read: input/output error", bad[0].Off, bad[0].End(), node)
	says(t, "backup", exitFailed, []string{first, "--keep-going"}, "backup", node, img)
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("a backup that failed left %q", left)
	}
	told := []string{
		"8704 bytes of the disk could not be read, and are zeros",
		fmt.Sprintf("part 2: 8.19 kB, bytes %d to %d", bad[1].Off, bad[1].End()),
		fmt.Sprintf("outside of parts: 512 B, bytes %d to %d", bad[0].Off, bad[0].End()),
	}
	for _, to := range []string{img, packed} {
		says(t, "backup --keep-going", exitReserved, told, "backup", "--keep-going", node, to)
		marked(t, to, bad)
		says(t, "verify", exitReserved, told, "verify", to)
		says(t, "restore", exitReserved, told, "restore", to, target)
		zeroed(t, target, bad)
		says(t, "verify against the good card", exitReserved, told, "verify", to, goodNode)
		if err := os.Remove(target); err != nil {
			t.Fatal(err)
		}
	}
	says(t, "convert", exitReserved, told, "convert", packed, filepath.Join(dir, "b.img"))
	marked(t, filepath.Join(dir, "b.img"), bad)
	says(t, "clone", exitTouched, []string{first, "--keep-going"}, "clone", node, target)
	says(t, "clone --keep-going", exitReserved, told, "clone", "--ids=keep", "--keep-going", node, target)
	zeroed(t, target, bad)
}

// marked holds that the side files of an image name the bad places.
func marked(t *testing.T, img string, bad extent.Set) {
	t.Helper()
	var side image.Sidecar
	text, err := os.ReadFile(img + ".json")
	if err == nil {
		err = json.Unmarshal(text, &side)
	}
	if err != nil || fmt.Sprint(side.Tail.Unreadable) != fmt.Sprint(bad) {
		t.Errorf("%s.json: unreadable: got %v, %v, want %v", img, side.Tail.Unreadable, err, bad)
	}
	if strings.HasSuffix(img, ".zst") {
		return // has no bmap
	}
	f, err := os.Open(img + ".bmap")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := image.ParseBmap(f)
	if err != nil || fmt.Sprint(m.Unreadable) != fmt.Sprint(bad.Align(4096, failingSize)) {
		t.Fatalf("%s.bmap: unreadable: got %+v, %v, want %v", img, m, err, bad)
	}
	for _, e := range m.Unreadable {
		if !m.Set().Contains(e) {
			t.Errorf("%s.bmap: %v is not mapped: an old disk's bytes would stay there", img, e)
		}
	}
}

// zeroed compares a restored card with the good one: all that it uses is the
// same, but for zeros at the bad places.
func zeroed(t *testing.T, target string, bad extent.Set) {
	t.Helper()
	got, err := os.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	b := make([]byte, 512)
	for _, e := range bad {
		for off := e.Off; off < e.End(); off += 512 {
			if _, err := got.ReadAt(b, off); err != nil || !extent.IsZero(b) {
				t.Errorf("byte %d of the target: got %x, %v, want zeros", off, b[:8], err)
			}
		}
	}
	card := goodCard(t)
	defer card.Close()
	card.Head().Unreadable = bad
	c, err := clone.Compare(t.Context(), card, card.Head(), got, nil)
	if err != nil || len(c.Differing) > 0 {
		t.Errorf("the target differs from the good card: %+v, %v", c, err)
	}
}

// TestGuestFailingMaps reads a card that does not give its maps, or its table.
func TestGuestFailingMaps(t *testing.T) {
	vmtest.Only(t)
	for name, c := range map[string]struct {
		bad   extent.Extent
		place string
		plan  string
	}{
		"superblock": {extent.Extent{Off: rootOff, Len: 4096}, "part 2", "part 2: all bytes are copied: what it has in use cannot be seen"},
		"FAT":        {extent.Extent{Off: bootOff + 32*512, Len: 4096}, "part 1", "part 1: all bytes are copied: what it has in use cannot be seen"},
		"table":      {extent.Extent{Off: 0, Len: 512}, "the partition table", "its partition table cannot be read (bytes 0 to 512): the disk counts as one part"},
	} {
		t.Run(name, func(t *testing.T) {
			node := holed(t, goodNode, extent.Of(c.bad))
			target := filepath.Join(t.TempDir(), "target.img")
			words := fmt.Sprintf("%s: bytes %d to %d of %s cannot be read", c.place, c.bad.Off, c.bad.End(), node)
			says(t, "clone", exitFailed, []string{words}, "clone", node, target)
			says(t, "inspect", exitReserved, []string{"could not be read", "all bytes count as used"}, "inspect", node)
			words = fmt.Sprintf("%d bytes of the disk could not be read, and are zeros", c.bad.Len)
			says(t, "clone --keep-going", exitReserved, []string{c.plan, words}, "clone", "--ids=keep", "--keep-going", node, target)
			if name == "superblock" { // of a file system of one group there is no copy: every other byte is there
				sameFrom(t, target, c.bad.End())
			}
		})
	}
}

// sameFrom holds that a target has the MiB of the good card from off on, and not
// only what is in use of it.
func sameFrom(t *testing.T, target string, off int64) {
	t.Helper()
	want, got := make([]byte, 1<<20), make([]byte, 1<<20)
	for path, b := range map[string][]byte{goodNode: want, target: got} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.ReadAt(b, off); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(want, got) {
		t.Errorf("the bytes behind %d are not those of the card", off)
	}
}

// TestGuestFakeCards writes to disks that take all writes and keep some.
func TestGuestFakeCards(t *testing.T) {
	vmtest.Only(t)
	const wrap, short = 40 << 20, 52 << 20
	at := func(off, n int64) extent.Extent { return extent.Extent{Off: off, Len: n} }
	for _, c := range []struct { // the first one finds the noise as it was
		name  string
		spans []span
		want  []string
	}{
		{
			"keeps what it held",
			[]span{{"flakey", at(0, failingSize), 0}},
			[]string{"nothing of it was taken: a worn card keeps what it held"},
		},
		{
			"wraps around",
			[]span{{"linear", at(0, wrap), 0}, {"linear", at(wrap, wrap), 0}, {"linear", at(2*wrap, wrap), 0}, {"linear", at(3*wrap, failingSize-3*wrap), 0}},
			[]string{"(part 1)", fmt.Sprintf("what was written %d bytes behind them lies in their place: it is fake, has 41.9 MB and says 134 MB", wrap)},
		},
		{
			"ends early",
			[]span{{"linear", at(0, short), 0}, {"zero", at(short, failingSize-short), 0}},
			[]string{"(part 2)", "all before them holds, and nothing behind", "says 134 MB"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			node := mapped(t, noiseNode, c.spans...)
			want := append(c.want, "verify: the card is fake or worn: ", "take another card")
			says(t, "clone", exitTouched, want, "clone", "--ids=keep", "--yes="+wordOf(t, node), goodNode, node)
		})
	}
}

// TestGuestFailingTarget writes to a disk with a bad place.
func TestGuestFailingTarget(t *testing.T) {
	vmtest.Only(t)
	bad := contentAt(t, 8192)
	node := holed(t, noiseNode, extent.Of(bad))
	want := fmt.Sprintf("copy: part 2 of the target: write %s: %d bytes at %d: input/output error", node, bad.Len, bad.Off)
	says(t, "clone", exitTouched, []string{want, "take another card"}, "clone", "--ids=keep", "--yes="+wordOf(t, node), goodNode, node)
}

func wordOf(t *testing.T, node string) string {
	t.Helper()
	facts, err := disk.Host().Look(node)
	if err != nil {
		t.Fatal(err)
	}
	return facts.Word
}
