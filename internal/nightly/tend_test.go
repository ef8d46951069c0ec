package nightly

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A fakeRepository keeps its snapshots in memory.
type fakeRepository struct {
	snapshots []Snapshot
	known     []bool // of each opening
	calls     []string
	bad       []string
	pruneErr  error
	estimate  Estimate
}

var _ Tended = (*fakeRepository)(nil)

func (f *fakeRepository) Estimate(context.Context, Settings, string) (Estimate, error) {
	return f.estimate, nil
}

func (f *fakeRepository) Open(_ context.Context, _ Host, s Settings, place string, known bool) (Shelf, error) {
	f.known = append(f.known, known)
	return f, nil
}

func (f *fakeRepository) Close() error { return nil }

func (f *fakeRepository) List(context.Context) ([]Snapshot, error) {
	return append([]Snapshot(nil), f.snapshots...), nil
}

func (f *fakeRepository) Save(_ context.Context, r Request) (Saved, error) {
	name := fmt.Sprint(len(f.calls), r.Time)
	f.snapshots = append(f.snapshots, Snapshot{Name: name, Label: "pi/" + name, Schedule: r.Schedule, Type: SnapshotType, Time: r.Time, Pinned: r.Pinned, Size: 7})
	f.calls = append(f.calls, "save")
	return Saved{Name: "pi/" + name, Size: 100, Added: 7}, nil
}

func (f *fakeRepository) Remove(_ context.Context, gone []Snapshot) (int, error) {
	for _, g := range gone {
		for i, s := range f.snapshots {
			if s.Name == g.Name {
				f.snapshots = append(f.snapshots[:i], f.snapshots[i+1:]...)
				break
			}
		}
	}
	if len(gone) > 0 {
		f.calls = append(f.calls, fmt.Sprint("forget ", len(gone)))
	}
	return len(gone), nil
}

func (f *fakeRepository) Prune(context.Context) (int64, error) {
	f.calls = append(f.calls, "prune")
	return 1000, f.pruneErr
}

func (f *fakeRepository) Verify(_ context.Context, part Percent) (int64, []string, error) {
	f.calls = append(f.calls, fmt.Sprintf("verify %v%%", part))
	return 3, f.bad, nil
}

// TestRepositoryNights makes a month of nights: retention by schedule, a prune a
// week, a sample each night, and the named one for ever.
func TestRepositoryNights(t *testing.T) {
	t.Parallel()
	f := &fakeRepository{}
	w := newWorld(t, func(s *Settings) { s.Type, s.Keep = SnapshotType, Policy{Daily: 7} })
	w.run.Backup = f
	f.snapshots = []Snapshot{
		{Name: "by hand", Time: w.now.AddDate(0, -1, 0)},
		{Name: "weekly", Schedule: "weekly", Type: SnapshotType, Time: w.now.AddDate(0, -1, 0)},
	}
	freed := int64(0)
	for night := range 30 {
		w.run.Pinned = ""
		if night == 3 {
			w.run.Pinned = "Before upgrade"
		}
		facts, err := w.run.Do(t.Context())
		if err != nil || facts.Kind != Done || facts.Added != 7 || facts.Size != 100 || facts.Checked != 3 || !strings.HasPrefix(facts.File, "pi/") {
			t.Fatalf("night %d: %+v, %v", night, facts, err)
		}
		freed += facts.Freed
		w.now = w.now.AddDate(0, 0, 1)
	}
	equal(t, "snapshots", fmt.Sprint(len(f.snapshots)), "10") // seven days, a named one, and two that are not ours
	equal(t, "known", fmt.Sprint(f.known[:3]), "[false true true]")
	calls := strings.Join(f.calls, ", ")
	if strings.Count(calls, "prune") != 4 || freed != 4000 || strings.Count(calls, "verify 1%") != 30 || strings.Count(calls, "forget 1") != 22 {
		t.Errorf("calls: %s", calls)
	}
	if !strings.HasPrefix(calls, "save, verify 1%, save") || !strings.Contains(calls, "save, forget 1, prune, verify 1%") {
		t.Errorf("calls: %s", calls)
	}
}

// TestRepositoryTended: what tending comes to is a reservation, and can be
// switched off.
func TestRepositoryTended(t *testing.T) {
	t.Parallel()
	f := &fakeRepository{bad: []string{"chunk 12 is gone"}, pruneErr: errors.New("no right to list")}
	w := newWorld(t, func(s *Settings) { s.Type, s.Repository.Prune = SnapshotType, "daily" })
	w.run.Backup = f
	night := func() string {
		facts, err := w.run.Do(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(24 * time.Hour)
		return string(facts.Kind) + ": " + strings.Join(facts.Reservations, ", ")
	}
	equal(t, "first night", night(), "reserved: THE REPOSITORY IS DAMAGED: chunk 12 is gone")
	want := "reserved: prune the repository: no right to list, THE REPOSITORY IS DAMAGED: chunk 12 is gone"
	equal(t, "second night", night(), want)
	equal(t, "third night: it is tried again", night(), want)
	w.run.Settings.Repository.Prune, w.run.Settings.Repository.VerifySample = "never", 0
	before := len(f.calls)
	equal(t, "untended", night(), "done: ")
	equal(t, "calls", strings.Join(f.calls[before:], ", "), "save, forget 1")
}

// TestRepositoryHasRoom: the last week says how much a night adds.
func TestRepositoryHasRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Settings) { s.Type = SnapshotType })
	f := &fakeRepository{estimate: Estimate{Used: 1 << 60, Size: 1 << 60}}
	w.run.Backup = f
	if _, err := w.run.Do(t.Context()); err == nil || !strings.Contains(err.Error(), "free") {
		t.Errorf("%v", err)
	}
	w.run.Settings.To = "sftp://nas/pi"
	w.run.Host.Reach = func(context.Context, Settings) error { return nil }
	if _, err := w.run.Do(t.Context()); err != nil { // nobody tells how much a server has
		t.Errorf("%v", err)
	}
}

// TestAddress: a password is in nothing that is told, and what no patience mends
// is not tried again.
func TestAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Settings) {
		s.Type, s.To, s.Wait = SnapshotType, "sftp://pi:geheim@nas/srv?hostkey=SHA256:x", time.Second
	})
	w.run.Backup = &fakeRepository{}
	tries := 0
	w.run.Host.Reach = func(context.Context, Settings) error { tries++; return errors.New("no answer") }
	facts, err := w.run.Do(t.Context())
	if err == nil || tries < 2 || strings.Contains(fmt.Sprint(facts, err), "geheim") || !strings.Contains(facts.To, "sftp://pi:") {
		t.Errorf("%d tries, %+v, %v", tries, facts, err)
	}
	w.run.Host.Reach = func(context.Context, Settings) error { return nil }
	if facts, err = w.run.Do(t.Context()); err != nil || strings.Contains(fmt.Sprint(facts), "geheim") {
		t.Errorf("%+v, %v", facts, err)
	}
	for _, r := range w.inbox.got {
		if strings.Contains(string(r.body), "geheim") {
			t.Errorf("told: %s", r.body)
		}
	}
	equal(t, "below", Below("s3://b/x/?region=eu", "pis"), "s3://b/x/pis?region=eu")
	equal(t, "below", Below("/mnt/nas", "pis"), "/mnt/nas/pis")
	w.run.Settings.Type = "img.gz"
	if _, err := w.run.Do(t.Context()); err == nil || !strings.Contains(err.Error(), "spooled") {
		t.Errorf("an image to an address: %v", err)
	}
}
