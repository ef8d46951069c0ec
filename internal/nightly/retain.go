package nightly

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Snapshot is a backup as retention sees it.
type Snapshot struct {
	Name     string // unique where it lies
	Label    string // as people name it; "" is Name
	Schedule string
	Type     string
	Time     time.Time
	Pinned   string // the name that a person gave it; it never expires
	Size     int64  // bytes that it added; -1 is unknown
}

// Called is how people name the snapshot.
func (s Snapshot) Called() string { return cmp.Or(s.Label, s.Name) }

// A Policy says how many snapshots stay, by each rule: 0 is none, below 0 all.
// No rule at all means that all stay.
type Policy struct{ Last, Daily, Weekly, Monthly, Yearly int }

// A Verdict says whether a snapshot stays, and why.
type Verdict struct {
	Snapshot
	Keep bool
	Why  string
}

// future is how far ahead of now a snapshot must be for its clock to have been
// wrong.
const future = 24 * time.Hour

// FromFuture tells whether a snapshot's clock was wrong.
func FromFuture(t, now time.Time) bool { return t.After(now.Add(future)) }

// Retain judges snapshots, newest first. Each schedule's snapshots of each type
// are judged by themselves; days begin at midnight in zone.
func Retain(all []Snapshot, p Policy, now time.Time, zone *time.Location) []Verdict {
	groups := map[[2]string][]Snapshot{}
	for _, s := range all {
		k := [2]string{s.Schedule, s.Type}
		groups[k] = append(groups[k], s)
	}
	var verdicts []Verdict
	for _, group := range groups {
		verdicts = append(verdicts, p.judge(group, now, zone)...)
	}
	slices.SortFunc(verdicts, func(a, b Verdict) int { return newestFirst(a.Snapshot, b.Snapshot) })
	return verdicts
}

func newestFirst(a, b Snapshot) int {
	return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Name, b.Name))
}

// judge judges one series.
func (p Policy) judge(series []Snapshot, now time.Time, zone *time.Location) []Verdict {
	slices.SortFunc(series, newestFirst)
	reasons := map[string][]string{} // by name
	var counted []Snapshot
	for _, s := range series {
		switch {
		case s.Pinned != "":
			reasons[s.Name] = append(reasons[s.Name], fmt.Sprintf("named %q", s.Pinned))
		case FromFuture(s.Time, now):
			reasons[s.Name] = append(reasons[s.Name], "from the future: a clock was wrong")
		default:
			counted = append(counted, s)
		}
	}
	if p == (Policy{}) {
		p.Last = -1
	}
	for _, r := range p.rules() {
		for i, s := range r.pick(counted, zone) {
			reasons[s.Name] = append(reasons[s.Name], fmt.Sprintf("%s %d", r.word, i+1))
		}
	}
	if len(counted) > 0 && len(reasons[counted[0].Name]) == 0 {
		reasons[counted[0].Name] = []string{"the newest"}
	}
	var verdicts []Verdict
	for _, s := range series {
		why := strings.Join(reasons[s.Name], ", ")
		v := Verdict{Snapshot: s, Keep: why != "", Why: why}
		if !v.Keep {
			v.Why = "no rule keeps it"
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// A rule keeps one snapshot of each of the last n periods that have one.
type rule struct {
	word   string
	n      int
	period func(t time.Time) string // "" for each snapshot its own
	oldest bool                     // of a period; else the newest
}

func (p Policy) rules() []rule {
	return []rule{
		{"last", p.Last, nil, false},
		{"day", p.Daily, func(t time.Time) string { return t.Format(time.DateOnly) }, false},
		{"week", p.Weekly, func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprint(y, "-", w) }, true},
		{"month", p.Monthly, func(t time.Time) string { return t.Format("2006-01") }, true},
		{"year", p.Yearly, func(t time.Time) string { return t.Format("2006") }, true},
	}
}

// pick returns what the rule keeps of snapshots that are sorted, newest first.
func (r rule) pick(sorted []Snapshot, zone *time.Location) []Snapshot {
	var kept []Snapshot
	last := ""
	for i, s := range sorted {
		period := fmt.Sprint(i)
		if r.period != nil {
			period = r.period(s.Time.In(zone))
		}
		if i > 0 && period == last {
			if r.oldest {
				kept[len(kept)-1] = s
			}
			continue
		}
		if r.n >= 0 && len(kept) == r.n {
			break
		}
		last = period
		kept = append(kept, s)
	}
	return kept
}
