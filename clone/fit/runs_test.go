package fit

import (
	"math/rand/v2"
	"testing"
)

// TestRuns holds the map against the plainest one.
func TestRuns(t *testing.T) {
	t.Parallel()
	const space = 3000
	rnd := rand.New(rand.NewPCG(1, 2))
	var m runs
	var plain [space]place
	kinds := []place{hole, lost, users + 1, users + 2, physical, memory, original}
	for step := range 20000 {
		v := rnd.Int64N(space)
		n := min(1+rnd.Int64N(1+rnd.Int64N(60)), space-v)
		if step%4 == 0 {
			n = 1
		}
		to := kinds[rnd.IntN(len(kinds))]
		if to.kind() >= physical {
			to += place(v + rnd.Int64N(3)) // often the next of its neighbour's
		}
		m.set(v, n, to)
		for i := range n {
			plain[v+i] = to.plus(i)
		}
		if step%500 == 0 {
			sameRuns(t, &m, plain[:])
		}
		at := rnd.Int64N(space)
		if got := m.at(at, space).to; got != plain[at] {
			t.Fatalf("step %d: block %d: got %x, want %x", step, at, got, plain[at])
		}
		want := at - 1
		for want >= 0 && plain[want] != hole {
			want--
		}
		if got := m.holeBelow(at); got != want {
			t.Fatalf("step %d: hole below %d: got %d, want %d", step, at, got, want)
		}
	}
}

func sameRuns(t *testing.T, m *runs, plain []place) {
	t.Helper()
	v := int64(0)
	m.each(0, int64(len(plain)), func(r run) error {
		if r.at != v || r.n <= 0 {
			t.Fatalf("got run %v, want one that begins at %d", r, v)
		}
		for i := range r.n {
			if got, want := r.to.plus(i), plain[v+i]; got != want {
				t.Fatalf("block %d: got %x, want %x", v+i, got, want)
			}
		}
		v = r.end()
		return nil
	})
	if v != int64(len(plain)) {
		t.Fatalf("the runs end at %d, want %d", v, len(plain))
	}
	for _, page := range m.pages {
		for i := 1; i < len(page); i++ {
			if a, b := page[i-1], page[i]; a.end() == b.at && a.to.plus(a.n) == b.to {
				t.Fatalf("runs %v and %v are one", a, b)
			}
		}
	}
}

// TestRunsStayFew holds that the map grows with pieces, not with blocks.
func TestRunsStayFew(t *testing.T) {
	t.Parallel()
	var m runs
	for v := range int64(100000) {
		m.set(v, 1, physical+place(v))
	}
	if got := m.count(); got != 1 {
		t.Errorf("blocks in a row: got %d runs, want 1", got)
	}
	for v := int64(0); v < 100000; v += 2 {
		m.set(v, 1, memory)
	}
	for v := int64(0); v < 100000; v += 2 {
		m.set(v, 1, physical+place(v))
	}
	if got := m.count(); got != 1 {
		t.Errorf("put together again: got %d runs, want 1", got)
	}
}
