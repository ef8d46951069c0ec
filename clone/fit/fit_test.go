package fit_test

import (
	"context"
	"os"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/fit"
	"lifeboat/internal/fixture"
)

// openFuse opens what Go does not let programs inherit.
func openFuse() (*os.File, error) { return os.OpenFile("/dev/fuse", os.O_RDWR, 0) }

// A trial is one file system made smaller.
type trial struct {
	path  string
	size  int64 // of the target
	plan  bool
	tried bool // the plan is made in memory, and carried
	facts *fit.Facts
	to    *target
	stats fit.Stats

	between fit.Target // in the place of to, which it leads to
	ctx     context.Context
	memory  int64
	prepare func(*fit.Parker)
	patch   func(*fit.Parker)
	all     bool       // bring all bytes, used or not
	bring   extent.Set // instead of what the facts say
}

func (tr *trial) run(t *testing.T) error {
	t.Helper()
	src, err := os.Open(tr.path)
	must(t, err)
	defer src.Close()
	if tr.to == nil {
		tr.to = newTarget(t, tr.size)
	}
	ctx := tr.ctx
	if ctx == nil {
		ctx = t.Context()
	}
	o := fit.Options{Facts: tr.facts, To: tr.to, Size: tr.size, Memory: tr.memory, Run: filesystem.ExecBound, OpenFuse: openFuse, Logf: t.Logf}
	if tr.between != nil {
		o.To = tr.between
	}
	if tr.plan {
		o.From = src
	}
	if tr.tried {
		return tr.carry(ctx, o, src)
	}
	p, err := fit.New(o)
	must(t, err)
	defer func() { tr.stats = p.Stats() }()
	if tr.prepare != nil {
		tr.prepare(p)
	}
	if err := p.Start(ctx); err != nil {
		return err
	}
	if !tr.plan {
		bring := tr.bring
		switch {
		case tr.all:
			bring = extent.Of(extent.Extent{Off: 0, Len: tr.facts.Size})
		case bring == nil:
			bring = tr.facts.Used
		}
		if err := put(ctx, p, src, bring); err != nil {
			return err
		}
	}
	if tr.patch != nil {
		tr.patch(p)
	}
	if err := p.Shrink(ctx); err != nil {
		return err
	}
	if err := p.Settle(ctx); err != nil {
		return err
	}
	if tr.plan {
		if err := put(ctx, p, src, p.Want()); err != nil {
			return err
		}
	}
	return p.Finish(ctx)
}

// carry makes the target out of a trial.
func (tr *trial) carry(ctx context.Context, o fit.Options, src *os.File) error {
	p, err := fit.Trial(ctx, o, 0)
	if err != nil {
		return err
	}
	defer func() { tr.stats = p.Stats() }()
	if err := p.Carry(ctx, o.To); err != nil {
		return err
	}
	if err := put(ctx, p, src, p.Want()); err != nil {
		return err
	}
	return p.Finish(ctx)
}

// put brings the bytes of set, in records that are cut inside of blocks.
func put(ctx context.Context, p *fit.Parker, src *os.File, set extent.Set) error {
	b := make([]byte, mib)
	const grid = 300*1024 + 512
	for _, e := range set {
		for off := e.Off; off < e.End(); {
			n := min(grid-off%grid, e.End()-off)
			if _, err := src.ReadAt(b[:n], off); err != nil {
				return err
			}
			r := extent.Record{Extent: extent.Extent{Off: off, Len: n}, Data: b[:n]}
			if extent.IsZero(r.Data) {
				r.Kind, r.Data = extent.Zero, nil
			}
			if err := p.Put(ctx, r); err != nil {
				return err
			}
			off += n
		}
	}
	return nil
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

// judge lets e2fsck and the kernel judge the target, and counts what was
// written.
func (tr *trial) judge(t *testing.T, want []string) {
	t.Helper()
	tr.judgeFiles(t, want)
	used := tr.facts.Used.Bytes()
	if tr.to.written > used+used/20 {
		t.Errorf("wrote %d bytes for %d in use", tr.to.written, used)
	}
	t.Logf("wrote %d bytes for %d in use: %+v", tr.to.written, used, tr.stats)
}

func (tr *trial) judgeFiles(t *testing.T, want []string) {
	t.Helper()
	if out, code := fixture.Try(t, "e2fsck", "-f", "-n", tr.to.Name()); code != 0 {
		t.Errorf("e2fsck -fn: exit code %d\n%s", code, out)
	}
	got := listing(t, tr.to.Name())
	for i, differ := 0, 0; i < max(len(got), len(want)) && differ < 5; i++ {
		if at(got, i) != at(want, i) {
			differ++
			t.Errorf("files differ:\ngot  %s\nwant %s", at(got, i), at(want, i))
		}
	}
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

// TestShrink makes file systems of all kinds smaller: each once, to one of the
// sizes; all ways are a campaign.
func TestShrink(t *testing.T) {
	t.Parallel()
	for i, r := range recipes() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			if r.rare {
				fixture.Long(t)
			}
			r.data /= 2
			path := r.make(t)
			facts := survey(t, path)
			holdRule(t, facts)
			tr := trial{path: path, size: sizes(facts)[1+i%2], plan: i%4 > 1, tried: i%4 == 3, facts: facts}
			tr.must(t)
			tr.judge(t, listing(t, path))
		})
	}
}

// TestShrinkAllWays makes each of them smaller to all sizes, from a stream and by
// a plan.
func TestShrinkAllWays(t *testing.T) {
	t.Parallel()
	fixture.Long(t)
	for _, r := range recipes() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			path := r.make(t)
			want, facts := listing(t, path), survey(t, path)
			for _, size := range sizes(facts) {
				for _, way := range []trial{{}, {plan: true}, {plan: true, tried: true}} {
					tr := trial{path: path, size: size, plan: way.plan, tried: way.tried, facts: facts}
					tr.must(t)
					tr.judge(t, want)
				}
			}
		})
	}
}

func (tr *trial) must(t *testing.T) {
	t.Helper()
	t.Logf("size %d of %d, plan %v", tr.size, tr.facts.Size, tr.plan)
	if err := tr.run(t); err != nil {
		t.Fatalf("size %d, plan %v: %v; %+v", tr.size, tr.plan, err, tr.stats)
	}
}
