package repo_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"lifeboat/clone/manifest"
	"lifeboat/clone/repo"
	"lifeboat/clone/store"
)

// errPower is what a store gives that has lost its power.
var errPower = errors.New("no power")

// A dying store refuses all puts from the n-th record on.
type dying struct {
	store.Store
	records int // that are still put
}

func (d *dying) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	if strings.HasPrefix(name, "snapshots/") && strings.HasSuffix(name, ".json") {
		if d.records--; d.records < 0 {
			return errPower
		}
	}
	return d.Store.Put(ctx, name, size, r)
}

// savePair saves a system on two disks as the tool does: what boots first.
func savePair(t *testing.T, r *repo.Repo, boot, root content, name string, at time.Time) (two [2]*repo.Snapshot, err error) {
	t.Helper()
	who := repo.Identity{Serial: somebody.Serial, Machine: somebody.Machine}
	ids := [2]string{}
	for i := range ids {
		if ids[i], err = r.NewID(at); err != nil {
			t.Fatal(err)
		}
	}
	series := [2]string{repo.BootSeries(who.Series()), who.Series()}
	disks := [2]content{boot, root}
	for i, c := range disks {
		other := 1 - i
		pair := &manifest.Pair{File: series[other] + "/" + ids[other], Size: int64(len(disks[other].bytes)), ID: "726f6f74", Boots: other == 0}
		o := repo.SaveOptions{Series: series[i], Identity: who, Host: "pi", Name: name, ID: ids[i], Time: at, Pair: pair}
		if two[i], err = save(t.Context(), r, o, c, c.records()); err != nil {
			return two, err
		}
	}
	return two, nil
}

// TestPair saves a pair, plain and encrypted, and finds each by its names.
func TestPair(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(7, 8))
	boot, root := randomContent(rnd, 3*chunk), randomContent(rnd, 5*chunk)
	at := time.Date(2026, 11, 24, 3, 15, 0, 0, time.UTC)
	for name, pass := range map[string]string{"plain": "", "sealed": "x"} {
		r := fresh(t, store.NewFolder(t.TempDir()), repo.InitOptions{Encrypt: repo.Recipients{Passphrase: pass}}, repo.Options{Keys: repo.Keys{Passphrase: pass}})
		two, err := savePair(t, r, boot, root, "", at)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, names := range [2][]string{
			{"pi.boot/latest", "pi.boot/2026-11-24T03:15:00", two[0].Ref(), two[0].ID, two[0].Series + "/2026-11-24", two[0].Label()},
			{"latest", "pi/latest", "2026-11-24", "20261124T03", two[1].Ref(), two[1].ID, two[1].Label()},
		} {
			for _, n := range names {
				if s, err := r.Find(t.Context(), n); err != nil || s.ID != two[i].ID {
					t.Errorf("%s: %s: got %v (%v), want %s", name, n, s, err, two[i].ID)
				}
			}
			if other, err := r.Other(t.Context(), two[i]); err != nil || other.ID != two[1-i].ID {
				t.Errorf("%s: the other of %s: got %v, %v", name, two[i].Label(), other, err)
			}
			if err := readBack(t.Context(), r, two[i], [2]content{boot, root}[i]); err != nil {
				t.Errorf("%s: %s: %v", name, two[i].Label(), err)
			}
		}
		all, _ := r.Snapshots(t.Context(), "")
		for _, s := range all {
			if got := labels(repo.Whole(all, []*repo.Snapshot{s})); got != "pi/2026-11-24T03:15:00 pi.boot/2026-11-24T03:15:00" {
				t.Errorf("%s: whole of %s: got %s", name, s.Label(), got)
			}
		}
	}
}

func labels(all []*repo.Snapshot) string {
	var names []string
	for _, s := range all {
		names = append(names, s.Label())
	}
	return strings.Join(names, " ")
}

