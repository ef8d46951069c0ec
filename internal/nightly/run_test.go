package nightly

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/internal/speech"
)

// A fakeBackup writes a small file, in a folder of its own.
type fakeBackup struct {
	Folder
	estimate Estimate
	err      error
	save     func(ctx context.Context, r Request) (Saved, error)
}

func (b *fakeBackup) Estimate(context.Context, Settings, string) (Estimate, error) {
	return b.estimate, nil
}

func (b *fakeBackup) Open(_ context.Context, h Host, s Settings, place string, _ bool) (Shelf, error) {
	b.Path = Below(place, h.SeriesName(s))
	return b, nil
}

func (b *fakeBackup) Close() error { return nil }

func (b *fakeBackup) Save(ctx context.Context, r Request) (Saved, error) {
	if b.save != nil {
		return b.save(ctx, r)
	}
	if b.err != nil {
		return Saved{}, b.err
	}
	name := FileName(r.Schedule, r.Settings.Type, r.Pinned, r.Time)
	err := errors.Join(os.MkdirAll(b.Path, 0o755), os.WriteFile(filepath.Join(b.Path, name), []byte("snapshot"), 0o600))
	return Saved{Name: name, Size: 8, Added: 8, FrozenMS: 42}, err
}

// A world is what a run is made in.
type world struct {
	run   *Run
	inbox *inbox
	order []string
	now   time.Time
	to    string
}

func newWorld(t *testing.T, change func(s *Settings)) *world {
	t.Helper()
	w := &world{inbox: newInbox(t), now: time.Date(2026, 11, 28, 2, 30, 0, 0, time.UTC), to: t.TempDir()}
	s := Defaults()
	s.To, s.Type, s.Wait, s.LogFolder, s.Keep = w.to, "img.zst", 0, "", Policy{Last: 2}
	s.LockWait = time.Minute // a program that another test starts has the lock until its exec
	s.Notify.On, s.Notify.Webhook.URL = "start", w.inbox.URL+"/hook"
	s.Metrics = filepath.Join(t.TempDir(), "lifeboat.prom")
	if change != nil {
		change(&s)
	}
	v := NewVault("")
	log := NewLog(io.Discard, false, time.Now, v)
	crier, err := NewCrier(s.Notify, http.DefaultClient, v, "pi", log.Infof)
	if err != nil {
		t.Fatal(err)
	}
	units := fakeUnits{map[string]bool{"db.service": true}, map[string]int{}, &w.order}
	host := Host{
		RunDir: t.TempDir(), StateDir: t.TempDir(), Fstab: "/dev/null", Proc: os.DirFS("/proc"), Name: "pi", MachineID: "0123456789abcdef",
		Zone: time.UTC, Clock: func() time.Time { return w.now }, Run: Exec, Have: func(string) bool { return true },
		Units:  func(context.Context) (Units, error) { return units, nil },
		Pauses: []time.Duration{time.Millisecond},
	}
	w.run = &Run{
		Host: host, Schedule: "nightly", Settings: s, Backup: &fakeBackup{}, Crier: crier, Log: log, Language: speech.English,
		Rescuer: Rescuer{Dir: host.RunDir, Units: host.Units, Run: Exec, Patience: time.Minute, Logf: log.Infof,
			Tell: func(context.Context, string, string) error { w.order = append(w.order, "told"); return nil }},
	}
	return w
}

func (w *world) files(t *testing.T) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(w.to, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range paths {
		rel, _ := filepath.Rel(w.to, p)
		names = append(names, rel)
	}
	return strings.Join(names, " ")
}

// told are the titles of the notices.
func (w *world) told() string {
	var kinds []string
	for _, r := range w.inbox.got {
		_, rest, _ := strings.Cut(string(r.body), `"kind":"`)
		kind, _, _ := strings.Cut(rest, `"`)
		kinds = append(kinds, kind)
	}
	return strings.Join(kinds, " ")
}

// TestRun makes runs on four nights: of three unnamed snapshots two stay, the
// named one for ever.
func TestRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Settings) {
		s.Before, s.After = []string{`echo "$LIFEBOAT_STAGE" >>"$LIFEBOAT_STATE/../order"`}, []string{`echo "$LIFEBOAT_STAGE $LIFEBOAT_KIND $LIFEBOAT_FILE" >>"$LIFEBOAT_STATE/../order"`}
		s.Ready = []string{`test -d "$LIFEBOAT_FOLDER" && echo "$LIFEBOAT_STAGE" >>"$LIFEBOAT_STATE/../order"`}
	})
	for night := range 4 {
		w.run.Pinned = ""
		if night == 0 {
			w.run.Pinned = "Before upgrade"
		}
		facts, err := w.run.Do(t.Context())
		if err != nil || len(facts.Reservations) > 0 || facts.Kind != Done || facts.FrozenMS != 42 || facts.Size != 8 {
			t.Fatalf("night %d: %+v, %v", night, facts, err)
		}
		w.now = w.now.AddDate(0, 0, 1)
	}
	equal(t, "files", w.files(t), "pi-01234567/nightly-20261128T023000Z-Before_upgrade.img.zst pi-01234567/nightly-20261130T023000Z.img.zst pi-01234567/nightly-20261201T023000Z.img.zst")
	equal(t, "told", w.told(), strings.TrimSpace(strings.Repeat("started done ", 4)))
	order := string(must(os.ReadFile(filepath.Join(w.run.Host.RunDir, "order"))))
	equal(t, "hooks", order[:strings.Index(order, "\nafter")], "before\nready")
	if !strings.Contains(order, "after done nightly-20261128T023000Z-Before_upgrade.img.zst\n") {
		t.Errorf("hooks: %s", order)
	}
	metrics := string(must(os.ReadFile(w.run.Settings.Metrics)))
	for _, want := range []string{`lifeboat_snapshots{schedule="nightly",type="img.zst"} 3`, `lifeboat_last_run_success{schedule="nightly",type="img.zst"} 1`, `lifeboat_last_run_frozen_seconds{schedule="nightly",type="img.zst"} 0.042`} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
	if rec, err := readRecord(w.run.Host.RunDir); rec != nil || err != nil {
		t.Errorf("a record is left: %+v, %v", rec, err)
	}
}

