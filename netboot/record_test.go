package netboot_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lifeboat/netboot"
)

func hex16(id uint64) string { return fmt.Sprintf("%016x", id) }

func TestRecord(t *testing.T) {
	t.Parallel()
	when := time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC)
	one, err := netboot.Record(nil, netboot.Done{ID: "one", Date: when, Source: "http://s/a \"b\".img", Digest: digest})
	if err != nil {
		t.Fatal(err)
	}
	two, err := netboot.Record(one, netboot.Done{ID: "two", Date: when})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"one", "two"} {
		j := netboot.Job{ID: id}
		if d, ok := j.DoneIn(two); !ok || !d.Date.Equal(when) || id == "one" && (d.Digest != digest || d.Source != "http://s/a \"b\".img") {
			t.Errorf("%s: got %+v, %v", id, d, ok)
		}
	}
	if _, ok := (&netboot.Job{ID: "three"}).DoneIn(two); ok {
		t.Error("a job that was never done is recorded")
	}
	fresh, err := netboot.Record([]byte("\xff not a record"), netboot.Done{ID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := (&netboot.Job{ID: "x"}).DoneIn(fresh); !ok {
		t.Error("a damaged record was not begun anew")
	}
	for i := range 100 {
		if fresh, err = netboot.Record(fresh, netboot.Done{ID: fmt.Sprint(i), Date: when}); err != nil {
			t.Fatal(err)
		}
	}
	if done, err := netboot.ReadRecord(fresh); err != nil || len(done) != 32 || done[31].ID != "99" {
		t.Errorf("after 100 jobs: %d, %v", len(done), err)
	}
}

func FuzzReadRecord(f *testing.F) {
	f.Add([]byte("[[done]]\nid = \"a\"\ndate = 2026-11-24T17:00:00Z\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		done, err := netboot.ReadRecord(data)
		if err != nil || len(done) == 0 {
			return
		}
		again, err := netboot.Record(data, netboot.Done{ID: "new"})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := (&netboot.Job{ID: "new"}).DoneIn(again); !ok && len(again) <= 64<<10 {
			t.Errorf("the new job is missing in %q", again)
		}
	})
}

func TestClock(t *testing.T) {
	t.Parallel()
	date := time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC)
	header := date.Format(http.TimeFormat)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/none" {
			w.Header()["Date"] = nil
			return
		}
		w.Header().Set("Date", header)
	}))
	defer s.Close()
	for _, c := range []struct {
		name, path string
		now, built time.Time
		step       time.Duration
		err        string
	}{
		{"no battery", "/", time.Unix(0, 0), date.AddDate(0, -1, 0), date.Sub(time.Unix(0, 0)), ""},
		{"right", "/", date.Add(time.Second), time.Time{}, 0, ""},
		{"ahead", "/", date.Add(time.Hour), time.Time{}, -time.Hour, ""},
		{"a date before this program", "/", date, date.Add(time.Hour), 0, "when this program was built"},
		{"no date", "/none", date, time.Time{}, 0, "header Date"},
	} {
		var set time.Time
		clock := netboot.Clock{Built: c.built, Now: func() time.Time { return c.now }, Set: func(to time.Time) error { set = to; return nil }}
		step, err := clock.SetFrom(t.Context(), s.URL+c.path)
		if step != c.step || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %v, %v", c.name, step, err)
		}
		if want := c.step != 0; want != !set.IsZero() || want && !set.Equal(date) {
			t.Errorf("%s: set to %v", c.name, set)
		}
	}
}
