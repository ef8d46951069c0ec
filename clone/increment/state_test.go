package increment

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/ext4"
	"lifeboat/clone/manifest"
	"lifeboat/internal/fixture"
)

// scanned is a real part's state.
func scanned(tb testing.TB) *ext4.State {
	tb.Helper()
	card := fixture.Card(tb, "pi-mbr-fat-ext4")
	p := fixture.Parts(tb, card)[1]
	f, err := os.Open(fixture.Cut(tb, card, p))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	s, err := ext4.ScanMounted(tb.Context(), f, p.Size, ext4.ScanOptions{Look: time.Now()})
	if err != nil {
		tb.Fatal(err)
	}
	return s.State
}

func aState(tb testing.TB) *state {
	return &state{
		header: header{Version: version, Repository: "r", Series: "s", Snapshot: "x", Nights: 3, Alarm: true,
			Signs: extent.Set{{Off: 512, Len: 512}}, moment: moment{"boot", 17}},
		parts: []part{{extent.Extent{Off: 4096, Len: 1 << 20}, scanned(tb)}},
	}
}

// TestRoundTrip gives back what was kept, and takes no half of it.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	s := aState(t)
	path := filepath.Join(t.TempDir(), "folder", "state")
	if err := s.write(path); err != nil {
		t.Fatal(err)
	}
	got, err := readState(path)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := s.encode()
	if again, err := got.encode(); err != nil || !bytes.Equal(again, want) {
		t.Errorf("what was read is not what was written: %v", err)
	}
	for _, n := range []int{0, 10, len(magic) + 2, len(want) / 2, len(want) - 1} {
		if _, err := decodeState(want[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken", n, len(want))
		}
	}
}

// FuzzState takes no bytes that it would not write.
func FuzzState(f *testing.F) {
	b, err := aState(f).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[len(magic) : len(b)-sha256.Size])
	f.Add(binary.LittleEndian.AppendUint32(nil, 1<<31))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = append([]byte(magic), b...)
		sum := sha256.Sum256(b)
		s, err := decodeState(append(b, sum[:]...))
		if err != nil {
			return
		}
		again, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeState(again); err != nil {
			t.Error(err)
		}
		for _, p := range s.parts {
			p.state.Forget(extent.Set{{Off: 0, Len: 1 << 30}})
		}
	})
}

// A still is a snapshot for what only reads its size.
type still struct {
	head manifest.Head
	used extent.Set
	ids  map[int64]string
	byte map[int64]byte // that differ
}

func (s *still) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = s.byte[off+int64(i)]
	}
	return len(p), nil
}

func (s *still) Head() *manifest.Head { return &s.head }
func (s *still) Used() extent.Set     { return s.used }
func (s *still) Granule() int64       { return 100 }
func (s *still) ID(e extent.Extent) (manifest.Digest, bool) {
	return manifest.Digest{Extent: e, Sum: s.ids[e.Off]}, true
}

func procOf(boot string) fs.FS {
	return fstest.MapFS{"sys/kernel/random/boot_id": {Data: []byte(boot + "\n")}}
}

