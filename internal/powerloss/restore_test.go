package powerloss_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/image"
	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
	"lifeboat/clone/store"
	"lifeboat/internal/fixture"
	"lifeboat/internal/powerloss"
)

// A trial is a restore whose target loses its power.
type trial struct {
	name   string
	card   string
	more   int64 // bytes that the target is larger
	packed bool  // the source is a packed image, else the card itself
	ids    clone.IDs
	old    string // the label of the table that the target has before
}

const mib = 1 << 20

var trials = []trial{
	{"clone", "pi-mbr-fat-ext4", 0, false, clone.KeepIDs, "gpt"},
	{"larger", "pi-mbr-fat-ext4", 96 * mib, false, clone.NewIDs, "dos"},
	{"image", "pi-mbr-fat-ext4", 24 * mib, true, clone.KeepIDs, "dos"},
	{"gpt", "gpt-fat-ext4", 40 * mib, false, clone.NewIDs, "gpt"},
	{"gpt image", "gpt-fat-ext4", 64 * mib, true, clone.KeepIDs, "dos"},
	{"logical parts", "pi-noobs", 64 * mib, false, clone.KeepIDs, "dos"},
	{"swap", "swap-behind-root", 64 * mib, true, clone.NewIDs, "gpt"},
	{"boot loader", "raw-uboot", 32 * mib, false, clone.KeepIDs, "dos"},
	{"smaller", "pi-mbr-fat-ext4", -40 * mib, false, clone.KeepIDs, "dos"},
	{"smaller image", "pi-mbr-fat-ext4", -30 * mib, true, clone.NewIDs, "gpt"},
}

// TestRestore lets the power fail at some instants of some restores.
func TestRestore(t *testing.T) {
	t.Parallel()
	for i, tr := range trials[2:4] {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			tr.run(t, 20, 1, 1, uint64(i))
		})
	}
}

// TestRestoreOften is the campaign.
func TestRestoreOften(t *testing.T) {
	t.Parallel()
	fixture.Long(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for i, tr := range trials {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			tr.run(t, 4000, 24, 10, seed+uint64(i))
		})
	}
}

// run records one restore, then looks at as many instants of it, at each in as
// many ways of losing writes, and lets as many second runs begin at one.
func (tr trial) run(t *testing.T, instants, ways, again int, seed uint64) {
	fixture.Root(t)
	fixture.Need(t, "sfdisk", "e2fsck", "resize2fs", "tune2fs", "fsck.vfat")
	card := fixture.Card(t, tr.card)
	src := tr.open(t, card)
	base := oldCard(t, headOf(t, src).Size+tr.more, tr.old)
	d := powerloss.Open(t, base)
	first, err := restore(t.Context(), t, src, d.Path(), tr.ids)
	must(t, err)
	j := &judge{t: t, trial: tr, card: card, log: d.Log(), rnd: rand.New(rand.NewPCG(seed, 1)), oldID: tableOf(t, base).ID, newID: tableOf(t, d.Live()).ID, live: d.Live()}
	fixture.Check(t, d.Live())
	syncs := j.log.Syncs()
	if len(syncs) < 4 || j.oldID == j.newID {
		t.Fatalf("syncs at %v, IDs %s and %s", syncs, j.oldID, j.newID)
	}
	j.wiped, j.used = syncs[0], first.Used
	j.walk(instants, ways, again)
	t.Logf("%d writes and syncs, %d syncs, %d bytes; seen at %d instants: no table %d, the old one %d, the finished one %d; %d second runs",
		j.log.Len(), len(syncs), j.log.Written(), j.none+j.old+j.whole, j.none, j.old, j.whole, again)
}

// A judge looks at the instants of one restore.
type judge struct {
	// config
	t            *testing.T
	trial        trial
	card, live   string
	log          *powerloss.Log
	rnd          *rand.Rand
	oldID, newID string
	wiped        int   // the first sync
	used         int64 // bytes that the restore had to bring

	// state
	none, old, whole int
}