// TestHalfPair kills a backup between its two records: the half is found by its
// own name only, says what it lacks, and goes when a whole pair has followed.
func TestHalfPair(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(9, 10))
	boot, root := randomContent(rnd, 2*chunk), randomContent(rnd, 4*chunk)
	begin := time.Date(2026, 11, 24, 3, 15, 0, 0, time.UTC)
	s := &dying{store.NewFolder(t.TempDir()), 3}
	r := fresh(t, s, repo.InitOptions{}, repo.Options{})
	whole, err := savePair(t, r, boot, root, "", begin)
	if err != nil {
		t.Fatal(err)
	}
	half, err := savePair(t, r, boot, root, "", begin.Add(time.Hour))
	if !errors.Is(err, errPower) || half[0] == nil || half[1] != nil {
		t.Fatalf("got %v, %v", half, err)
	}
	for n, want := range map[string]string{"latest": whole[1].ID, "pi/latest": whole[1].ID, "pi.boot/latest": half[0].ID} {
		if got, err := r.Find(t.Context(), n); err != nil || got.ID != want {
			t.Errorf("%s: got %v (%v), want %s", n, got, err, want)
		}
	}
	if _, err := r.Other(t.Context(), half[0]); !errors.Is(err, repo.ErrHalf) {
		t.Errorf("the other of a half: %v", err)
	}
	strays := func() string {
		all, err := r.Snapshots(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		return labels(repo.Strays(all, 24*time.Hour))
	}
	if got := strays(); got != "" {
		t.Errorf("strays before a whole pair has followed: %s", got)
	}
	s.records = 4
	for _, later := range []time.Duration{2, 26} {
		if _, err := savePair(t, r, boot, root, "", begin.Add(later*time.Hour)); err != nil {
			t.Fatal(err)
		}
		want := ""
		if later == 26 {
			want = half[0].Label()
		}
		if got := strays(); got != want {
			t.Errorf("strays %d hours later: got %q, want %q", later, got, want)
		}
	}
}

// TestHalfForgotten ends a Forget of a pair between its two records: the root is
// gone first, so none is left that names what is not there.
func TestHalfForgotten(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(11, 12))
	boot, root := randomContent(rnd, 2*chunk), randomContent(rnd, 2*chunk)
	r := fresh(t, store.NewFolder(t.TempDir()), repo.InitOptions{}, repo.Options{})
	two, err := savePair(t, r, boot, root, "", time.Date(2026, 11, 24, 3, 15, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	order := repo.Whole(two[:], two[:1])
	if !slices.Equal(order, []*repo.Snapshot{two[1], two[0]}) {
		t.Fatalf("forgotten in the order %s", labels(order))
	}
	if err := r.Forget(t.Context(), order[0]); err != nil {
		t.Fatal(err)
	}
	if s, err := r.Find(t.Context(), repo.Latest); !errors.Is(err, repo.ErrNoSnapshot) {
		t.Errorf("latest is half of a pair: %v, %v", s, err)
	}
	if _, err := r.Other(t.Context(), two[0]); !errors.Is(err, repo.ErrHalf) {
		t.Errorf("the other of what is left: %v", err)
	}
}

// TestPairRefused holds what a record may not say.
func TestPairRefused(t *testing.T) {
	t.Parallel()
	r := fresh(t, store.NewFolder(t.TempDir()), repo.InitOptions{}, repo.Options{})
	good := "0123456789abcdef/20261124T031500Z-01234567"
	for name, o := range map[string]repo.SaveOptions{
		"no place":       {Pair: &manifest.Pair{File: "", Size: 1}},
		"another folder": {Pair: &manifest.Pair{File: "../" + good, Size: 1}},
		"no size":        {Pair: &manifest.Pair{File: good}},
		"a wild ID":      {Pair: &manifest.Pair{File: good, Size: 1, ID: "a/b"}},
		"no ID":          {ID: "latest"},
	} {
		o.Identity = somebody
		if _, err := r.Save(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
