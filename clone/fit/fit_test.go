package fit_test

import (
	"os"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/fit"
	"lifeboat/internal/fixture"
)

func openFuse() (*os.File, error) { return os.OpenFile("/dev/fuse", os.O_RDWR, 0) }

// A trial is one file system made smaller.
type trial struct {
	path  string
	size  int64 // of the target
	plan  bool
	facts *fit.Facts
	to    *target
	stats fit.Stats
}

func (tr *trial) run(t *testing.T) error {
	t.Helper()
	src, err := os.Open(tr.path)
	must(t, err)
	defer src.Close()
	if tr.to == nil {
		tr.to = newTarget(t, tr.size)
	}
	o := fit.Options{Facts: tr.facts, To: tr.to, Size: tr.size, Run: fit.Exec, OpenFuse: openFuse, Logf: t.Logf}
	if tr.plan {
		o.From = src
	}
	p, err := fit.New(o)
	must(t, err)
	defer func() { tr.stats = p.Stats() }()
	if err := p.Start(t.Context()); err != nil {
		return err
	}
	if !tr.plan {
		put(t, p, src, tr.facts.Used)
	}
	if err := p.Shrink(t.Context()); err != nil {
		return err
	}
	if err := p.Settle(t.Context()); err != nil {
		return err
	}
	if tr.plan {
		put(t, p, src, p.Want())
	}
	return p.Finish(t.Context())
}

// put brings the bytes of set, in records that are cut inside of blocks.
func put(t *testing.T, p *fit.Parker, src *os.File, set extent.Set) {
	t.Helper()
	b := make([]byte, mib)
	const grid = 300*1024 + 512
	for _, e := range set {
		for off := e.Off; off < e.End(); {
			n := min(grid-off%grid, e.End()-off)
			_, err := src.ReadAt(b[:n], off)
			must(t, err)
			r := extent.Record{Extent: extent.Extent{Off: off, Len: n}, Data: b[:n]}
			if extent.IsZero(r.Data) {
				r.Kind, r.Data = extent.Zero, nil
			}
			must(t, p.Put(t.Context(), r))
			off += n
		}
	}
}

func survey(t *testing.T, path string) *fit.Facts {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	st, err := f.Stat()
	must(t, err)
	facts, err := fit.Survey(f, st.Size())
	must(t, err)
	return facts
}

// judge lets e2fsck and the kernel judge the target.
func (tr *trial) judge(t *testing.T, want []string) {
	t.Helper()
	if out, code := fixture.Try(t, "e2fsck", "-f", "-n", tr.to.Name()); code != 0 {
		t.Errorf("e2fsck -fn: exit code %d\n%s", code, out)
	}
	got := listing(t, tr.to.Name())
	differ := 0
	for i := 0; i < max(len(got), len(want)) && differ < 5; i++ {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			differ++
			t.Errorf("files differ:\ngot  %s\nwant %s", at(got, i), at(want, i))
		}
	}
	used := tr.facts.Used.Bytes()
	if s := tr.stats; tr.to.written > used+used/20+mib {
		t.Errorf("wrote %d bytes for %d in use: %+v", tr.to.written, used, s)
	}
	t.Logf("%d of %d bytes in use were written: %+v", tr.to.written, used, tr.stats)
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "nothing"
}

// sizes are three targets: a little smaller, half between, and the smallest that
// the rule lets pass.
func sizes(f *fit.Facts) []int64 {
	least := fit.Need(f, f.Size).Min
	align := func(n int64) int64 { return n / f.Block * f.Block }
	return []int64{align(f.Size - 2*mib), align((f.Size + least) / 2), least}
}

// TestShrink makes file systems of all kinds smaller.
func TestShrink(t *testing.T) {
	t.Parallel()
	for _, r := range recipes() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			path := r.make(t)
			want, facts := listing(t, path), survey(t, path)
			for i, size := range sizes(facts) {
				for _, plan := range []bool{false, true} {
					tr := trial{path: path, size: size, plan: plan, facts: facts}
					t.Logf("%s: size %d of %d, plan %v", r.name, size, facts.Size, plan)
					if err := tr.run(t); err != nil {
						t.Fatalf("size %d (%d): %v; %+v", size, i, err, tr.stats)
					}
					tr.judge(t, want)
				}
			}
		})
	}
}
