package extent_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"

	"lifeboat/clone/extent"
)

const space = 64

// bits is a set as the plainest thing that can be one.
type bits [space]bool

func (b bits) set() extent.Set {
	var s extent.Set
	for i, in := range b {
		if in {
			s = s.Append(extent.Extent{Off: int64(i), Len: 1})
		}
	}
	return s
}

func randomBits(r *rand.Rand) (b bits) {
	for i := range b {
		b[i] = r.IntN(3) > 0
	}
	return b
}

func zip(a, b bits, f func(x, y bool) bool) (c bits) {
	for i := range c {
		c[i] = f(a[i], b[i])
	}
	return c
}

// TestAlgebra holds the sets against bits.
func TestAlgebra(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		a, b := randomBits(r), randomBits(r)
		off := r.Int64N(space + 1)
		window := extent.Extent{Off: off, Len: r.Int64N(space + 1 - off)}
		for name, c := range map[string]struct{ got, want extent.Set }{
			"union":     {a.set().Union(b.set()), zip(a, b, func(x, y bool) bool { return x || y }).set()},
			"intersect": {a.set().Intersect(b.set()), zip(a, b, func(x, y bool) bool { return x && y }).set()},
			"clip":      {a.set().Clip(window), a.set().Intersect(extent.Of(window))},
			"subtract":  {a.set().Subtract(b.set()), zip(a, b, func(x, y bool) bool { return x && !y }).set()},
		} {
			if len(c.got)+len(c.want) > 0 && !reflect.DeepEqual(c.got, c.want) {
				t.Fatalf("%s of %v and %v: got %v, want %v", name, a.set(), b.set(), c.got, c.want)
			}
			if err := c.got.Check(space); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	got := extent.Of(extent.Extent{Off: 10, Len: 5}, extent.Extent{Off: 0, Len: 3}, extent.Extent{Off: 3, Len: 2}, extent.Extent{Off: 12, Len: 9}, extent.Extent{Off: 50})
	want := extent.Set{{Off: 0, Len: 5}, {Off: 10, Len: 11}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := got.Bytes(), int64(16); got != want {
		t.Errorf("bytes: got %d, want %d", got, want)
	}
}

func TestAlign(t *testing.T) {
	t.Parallel()
	got := extent.Set{{Off: 1, Len: 1}, {Off: 7, Len: 2}, {Off: 30, Len: 3}}.Align(8, 34)
	want := extent.Set{{Off: 0, Len: 16}, {Off: 24, Len: 10}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestContains(t *testing.T) {
	t.Parallel()
	s := extent.Set{{Off: 4, Len: 4}, {Off: 10, Len: 10}}
	for e, want := range map[extent.Extent]bool{
		{Off: 4, Len: 4}: true, {Off: 3, Len: 2}: false, {Off: 6, Len: 6}: false,
		{Off: 12, Len: 8}: true, {Off: 12, Len: 9}: false, {Off: 0, Len: 0}: true,
	} {
		if got := s.Contains(e); got != want {
			t.Errorf("%v: got %v, want %v", e, got, want)
		}
	}
}

func TestCheckRefusesWhatIsNoSet(t *testing.T) {
	t.Parallel()
	for _, s := range []extent.Set{
		{{Off: 0, Len: 0}}, {{Off: -1, Len: 2}}, {{Off: 0, Len: 101}}, {{Off: 1 << 62, Len: 1 << 62}},
		{{Off: 5, Len: 5}, {Off: 10, Len: 1}}, {{Off: 5, Len: 5}, {Off: 0, Len: 1}},
	} {
		if s.Check(100) == nil {
			t.Errorf("%v passes", s)
		}
	}
}

func TestIsZero(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 511, 64 << 10, 64<<10 + 1, 300 << 10} {
		b := make([]byte, n)
		if !extent.IsZero(b) {
			t.Errorf("%d zeros are not zero", n)
		}
		if n > 0 {
			b[n-1] = 1
			if extent.IsZero(b) {
				t.Errorf("%d bytes with a 1 at the end are zero", n)
			}
		}
	}
}

// TestMasked reads at random, and holds it against a copy with the zeros laid.
func TestMasked(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		void := randomBits(r).set()
		disk, want := bytes.Repeat([]byte{7}, space), bytes.Repeat([]byte{7}, space)
		for _, e := range void {
			clear(want[e.Off:e.End()])
		}
		m := extent.Masked(bytes.NewReader(disk), void)
		off := r.IntN(space)
		got := bytes.Repeat([]byte{9}, r.IntN(space-off+1))
		if n, err := m.ReadAt(got, int64(off)); n != len(got) || err != nil && err != io.EOF {
			t.Fatalf("%d bytes at %d without %v: got %d and %v", len(got), off, void, n, err)
		}
		if !bytes.Equal(got, want[off:off+len(got)]) {
			t.Fatalf("%d bytes at %d without %v: got %v, want %v", len(got), off, void, got, want[off:])
		}
	}
}

// TestMaskedShort tells how far it got where the disk ends or fails.
func TestMaskedShort(t *testing.T) {
	t.Parallel()
	m := extent.Masked(bytes.NewReader(make([]byte, 10)), extent.Of(extent.Extent{Off: 4, Len: 2}))
	if n, err := m.ReadAt(make([]byte, 20), 0); n != 10 || err != io.EOF {
		t.Errorf("got %d bytes and %v, want 10 and the end", n, err)
	}
}
