package clone

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// memory is a medium that can lie.
type memory struct {
	b      []byte
	writes int
	fail   int           // the write that fails, counted from 1
	lose   extent.Extent // writes here are swallowed
	wraps  int64         // all bytes lie at their place modulo this; 0 = it has what it says
}

var errBroken = errors.New("it broke")

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	if m.wraps > 0 {
		for i := range p {
			p[i] = m.b[(off+int64(i))%m.wraps]
		}
		return len(p), nil
	}
	return bytes.NewReader(m.b).ReadAt(p, off)
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if m.writes++; m.writes == m.fail {
		return 0, errBroken
	}
	for i := range p {
		at := off + int64(i)
		if m.wraps > 0 {
			at %= m.wraps
		}
		if at < m.lose.Off || at >= m.lose.End() {
			m.b[at] = p[i]
		}
	}
	return len(p), nil
}

func (m *memory) WriteZeros(_ context.Context, e extent.Extent) error {
	_, err := m.WriteAt(make([]byte, e.Len), e.Off)
	return err
}

const testDisk = 4 << 20

// rawPlan moves one disk without a table, or with parts that lie elsewhere on
// the target.
func rawPlan(moves ...Step) *Plan {
	p := &Plan{
		Head:   &manifest.Head{Size: testDisk, Sector: 512, Table: manifest.Table{Kind: manifest.MBR}},
		Target: Target{Size: testDisk, Sector: 512},
	}
	p.Steps = moves
	return p
}

func move(src, dst, n int64) Step {
	return Step{Op: Move, Src: extent.Extent{Off: src, Len: n}, Dst: extent.Extent{Off: dst, Len: n}}
}

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	io.ReadFull(r, b)
	return b
}

func data(off int64, b []byte) extent.Record {
	return extent.Record{Extent: extent.Extent{Off: off, Len: int64(len(b))}, Data: b}
}

