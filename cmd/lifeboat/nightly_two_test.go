package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lifeboat/clone/repo"
	"lifeboat/internal/fixture"
	"lifeboat/internal/nightly"
)

// TestNightlyPairs: to a nightly run a system on two disks is one, of which
// nothing is left halfway.
func TestNightlyPairs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 3, 15, 0, 0, time.UTC)
	e := hostEnv()
	e.stdout, e.stderr, e.clock = io.Discard, io.Discard, func() time.Time { return now }
	defer e.close()
	place := filepath.Join(t.TempDir(), "pis")
	if _, err := e.initRepo(t.Context(), repoInitOptions{place: place, chunk: defaultChunk, grace: repo.DefaultGrace}); err != nil {
		t.Fatal(err)
	}
	const series = "0123456789abcdef"
	fourNights(t, e, &now, place, series)
	shelf := &repoShelf{e: e, place: place, r: repoAt(t, e, place), series: series}
	defer shelf.Close()
	list, err := shelf.List(t.Context())
	if err != nil || len(list) != 3 {
		t.Fatalf("got %v, %v", list, err)
	}
	all, err := shelf.all(t.Context())
	if err != nil || len(all) != 7 {
		t.Fatalf("got %d snapshots, %v", len(all), err)
	}
	if size := all[0].Added + repo.OtherOf(all, all[0]).Added; list[0].Size != size {
		t.Errorf("the first night has added %d bytes, want %d", list[0].Size, size)
	}
	if n, err := shelf.Remove(t.Context(), []nightly.Snapshot{list[0]}); n != 1 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	if all, err = shelf.all(t.Context()); err != nil || len(all) != 4 {
		t.Errorf("got %d snapshots, %v", len(all), err)
	}
	for _, s := range all {
		if repo.OtherOf(all, s) == nil {
			t.Errorf("%s is half of a pair", s.Label())
		}
	}
	read, bad, err := shelf.Verify(t.Context(), 100)
	whole, wantErr := shelf.r.Verify(t.Context(), repo.VerifyOptions{})
	if err != nil || wantErr != nil || len(bad) > 0 || read < whole.Chunks {
		t.Errorf("verified %d of %d chunks, %v, %v", read, whole.Chunks, bad, err)
	}
	found, err := e.newestInRepo(t.Context(), place)
	if err != nil || len(found) != 1 || found[0].schedule != "nightly" {
		t.Errorf("check: %v, %v", found, err)
	}
}

// fourNights saves a system on two disks; the second night dies between its two
// records.
func fourNights(t *testing.T, e *env, now *time.Time, place, series string) {
	boot, root := fixture.Pair{}.Make(t)
	for night := range 4 {
		o := backupOptions{from: boot, with: root, to: place, noVerify: true, snapshot: snapshotOptions{series: series, kind: "nightly"}}
		if err := runBackup(t.Context(), e, o); exitCode(err) != exitReserved {
			t.Fatal(err)
		}
		if night == 1 {
			r := repoAt(t, e, place)
			newest, err := r.Find(t.Context(), series+"/latest")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(place, "snapshots", newest.Ref()+".json")); err != nil {
				t.Fatal(err)
			}
			r.Close()
		}
		*now = now.Add(24 * time.Hour)
	}
}

func repoAt(t *testing.T, e *env, place string) *repo.Repo {
	r, err := e.openRepo(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