// TestUseless names what makes an earlier state prove nothing.
func TestUseless(t *testing.T) {
	t.Parallel()
	base := &still{head: manifest.Head{Size: 1000}}
	for _, c := range []struct {
		name string
		edit func(r *Run, l *Look, now *moment)
		want string
	}{
		{"nothing", func(*Run, *Look, *moment) {}, ""},
		{"no snapshot", func(r *Run, _ *Look, _ *moment) { r.o.BaseID = "" }, "there is no earlier snapshot"},
		{"another snapshot", func(r *Run, _ *Look, _ *moment) { r.o.BaseID = "y" }, "what is known here is not of the series' last snapshot"},
		{"another repository", func(r *Run, _ *Look, _ *moment) { r.o.Repository = "q" }, "what is known here is not of the series' last snapshot"},
		{"another series", func(r *Run, _ *Look, _ *moment) { r.o.Series = "q" }, "what is known here is not of the series' last snapshot"},
		{"another size", func(_ *Run, l *Look, _ *moment) { l.Head.Size++ }, "the disk has another size"},
		{"another boot", func(_ *Run, _ *Look, now *moment) { now.Boot = "b2" }, "the system was started anew"},
		{"no boot ID", func(r *Run, _ *Look, now *moment) { r.was.Boot, now.Boot = "", "" }, "the system was started anew"},
		{"clock back", func(_ *Run, _ *Look, now *moment) { now.Offset -= int64(time.Hour) }, "the clock was set back by 1h0m0s"},
		{"clock forth", func(_ *Run, _ *Look, now *moment) { now.Offset += int64(time.Hour) }, ""},
		{"blind", func(_ *Run, l *Look, _ *moment) { l.Blind = "no tracing" }, "no tracing"},
	} {
		r := &Run{o: Options{Repository: "r", Series: "s", BaseID: "x", Base: base},
			was: &state{header: header{Repository: "r", Series: "s", Snapshot: "x", moment: moment{"b", 5e9}}}}
		l, now := Look{Head: &manifest.Head{Size: 1000}}, moment{"b", 5e9}
		c.edit(r, &l, &now)
		if got := r.useless(l, now); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestEvery counts the nights.
func TestEvery(t *testing.T) {
	t.Parallel()
	for nights, want := range map[int]bool{0: false, 5: false, 6: true, 7: true} {
		r := &Run{o: Options{Every: 7}, was: &state{header: header{Nights: nights}}}
		if got := r.check() != ""; got != want {
			t.Errorf("behind %d increments: all is read %v, want %v", nights, got, want)
		}
	}
}

// TestLeftOut wants chunks of which nothing changed, nor what of them is in use;
// of a near repository, blocks.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	base := &still{used: extent.Set{{Off: 0, Len: 350}, {Off: 400, Len: 50}, {Off: 500, Len: 100}}}
	used := extent.Set{{Off: 0, Len: 350}, {Off: 400, Len: 60}, {Off: 500, Len: 90}, {Off: 600, Len: 10}}
	same := extent.Set{{Off: 0, Len: 150}, {Off: 200, Len: 800}}
	for near, want := range map[bool]extent.Set{
		false: {{Off: 0, Len: 100}, {Off: 200, Len: 150}},
		true:  {{Off: 0, Len: 150}, {Off: 200, Len: 150}, {Off: 400, Len: 50}, {Off: 500, Len: 90}},
	} {
		r := &Run{o: Options{Base: base, Near: near}}
		if got := r.leftOut(used, 1000, same); !slices.Equal(got, want) {
			t.Errorf("near %v: got %v, want %v", near, got, want)
		}
	}
}

// TestWrong finds what changed unsuspected, and spares what was written late.
func TestWrong(t *testing.T) {
	t.Parallel()
	all := extent.Set{{Off: 0, Len: 950}}
	base := &still{manifest.Head{Size: 950}, all, map[int64]string{}, nil}
	made := &still{manifest.Head{Size: 950}, all, map[int64]string{100: "other", 300: "other", 500: "other", 900: "other"},
		map[int64]byte{150: 1, 310: 1, 515: 1, 949: 1}}
	for near, want := range map[bool]extent.Set{
		false: {{Off: 300, Len: 100}, {Off: 900, Len: 50}},
		true:  {{Off: 300, Len: 100}, {Off: 900, Len: 50}},
	} {
		r := &Run{o: Options{Base: base, Near: near}, same: extent.Set{{Off: 200, Len: 750}}}
		got, err := r.wrong(made, extent.Set{{Off: 510, Len: 10}})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("near %v: got %v and %v, want %v", near, got, err, want)
		}
	}
	// What was not to be left out of a chunk may have changed.
	r := &Run{o: Options{Base: base, Near: true}, same: extent.Set{{Off: 200, Len: 110}, {Off: 320, Len: 80}}}
	if got, err := r.wrong(made, nil); err != nil || len(got) > 0 {
		t.Errorf("got %v and %v, want nothing", got, err)
	}
}

// TestEnded keeps nothing of what was written while the backup ran: it may soon
// be again what it was at the look, and was not at the freeze.
func TestEnded(t *testing.T) {
	t.Parallel()
	sizeWith := func(late extent.Set) int64 {
		r := &Run{o: Options{File: filepath.Join(t.TempDir(), "state")}, is: aState(t)}
		if _, err := r.Ended("id", nil, late, nil); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(r.o.File)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	if all, less := sizeWith(nil), sizeWith(extent.Set{{Off: 0, Len: 1 << 20}}); less >= all {
		t.Errorf("the state has %d bytes, and %d where all was written meanwhile", all, less)
	}
}

// TestClock reads the kernel's own.
func TestClock(t *testing.T) {
	t.Parallel()
	a, err := Clock{procOf("id")}.read()
	if err != nil || a.Boot != "id" {
		t.Fatal(a, err)
	}
	b, err := Clock{procOf("id")}.read()
	if d := b.Offset - a.Offset; err != nil || d > int64(clockBack) || -d > int64(clockBack) {
		t.Errorf("two reads differ by %d ns, %v", d, err)
	}
	if _, err := (Clock{fstest.MapFS{}}).read(); err == nil {
		t.Error("a kernel without an ID is taken")
	}
}
