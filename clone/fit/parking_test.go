package fit_test

import (
	"os"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/fit"
)

// TestWrongPrediction holds that blocks that were parked in the wrong places
// come home too, with little memory: by evictions, at the cost of writes.
func TestWrongPrediction(t *testing.T) {
	t.Parallel()
	r := smallRecipe()
	r.data /= 2
	path := r.make(t)
	facts := survey(t, path)
	for _, size := range sizes(facts)[2:] {
		tr := &trial{path: path, facts: facts, size: size, memory: 2 * mib, prepare: (*fit.Parker).PredictNothing}
		tr.must(t)
		if tr.stats.Missed == 0 {
			t.Errorf("size %d: all blocks lay where they belong", size)
		}
		tr.judgeFiles(t, listing(t, path))
		t.Logf("wrote %d bytes for %d in use: %+v", tr.to.written, facts.Used.Bytes(), tr.stats)
	}
}

// TestPatch holds that what comes a second time counts: the files of one system,
// then the differences to another.
func TestPatch(t *testing.T) {
	t.Parallel()
	r := smallRecipe()
	r.data /= 2
	before := r.make(t)
	after := before + ".after"
	b, err := os.ReadFile(before)
	must(t, err)
	must(t, os.WriteFile(after, b, 0o600))
	mounted(t, after, "", func(root string) {
		must(t, os.RemoveAll(root+"/data/a"))
		r.data = 8 * mib
		must(t, os.Rename(root+"/data", root+"/old"))
		r.fill(t, root)
	})
	c, err := os.ReadFile(after)
	must(t, err)
	old, now := survey(t, before), survey(t, after)
	patch := func(p *fit.Parker) {
		for off := int64(0); off < int64(len(b)); off += now.Block {
			was, is := b[off:off+now.Block], c[off:off+now.Block]
			e := extent.Extent{Off: off, Len: now.Block}
			if old.Used.Contains(e) && string(was) == string(is) || !now.Used.Contains(e) {
				continue
			}
			must(t, p.Patch(t.Context(), extent.Record{Extent: e, Data: is}))
		}
	}
	tr := &trial{path: before, facts: old, size: sizes(now)[1], patch: patch}
	tr.must(t)
	tr.judgeFiles(t, listing(t, after))
}
