package nightly

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"lifeboat/internal/fixture"
)

// TestReminder counts: after six months three times, then six months of rest,
// or six months after a test.
func TestReminder(t *testing.T) {
	t.Parallel()
	var s State
	now := time.Date(2026, 1, 31, 2, 30, 0, 0, time.UTC)
	r := Reminder{Months: 6, Times: 3}
	var reminded []string
	for day := range 800 {
		if day == 600 {
			s.SetTested(now)
		}
		if s.remind(r, now) {
			reminded = append(reminded, now.Format(time.DateOnly))
		}
		now = now.AddDate(0, 0, 1)
	}
	equal(t, "reminded", strings.Join(reminded, " "), "2026-07-31 2026-08-01 2026-08-02 2027-02-02 2027-02-03 2027-02-04 2027-08-04 2027-08-05 2027-08-06 2028-03-23 2028-03-24 2028-03-25")
	if (&State{}).remind(Reminder{}, now) {
		t.Error("reminded although nobody wants it")
	}
}

// TestMetrics has Prometheus' own reader judge.
func TestMetrics(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "/usr/bin/python3")
	s := State{Last: map[string]Last{
		`odd "name\`: {},
		"nightly":    {Time: time.Unix(1795832999, 0), Facts: full(Reserved), Snapshots: 7},
	}}
	file := write(t, filepath.Join(t.TempDir(), "lifeboat.prom"), string(s.Metrics()))
	out := fixture.Run(t, "/usr/bin/python3", "-c", `
import sys
from prometheus_client.parser import text_string_to_metric_families
for family in text_string_to_metric_families(open(sys.argv[1]).read()):
    for sample in family.samples:
        print(family.type, sample.name, sample.labels["schedule"], sample.value)`, file)
	for _, want := range []string{
		"gauge lifeboat_last_run_timestamp_seconds nightly 1795832999.0", "gauge lifeboat_last_success_timestamp_seconds nightly 0.0",
		"gauge lifeboat_last_run_success nightly 1.0", "gauge lifeboat_snapshots nightly 7.0", `gauge lifeboat_snapshots odd "name\ 0.0`,
		"gauge lifeboat_last_snapshot_bytes nightly 5000000000.0",
	} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := ReadState(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.Last["nightly"] = Last{Snapshots: 3}
	if err := s.Write(dir); err != nil {
		t.Fatal(err)
	}
	if s, err = ReadState(dir); err != nil || s.Last["nightly"].Snapshots != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	write(t, filepath.Join(dir, stateName), "{")
	if s, err = ReadState(dir); err == nil || s.Last == nil {
		t.Errorf("broken: %+v, %v", s, err)
	}
}

// TestPacer has memory run short for a while, and then for ever.
func TestPacer(t *testing.T) {
	t.Parallel()
	proc := fstest.MapFS{"meminfo": {Data: []byte("MemTotal: 500000 kB\nMemAvailable:   40000 kB\n")}}
	var log bytes.Buffer
	p := newPacer(proc, 48<<20, func(format string, args ...any) { fmt.Fprintf(&log, format+"\n", args...) })
	now, slept := time.Unix(1e9, 0), 0
	p.clock = func() time.Time { return now }
	p.sleep = func(context.Context, time.Duration) {
		if slept++; slept == 3 {
			proc["meminfo"].Data = []byte("MemAvailable:   90000 kB\n")
		}
	}
	p.Pace(t.Context())
	if slept != 3 {
		t.Errorf("it slept %d times, want 3", slept)
	}
	equal(t, "log", log.String(), "only 39 MiB of memory are available: slower\nmemory is there again\n")
	proc["meminfo"].Data = []byte("MemAvailable:   1 kB\n")
	p.Pace(t.Context()) // looked a moment ago
	if slept != 3 {
		t.Errorf("it looks at memory all the time")
	}
	now = now.Add(time.Second)
	p.Pace(t.Context())
	if want := 3 + int(paceWait/paceLook); slept != want {
		t.Errorf("it slept %d times, want %d: it goes on at last", slept, want)
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for day := range 4 {
		write(t, filepath.Join(dir, fmt.Sprintf("nightly-2026110%dT023000Z.log", day+1)), "")
	}
	write(t, filepath.Join(dir, "weekly-20261101T023000Z.log"), "")
	v := NewVault("")
	v.Hide("hidden-word")
	var out bytes.Buffer
	clock := func() time.Time { return time.Date(2026, 11, 28, 3, 30, 0, 0, time.FixedZone("x", 3600)) }
	log := NewLog(&out, true, clock, v)
	if err := log.Open(dir, "nightly", "info", 3); err != nil {
		t.Fatal(err)
	}
	log.Infof("two\nlines with hidden-word\n")
	log.Errorf("bad")
	log.Debugf("not wanted")
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	equal(t, "journal", out.String(), "<6>two\n<6>lines with ***\n<3>bad\n")
	want := "2026-11-28T03:30:00.000+01:00 info  two\n2026-11-28T03:30:00.000+01:00 info  lines with ***\n2026-11-28T03:30:00.000+01:00 error bad\n"
	equal(t, "file", string(must(os.ReadFile(filepath.Join(dir, "nightly-20261128T023000Z.log")))), want)
	equal(t, "kept", string(log.Text()), want)
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(names) != 4 || !strings.HasSuffix(names[0], "nightly-20261103T023000Z.log") {
		t.Errorf("logs are %q", names)
	}
	again := NewLog(&out, false, clock, v)
	if err := again.Open(dir, "nightly", "debug", 3); err != nil || again.Path() == log.Path() {
		t.Errorf("a second one in the same second: %v, %s", err, again.Path())
	}
	again.Close()
}
