package nightly

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/internal/fixture"
)

// fakeUnits are units in memory; order notes what is done.
type fakeUnits struct {
	running map[string]bool
	fails   map[string]int // "start x": how often
	order   *[]string
}

func (f fakeUnits) Running(_ context.Context, unit string) (bool, error) {
	running, known := f.running[unit]
	if !known {
		return false, fmt.Errorf("service %s: systemd does not know it", unit)
	}
	return running, nil
}

func (f fakeUnits) do(what, unit string, running bool) error {
	*f.order = append(*f.order, what+" "+unit)
	if f.fails[what+" "+unit] > 0 {
		f.fails[what+" "+unit]--
		return errors.New(what + " " + unit + " failed")
	}
	f.running[unit] = running
	return nil
}

func (f fakeUnits) Stop(_ context.Context, unit string) error  { return f.do("stop", unit, false) }
func (f fakeUnits) Start(_ context.Context, unit string) error { return f.do("start", unit, true) }
func (f fakeUnits) Close()                                     {}

func newStopper(t *testing.T, order *[]string, fails map[string]int) (*stopper, string) {
	dir := t.TempDir()
	r := record{Schedule: "nightly"}
	return &stopper{
		units: fakeUnits{map[string]bool{"db.service": true, "web.service": true, "off.service": false}, fails, order},
		run: func(_ context.Context, _ []string, _ string, args ...string) (string, error) {
			*order = append(*order, args[1])
			return "", nil
		},
		patience: time.Minute, logf: t.Logf,
		services: []string{"web.service", "off.service", "db.service"}, stop: []string{"pause"}, start: []string{"resume"},
		record: func(units, commands []string) error {
			r.Units, r.Commands = units, commands
			return r.write(dir)
		},
	}, dir
}

func left(t *testing.T, dir string) string {
	t.Helper()
	r, err := readRecord(dir)
	if err != nil || r == nil {
		t.Fatalf("record: %v, %v", r, err)
	}
	return fmt.Sprint(r.Units, r.Commands)
}

// TestStopper holds the order, and that the record is ahead of what is done.
func TestStopper(t *testing.T) {
	t.Parallel()
	var order []string
	s, dir := newStopper(t, &order, nil)
	if err := s.check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.down(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, "record", left(t, dir), "[web.service db.service] [resume]")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.up(ctx); err != nil { // a run that was ended starts them all the same
		t.Fatal(err)
	}
	equal(t, "order", strings.Join(order, ", "), "pause, stop web.service, stop db.service, start db.service, start web.service, resume")
	equal(t, "record", left(t, dir), "[] []")
}

func TestStopperFails(t *testing.T) {
	t.Parallel()
	var order []string
	s, dir := newStopper(t, &order, map[string]int{"stop db.service": 1, "start db.service": 1, "start web.service": 2})
	if err := s.down(t.Context()); err == nil {
		t.Error("a service that does not stop is no error")
	}
	err := s.up(t.Context())
	if err == nil || strings.Contains(err.Error(), "db.service") || !strings.Contains(err.Error(), "web.service") {
		t.Errorf("started again: %v; db.service came at the second try, web.service never", err)
	}
	equal(t, "last", order[len(order)-1], "resume") // the others are started nevertheless
	equal(t, "record", left(t, dir), "[web.service db.service] [resume]")
	s.services = []string{"none.service"}
	if err := s.check(t.Context()); err == nil {
		t.Error("a service that is not there is not noticed")
	}
}