func TestFillerPlacesPieces(t *testing.T) {
	t.Parallel()
	to := &memory{b: bytes.Repeat([]byte{0xA5}, testDisk)}
	f := newFiller(rawPlan(move(0, 0, 4096), move(8192, 1<<20, 4096)), to)
	src := random(16384)
	if err := f.Put(t.Context(), data(0, src)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(to.b[:4096], src[:4096]) || !bytes.Equal(to.b[1<<20:1<<20+4096], src[8192:12288]) {
		t.Error("pieces do not lie at their places")
	}
	if got := bytes.Count(to.b, []byte{0xA5}); got < testDisk-8192 {
		t.Errorf("bytes outside of the steps were written: %d left, want at least %d", got, testDisk-8192)
	}
	if err := f.verify(t.Context(), nil); err != nil {
		t.Errorf("verify: %v", err)
	}
}

func TestVerifyFindsLostWrites(t *testing.T) {
	t.Parallel()
	for _, lost := range []extent.Extent{{Off: 0, Len: 1}, {Off: 700, Len: 4}, {Off: 1<<20 - 1, Len: 2}, {Off: testDisk - 1, Len: 1}} {
		to := &memory{b: make([]byte, testDisk), lose: lost}
		f := newFiller(rawPlan(move(0, 0, testDisk)), to)
		src := bytes.Repeat([]byte{7}, testDisk)
		for off := int64(0); off < testDisk; off += 300 * 512 {
			end := min(off+300*512, testDisk)
			if err := f.Put(t.Context(), data(off, src[off:end])); err != nil {
				t.Fatal(err)
			}
		}
		var wrong *LostError
		if err := f.verify(t.Context(), nil); !errors.As(err, &wrong) {
			t.Errorf("lost %v: got %v, want a LostError", lost, err)
		} else if wrong.Intersect(lost).Len == 0 {
			t.Errorf("lost %v: got the range %v", lost, wrong.Extent)
		}
	}
}

// TestLostWords: each kind of card that swallows writes is called what it is.
func TestLostWords(t *testing.T) {
	t.Parallel()
	all := extent.Extent{Len: testDisk}
	for name, c := range map[string]struct {
		to   *memory
		want string
	}{
		"wraps":             {&memory{wraps: 3<<20 + 12288}, "what was written 3158016 bytes behind them lies in their place: it is fake, has 3.16 MB and says 4.19 MB"},
		"wraps often":       {&memory{wraps: 1 << 20}, "what was written"},
		"ends early":        {&memory{lose: extent.Extent{Off: 3 << 20, Len: 1 << 20}}, "all before them holds, and nothing behind: it is fake or half dead, has no more than 3.15 MB and says 4.19 MB"},
		"takes nothing":     {&memory{lose: all}, "nothing of it was taken: a worn card keeps what it held"},
		"has a worn place":  {&memory{lose: extent.Extent{Off: 1<<20 + 4096, Len: 4096}}, "what lies before and behind them holds: it is worn"},
		"twins are no wrap": {&memory{lose: extent.Extent{Off: 0, Len: 4096}}, "it is worn"},
	} {
		c.to.b = make([]byte, testDisk)
		f := newFiller(rawPlan(move(0, 0, testDisk)), c.to)
		src := random(testDisk)
		copy(c.to.b, src[2<<20:2<<20+4096]) // an older copy of what now lies elsewhere
		for off := int64(0); off < testDisk; off += 1 << 20 {
			f.compare.skip = 1 // what it holds is of no use
			if err := f.Put(t.Context(), data(off, src[off:off+1<<20])); err != nil {
				t.Fatal(err)
			}
		}
		var lost *LostError
		err := f.verify(t.Context(), nil)
		if !errors.As(err, &lost) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "the card is fake or worn: ") {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestPatchReplaces(t *testing.T) {
	t.Parallel()
	to := &memory{b: make([]byte, testDisk)}
	f := newFiller(rawPlan(move(0, 0, testDisk)), to)
	if err := f.Put(t.Context(), data(0, random(1<<20))); err != nil {
		t.Fatal(err)
	}
	if err := f.Put(t.Context(), extent.Record{Extent: extent.Extent{Off: 1 << 20, Len: 8192}, Kind: extent.Zero}); err != nil {
		t.Fatal(err)
	}
	patch := bytes.Repeat([]byte{9}, 8192)
	for _, off := range []int64{4096, 1<<20 - 4096, 3 << 20} {
		if err := f.Patch(t.Context(), data(off, patch)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(to.b[off:off+8192], patch) {
			t.Errorf("the patch at %d did not reach its place", off)
		}
	}
	if err := f.verify(t.Context(), nil); err != nil {
		t.Errorf("verify after patches: %v", err)
	}
	to.b[2000]++ // not patched, and lost now
	if err := f.verify(t.Context(), nil); err == nil {
		t.Error("verify does not find a byte that changed beside a patch")
	}
}

// TestPatchOverLostBytes holds that a patch does not hide what the target lost
// before it.
func TestPatchOverLostBytes(t *testing.T) {
	t.Parallel()
	to := &memory{b: make([]byte, testDisk)}
	f := newFiller(rawPlan(move(0, 0, testDisk)), to)
	if err := f.Put(t.Context(), data(0, random(1<<20))); err != nil {
		t.Fatal(err)
	}
	to.b[5000]++
	if err := f.Patch(t.Context(), data(4096, make([]byte, 4096))); err != nil {
		t.Fatal(err)
	}
	if err := f.verify(t.Context(), nil); err == nil {
		t.Error("the loss was hidden by the patch over it")
	}
}

// TestSecondRunWritesNothing holds that what lies on the target is not written
// again.
func TestSecondRunWritesNothing(t *testing.T) {
	t.Parallel()
	to := &memory{b: make([]byte, testDisk)}
	src := random(testDisk)
	for range 2 {
		f := newFiller(rawPlan(move(0, 0, testDisk)), to)
		for off := 0; off < testDisk; off += extent.BufferSize {
			if err := f.Put(t.Context(), data(int64(off), src[off:off+extent.BufferSize])); err != nil {
				t.Fatal(err)
			}
		}
		if f.Written+f.Same != testDisk {
			t.Errorf("written %d and same %d, want %d together", f.Written, f.Same, testDisk)
		}
	}
	if got, want := to.writes, testDisk/extent.BufferSize; got != want {
		t.Errorf("got %d writes in two runs, want %d", got, want)
	}
}

func TestHeldFrontComesLast(t *testing.T) {
	t.Parallel()
	p := rawPlan(move(0, 0, testDisk))
	p.Head.Table.Kind = manifest.NoTable
	to := &memory{b: make([]byte, testDisk)}
	f := newFiller(p, to)
	const held = partFront
	src := random(held + 4096)
	for _, cut := range [][2]int{{0, 4096}, {4096, held + 4096}} {
		if err := f.Put(t.Context(), data(int64(cut[0]), src[cut[0]:cut[1]])); err != nil {
			t.Fatal(err)
		}
	}
	if !extent.IsZero(to.b[:held]) || !bytes.Equal(to.b[held:held+4096], src[held:]) {
		t.Error("the front was written with the rest")
	}
	got := make([]byte, held+4096)
	if _, err := (view{f}).ReadAt(got, 0); err != nil || !bytes.Equal(got, src) {
		t.Errorf("the view lacks the held front: %v", err)
	}
	if err := f.Patch(t.Context(), extent.Record{Kind: extent.Zero, Extent: extent.Extent{Off: 4096, Len: 4096}}); err != nil {
		t.Fatal(err)
	}
	if !extent.IsZero(f.held[4096:8192]) || !bytes.Equal(f.held[:4096], src[:4096]) {
		t.Error("zeros that came last did not count")
	}
}