// walk judges what is left of n instants or more: each one near the beginning,
// the end, and a sync, and others by chance. At some a second run begins.
func (j *judge) walk(n, ways, again int) {
	j.t.Helper()
	total := j.log.Len()
	chance := float64(n) / float64(total)
	near, second := map[int]bool{}, map[int]bool{}
	for _, s := range j.log.Syncs() {
		for i := -2; i <= 2; i++ {
			near[s+i] = true
		}
	}
	for i := range again - 1 {
		second[total*i/again+j.rnd.IntN(max(1, total/again))] = true
	}
	last := total - j.rnd.IntN(6) // all is in its place, but perhaps for the table
	second[last] = true
	m := j.log.Medium(j.t)
	for at := 0; at <= total; at++ {
		edge := at < j.wiped+3 || at > total-12
		if !edge && !near[at] && !second[at] && j.rnd.Float64() >= chance {
			continue
		}
		m.To(at)
		for try := range ways {
			m.Tear(j.rnd)
			j.judge(m, at, edge && try%6 == 0 || j.rnd.IntN(40) == 0)
			if try == 0 && second[at] {
				j.runAgain(m.Copy(j.t), at, at == last)
			}
			m.Mend()
		}
	}
}

// judge holds that a medium has no table, or the finished one with all that it
// leads to. The old one may be there as long as nothing but it was touched.
func (j *judge) judge(m *powerloss.Medium, at int, ask bool) {
	j.t.Helper()
	st, err := os.Stat(m.Path())
	must(j.t, err)
	table, err := layout.Read(m, st.Size(), 512)
	must(j.t, err)
	switch {
	case table.Kind == manifest.NoTable:
		j.none++
	case table.ID == j.oldID && at <= j.wiped+1:
		j.old++
	case table.ID == j.newID:
		j.whole++
		if diff := differs(j.t, m.Path(), j.live, table.Own); diff >= 0 {
			j.t.Errorf("after %d of %d writes there is a table, and byte %d is not as it will be", at, j.log.Len(), diff)
		}
	default:
		j.t.Errorf("after %d of %d writes (the old table was to be gone after %d) there is the table %s", at, j.log.Len(), j.wiped, table.ID)
	}
	if ask {
		if parts := fixture.Parts(j.t, m.Path()); len(parts) != entries(table) {
			j.t.Errorf("after %d of %d writes sfdisk sees %d parts, we see %d", at, j.log.Len(), len(parts), entries(table))
		}
	}
}

// entries counts the parts that hold something.
func entries(t manifest.Table) int {
	n := 0
	for _, e := range t.Entries {
		if !e.Extended {
			n++
		}
	}
	return n
}

// runAgain restores to what was left. Where all is there it writes next to
// nothing: with new IDs, the bytes that name other ones.
func (j *judge) runAgain(target string, at int, all bool) {
	j.t.Helper()
	defer os.Remove(target)
	where := fmt.Sprintf("second run from write %d of %d", at, j.log.Len())
	report, err := restore(j.t.Context(), j.t, j.trial.open(j.t, j.card), target, j.trial.ids)
	if err != nil {
		j.t.Errorf("%s: %v", where, err)
		return
	}
	for _, why := range report.Reservations {
		j.t.Errorf("%s: %s", where, why)
	}
	j.t.Logf("%s: wrote %d of %d bytes", where, report.Written, report.Used)
	most := j.used / 20
	if j.trial.ids == clone.NewIDs {
		most = j.used / 5
	}
	if all && report.Written > most {
		j.t.Errorf("%s: wrote %d of %d bytes, want at most %d", where, report.Written, report.Used, most)
	}
	fixture.Check(j.t, target)
	sameFiles(j.t, j.live, target)
}