// TestRecover undoes what a run left that died, once, and not while it lives.
func TestRecover(t *testing.T) {
	t.Parallel()
	var order, told []string
	s, dir := newStopper(t, &order, nil)
	l, err := takeLock(t.Context(), dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.down(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := Rescuer{
		Dir: dir, Units: func(context.Context) (Units, error) { return s.units, nil }, Run: s.run, Patience: time.Minute, Logf: t.Logf,
		Tell: func(_ context.Context, schedule, _ string) error { told = append(told, schedule); return nil },
	}
	if left, err := r.Recover(t.Context(), 0); left || err != nil {
		t.Errorf("recovered from a run that lives: %v, %v", left, err)
	}
	if _, err := takeLock(t.Context(), dir, 10*time.Millisecond); !errors.Is(err, errLocked) || !strings.Contains(err.Error(), "schedule nightly") {
		t.Errorf("a second run: %v", err)
	}
	if err := l.release(); err != nil { // as its death would
		t.Fatal(err)
	}
	order = nil
	for _, want := range []bool{true, false} {
		if left, err := r.Recover(t.Context(), 0); left != want || err != nil {
			t.Errorf("recovered: %v, %v, want %v", left, err, want)
		}
	}
	equal(t, "order", strings.Join(order, ", "), "start db.service, start web.service, resume")
	equal(t, "told", strings.Join(told, " "), "nightly")
	if _, err := os.Stat(filepath.Join(dir, recordName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the record is still there: %v", err)
	}
}

func newHooks(t *testing.T, log *strings.Builder) hooks {
	return hooks{run: Exec, patience: 2 * time.Second, state: t.TempDir(), logf: func(format string, args ...any) { fmt.Fprintf(log, format+"\n", args...) }}
}

func TestHooks(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	h := newHooks(t, &log)
	f := full(Done)
	for _, pair := range f.environ() {
		name, _, _ := strings.Cut(pair, "=")
		if err := h.call(t.Context(), "after", []string{"test -n \"${" + name + "+x}\""}, f); err != nil {
			t.Errorf("%s is not there: %v", name, err)
		}
	}
	if err := h.call(t.Context(), "ready", []string{`echo "$LIFEBOAT_STAGE $LIFEBOAT_SCHEDULE $LIFEBOAT_SIZE"`}, f); err != nil || !strings.Contains(log.String(), "\n  ready nightly 5000000000\n") {
		t.Errorf("%v\n%s", err, &log)
	}
	err := h.call(t.Context(), "before", []string{"echo I am against it; exit 3", "touch " + h.state + "/second"}, f)
	if err == nil || !strings.Contains(err.Error(), "I am against it") {
		t.Errorf("a hook that fails: %v", err)
	}
	if _, err := os.Stat(h.state + "/second"); err == nil {
		t.Error("the hook behind it ran")
	}
	h.patience = 100 * time.Millisecond
	start := time.Now()
	if err := h.call(t.Context(), "before", []string{"sleep 600 & sleep 600"}, f); err == nil || !strings.Contains(err.Error(), "did not end") || time.Since(start) > time.Minute {
		t.Errorf("a hook that hangs: %v after %s", err, time.Since(start))
	}
}

// TestSamples runs the sample hooks as a run does, twice, and has them checked.
func TestSamples(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "shellcheck", "dash")
	dir := t.TempDir()
	paths, err := WriteSamples(dir)
	if err != nil || len(paths) != 3 {
		t.Fatalf("%q, %v", paths, err)
	}
	if again, err := WriteSamples(dir); err != nil || len(again) != 3 {
		t.Errorf("again: %q, %v", again, err)
	}
	sensor := write(t, filepath.Join(dir, "temp"), "48250\n")
	for _, path := range paths {
		fixture.Run(t, "shellcheck", path)
		var log strings.Builder
		h := newHooks(t, &log)
		h.patience = time.Minute
		f := Facts{Folder: dir}
		for _, stage := range []string{"before", "after"} {
			if err := h.call(t.Context(), stage, []string{"THERMAL_ZONE=" + sensor + " dash " + path}, f); err != nil {
				t.Error(err)
			}
		}
		want := map[string]string{"cpu-temperature": "48.2 °C before, 48.2 °C after", "memory": "MiB available before, ", "disk-use": "MiB more than before"}[filepath.Base(path)]
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s says\n%s", path, &log)
		}
	}
}
