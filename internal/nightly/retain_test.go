package nightly

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func at(t *testing.T, text string, zone *time.Location) time.Time {
	t.Helper()
	when, err := time.ParseInLocation("2006-01-02 15:04", text, zone)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

// kept are the days and hours of what stays.
func kept(verdicts []Verdict, zone *time.Location) string {
	var days []string
	for _, v := range verdicts {
		if v.Keep {
			days = append(days, v.Time.In(zone).Format("0102.15"))
		}
	}
	slices.Sort(days)
	return strings.Join(days, " ")
}

func TestRetain(t *testing.T) {
	t.Parallel()
	zone := berlin(t)
	for _, test := range []struct {
		what   string
		times  []string
		policy Policy
		want   string
	}{
		{"no rule keeps all", []string{"2026-11-01 02:00", "2026-11-02 02:00"}, Policy{}, "1101.02 1102.02"},
		{"the last two", []string{"2026-11-01 02:00", "2026-11-03 02:00", "2026-11-02 02:00"}, Policy{Last: 2}, "1102.02 1103.02"},
		{"all of them", []string{"2026-11-01 02:00", "2026-11-03 02:00"}, Policy{Last: -1, Daily: 1}, "1101.02 1103.02"},
		{"the newest of a day", []string{"2026-11-01 02:00", "2026-11-01 22:00", "2026-11-02 02:00"}, Policy{Daily: 2}, "1101.22 1102.02"},
		{"days without one do not count", []string{"2026-11-01 02:00", "2026-11-05 02:00", "2026-11-20 02:00"}, Policy{Daily: 2}, "1105.02 1120.02"},
		// 2026-11-02 is a Monday.
		{"the oldest of a week", []string{"2026-10-31 02:00", "2026-11-01 02:00", "2026-11-02 02:00", "2026-11-08 23:00", "2026-11-09 00:30"}, Policy{Weekly: 2}, "1102.02 1109.00"},
		{"a week across two years", []string{"2026-12-28 02:00", "2026-12-31 02:00", "2027-01-01 02:00"}, Policy{Weekly: 1}, "0101.02 1228.02"}, // and the newest
		{"the oldest of a month", []string{"2026-09-30 02:00", "2026-10-01 02:00", "2026-10-31 02:00", "2026-11-01 02:00"}, Policy{Monthly: 2}, "1001.02 1101.02"},
		{"the union", []string{"2026-10-01 02:00", "2026-10-02 02:00", "2026-11-07 02:00", "2026-11-08 02:00"}, Policy{Daily: 1, Monthly: 2}, "1001.02 1107.02 1108.02"},
		// On 2026-03-29 in Berlin 02:00 becomes 03:00; on 2026-10-25 03:00 becomes 02:00.
		{"a day of 23 hours", []string{"2026-03-28 23:30", "2026-03-29 00:30", "2026-03-29 23:30", "2026-03-30 00:30"}, Policy{Daily: 3}, "0328.23 0329.23 0330.00"},
		{"a day of 25 hours", []string{"2026-10-24 23:30", "2026-10-25 00:30", "2026-10-25 23:30", "2026-10-26 00:30"}, Policy{Daily: 3}, "1024.23 1025.23 1026.00"},
	} {
		var all []Snapshot
		for _, text := range test.times {
			all = append(all, Snapshot{Name: text, Time: at(t, text, zone)})
		}
		now := at(t, "2027-01-02 00:00", zone)
		if got := kept(Retain(all, test.policy, now, zone), zone); got != test.want {
			t.Errorf("%s: kept %s, want %s", test.what, got, test.want)
		}
	}
}

// TestRetainZones holds that a day is one of the Pi's zone: the same three
// instants are one day in Kiritimati (UTC+14) and two in Berlin.
func TestRetainZones(t *testing.T) {
	t.Parallel()
	var all []Snapshot
	for _, hour := range []int{11, 20, 23} {
		all = append(all, Snapshot{Name: fmt.Sprint(hour), Time: time.Date(2026, 6, 1, hour, 0, 0, 0, time.UTC)})
	}
	far, err := time.LoadLocation("Pacific/Kiritimati")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 6, 3, 0, 0, 0, 0, time.UTC)
	for zone, want := range map[*time.Location]int{far: 1, berlin(t): 2} {
		n := 0
		for _, v := range Retain(all, Policy{Daily: 7}, now, zone) {
			if v.Keep {
				n++
			}
		}
		if n != want {
			t.Errorf("%s: %d stay, want %d", zone, n, want)
		}
	}
}

func TestRetainNever(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	day := func(n int) time.Time { return now.AddDate(0, 0, -n) }
	all := []Snapshot{
		{Name: "new", Type: "img.zst", Time: day(1)},
		{Name: "named", Type: "img.zst", Time: day(900), Pinned: "Before upgrade"},
		{Name: "old", Type: "img.zst", Time: day(2)},
		{Name: "other type", Type: "img.gz", Time: day(400)},
		{Name: "other schedule", Schedule: "weekly", Type: "img.zst", Time: day(400)},
		{Name: "future", Type: "img.zst", Time: day(-4000)},
		{Name: "tomorrow", Type: "img.gz", Time: now.Add(time.Hour)},
	}
	got := map[string]string{}
	for _, v := range Retain(all, Policy{Last: 1}, now, time.UTC) {
		got[v.Name] = fmt.Sprint(v.Keep, " ", v.Why)
	}
	for name, want := range map[string]string{
		"new":            "true last 1",
		"named":          `true named "Before upgrade"`,
		"old":            "false no rule keeps it",
		"other type":     "false no rule keeps it",
		"other schedule": "true last 1",
		"future":         "true from the future: a clock was wrong",
		"tomorrow":       "true last 1",
	} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
	if v := Retain(all[:1], Policy{Weekly: 0, Yearly: 0, Daily: 0, Monthly: 0, Last: 0}, now, time.UTC); !v[0].Keep {
		t.Error("the only snapshot would go")
	}
}

// TestRetainEveryNight runs the policy after each of 1,200 nights. What stays
// is the same as if it were run once at the end: no night takes away what a
// later one would have kept.
func TestRetainEveryNight(t *testing.T) {
	t.Parallel()
	zone := berlin(t)
	random := rand.New(rand.NewPCG(1, 2))
	for _, p := range []Policy{{7, 0, 0, 0, 0}, {0, 7, 4, 12, 1}, {3, 7, 4, 12, 3}, {0, 0, 5, 0, -1}, {0, 0, 0, 3, 0}} {
		start := at(t, "2024-01-10 02:30", zone)
		var all, left []Snapshot
		for n := range 1200 {
			if random.IntN(10) == 0 {
				continue // switched off
			}
			now := start.AddDate(0, 0, n).Add(time.Duration(random.IntN(900)) * time.Second)
			s := Snapshot{Name: fmt.Sprint(n), Time: now}
			all, left = append(all, s), append(left, s)
			var next []Snapshot
			for _, v := range Retain(left, p, now, zone) {
				if v.Keep {
					next = append(next, v.Snapshot)
				}
			}
			left = next
		}
		now := start.AddDate(0, 0, 1200)
		once := kept(Retain(all, p, now, zone), zone)
		nightly := kept(Retain(left, Policy{Last: -1}, now, zone), zone)
		if once != nightly {
			t.Errorf("%+v: night by night %s\nat once %s", p, nightly, once)
		}
	}
}