// TestRunFails fails at each step: nothing is removed, somebody is told, and the
// services run.
func TestRunFails(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		change func(s *Settings)
		backup *fakeBackup
		want   string
	}{
		"hook before": {func(s *Settings) { s.Before = []string{"exit 4"} }, nil, "hook before"},
		"hook ready":  {func(s *Settings) { s.Ready = []string{"exit 4"} }, nil, "hook ready"},
		"destination": {func(s *Settings) { s.To += "/none" }, nil, "no such file"},
		"no service":  {func(s *Settings) { s.Services = []string{"x.service"} }, nil, "systemd does not know it"},
		"no room":     {nil, &fakeBackup{estimate: Estimate{Used: 1 << 60, Size: 1 << 60}}, "free"},
		"backup":      {nil, &fakeBackup{err: errors.New("it broke")}, "it broke"},
		"within freeze": {func(s *Settings) { s.Services = []string{"db.service"} }, &fakeBackup{save: func(ctx context.Context, r Request) (Saved, error) {
			defer r.AfterThaw()
			return Saved{}, errors.Join(r.BeforeFreeze(ctx), errors.New("it broke frozen"))
		}}, "it broke frozen"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, test.change)
			if test.backup != nil {
				w.run.Backup = test.backup
			}
			old := write(t, filepath.Join(w.to, "pi-01234567", "nightly-20200101T000000Z.img.zst"), "x")
			for _, day := range []string{"02", "03"} {
				write(t, strings.Replace(old, "20200101", "202001"+day, 1), "x")
			}
			facts, err := w.run.Do(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) || facts.Kind != Failed {
				t.Errorf("%+v, %v", facts, err)
			}
			if _, err := os.Stat(old); err != nil {
				t.Error("an old snapshot was removed although there is no new one")
			}
			equal(t, "told", w.told(), "started failed")
			if what == "within freeze" {
				equal(t, "order", strings.Join(w.order, ", "), "stop db.service, start db.service")
			}
		})
	}
}

// TestRunAfterOneThatDied finds its record.
func TestRunAfterOneThatDied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	r := record{Schedule: "weekly", Units: []string{"db.service"}}
	if err := r.write(w.run.Host.RunDir); err != nil {
		t.Fatal(err)
	}
	if _, err := w.run.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, "order", strings.Join(w.order, ", "), "start db.service, told")
}

// TestRunReserved: what does not keep the snapshot from being made is told.
func TestRunReserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Settings) { s.Notify.On, s.After = "errors", []string{"exit 9"} })
	w.run.Backup = &fakeBackup{save: func(context.Context, Request) (Saved, error) {
		return Saved{Reservations: []string{"a FAT part moved"}}, nil
	}}
	facts, err := w.run.Do(t.Context())
	if err != nil || len(facts.Reservations) != 2 || facts.Kind != Reserved {
		t.Errorf("%+v, %v", facts, err)
	}
	equal(t, "told", w.told(), "reserved")
}

// TestDryRun checks all, tells, and changes nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Settings) { s.Before, s.Services = []string{"exit 1"}, []string{"db.service"} })
	w.run.DryRun = true
	for _, day := range []string{"01", "02", "03"} {
		write(t, filepath.Join(w.to, "pi-01234567", "nightly-202011"+day+"T000000Z.img.zst"), "x")
	}
	before := w.files(t)
	facts, err := w.run.Do(t.Context())
	if err != nil || !facts.DryRun {
		t.Fatalf("%+v, %v", facts, err)
	}
	equal(t, "files", w.files(t), before)
	equal(t, "told", w.told(), "test")
	if len(w.order) > 0 || len(w.run.Listed()) != 3 || w.run.Listed()[2].Keep {
		t.Errorf("%q, %+v", w.order, w.run.Listed())
	}
	if left, _ := os.ReadDir(w.run.Host.StateDir); len(left) > 0 {
		t.Errorf("it wrote %v", left)
	}
	w.run.Settings.Services = []string{"none.service"}
	if _, err := w.run.Do(t.Context()); err == nil {
		t.Error("a service that is not there passed the checks")
	}
}