// oldCard makes a target that was a card before: another table, and noise where
// it has parts.
func oldCard(t *testing.T, size int64, label string) string {
	t.Helper()
	path := fixture.Sparse(t, "old", size)
	fill(t, path, 0xa5)
	fixture.Run(t, "sh", "-c", fmt.Sprintf("printf 'label: %s\\nstart=8MiB,size=16MiB\\nstart=24MiB\\n' | sfdisk -q --no-tell-kernel --wipe never %s", label, path))
	return path
}

func tableOf(t *testing.T, path string) manifest.Table {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	st, err := f.Stat()
	must(t, err)
	table, err := layout.Read(f, st.Size(), 512)
	must(t, err)
	return table
}

// differs is the first byte outside of except in which two files differ, -1
// where there is none.
func differs(t *testing.T, a, b string, except extent.Set) int64 {
	t.Helper()
	f, err := os.Open(a)
	must(t, err)
	defer f.Close()
	g, err := os.Open(b)
	must(t, err)
	defer g.Close()
	st, err := f.Stat()
	must(t, err)
	x, y := make([]byte, mib), make([]byte, mib)
	for _, e := range extent.Of(extent.Extent{Len: st.Size()}).Subtract(except) {
		for off := e.Off; off < e.End(); off += mib {
			n := min(mib, e.End()-off)
			_, errX := f.ReadAt(x[:n], off)
			_, errY := g.ReadAt(y[:n], off)
			must(t, errors.Join(errX, errY))
			if string(x[:n]) == string(y[:n]) {
				continue
			}
			for i := range n {
				if x[i] != y[i] {
					return off + i
				}
			}
		}
	}
	return -1
}

// open makes the source of a trial.
func (tr trial) open(t *testing.T, card string) clone.Source {
	t.Helper()
	if tr.packed {
		return openImage(t, pack(t, card, ".img.zst"))
	}
	return openCard(t, card)
}

func openCard(t *testing.T, path string) *clone.Blocks {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	st, err := f.Stat()
	must(t, err)
	b, err := clone.NewBlocks(f, st.Size(), 512)
	must(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

// pack backs a card up to an image.
func pack(t *testing.T, card, ext string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image"+ext)
	sink, err := image.Create(path, image.SinkOptions{})
	must(t, err)
	src := openCard(t, card)
	_, err = clone.Save(t.Context(), src, src.Head(), sink, nil)
	must(t, err)
	return path
}

func openImage(t *testing.T, path string) clone.Source {
	t.Helper()
	s, name, err := store.Open(path, store.Options{})
	must(t, err)
	img, err := image.Open(t.Context(), s, name, image.Options{})
	must(t, err)
	t.Cleanup(func() { img.Close() })
	raw, ok := img.(*image.Raw)
	if !ok {
		return img
	}
	blocks, err := clone.NewNarrowed(raw, raw.Size(), 512)
	must(t, err)
	return blocks
}

func headOf(t *testing.T, src clone.Source) *manifest.Head {
	t.Helper()
	head, err := clone.Probe(t.Context(), src)
	must(t, err)
	return head
}

// restore plans and executes a restore to an image file in a disk's place.
func restore(ctx context.Context, t *testing.T, src clone.Source, to string, ids clone.IDs) (*clone.Report, error) {
	t.Helper()
	sys := disk.Host()
	facts, err := sys.Look(to)
	must(t, err)
	head := headOf(t, src)
	run := clone.Runner{Tools: filesystem.Tools{Run: filesystem.Exec}, Clock: time.Now, Fuse: sys.OpenFuse}
	o := clone.Options{IDs: ids, Random: rand.NewChaCha8([32]byte{byte(rand.Uint32()), byte(rand.Uint32())})}
	if facts.Disk.Size < head.Size {
		o.Smaller, err = run.LookSmaller(ctx, src, head, clone.GrowLast, nil)
		must(t, err)
	}
	plan, err := clone.PlanRestore(head, facts, o)
	must(t, err)
	target, err := disk.Claim(ctx, sys, facts, nil)
	must(t, err)
	defer target.Close()
	return run.Execute(ctx, plan, src, target)
}
