package repo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNoSnapshot is what Find gives where nothing fits.
var ErrNoSnapshot = errors.New("no snapshot is called so")

// An AmbiguousError is a name that fits snapshots of several series.
type AmbiguousError struct {
	Name    string
	Choices []string // names that are not
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%q fits snapshots of %d systems: say %s", e.Name, len(e.Choices), strings.Join(e.Choices, " or "))
}

// Latest is the name of the newest snapshot.
const Latest = "latest"

// Find finds a snapshot by a name as in REPO@NAME: docs/REPOSITORY.md, section
// 4. Of several that fit, in one series, it is the newest. Snapshots that cannot
// be used are passed over, unless nothing else fits.
func (r *Repo) Find(ctx context.Context, name string) (*Snapshot, error) {
	all, bad := r.Snapshots(ctx, "")
	if all == nil && bad != nil {
		return nil, bad
	}
	found, err := Choose(all, name)
	if errors.Is(err, ErrNoSnapshot) && bad != nil {
		return nil, errors.Join(err, bad)
	}
	return found, err
}

// Choose is Find among snapshots that are sorted by time.
func Choose(all []*Snapshot, name string) (*Snapshot, error) {
	fit := Match(all, name)
	if len(fit) == 0 {
		return nil, fmt.Errorf("%q: %w", name, ErrNoSnapshot)
	}
	last := fit[len(fit)-1]
	if slices.ContainsFunc(fit, func(s *Snapshot) bool { return s.Series != last.Series }) {
		return nil, &AmbiguousError{name, choices(all, fit, name)}
	}
	return last, nil
}

// Match is all snapshots that a name fits, in their order. What a person has called
// so goes before what was made at a time that reads like it: else the one that is
// listed by that name could not be had, and another one would be forgotten for it.
func Match(all []*Snapshot, name string) []*Snapshot {
	of, what, found := strings.Cut(name, "/")
	if !found {
		of, what = "", name
	}
	var fit []*Snapshot
	for _, s := range all {
		mine := of == s.host() || of == s.Series
		if of == "" { // of a system that lies on two disks it is the one with the root
			mine = !s.OfBoot() || what == s.ID
		}
		if mine && s.called(what) {
			fit = append(fit, s)
		}
	}
	named := map[string]bool{} // series
	for _, s := range fit {
		named[s.Series] = named[s.Series] || s.Name == what
	}
	return slices.DeleteFunc(fit, func(s *Snapshot) bool { return what != Latest && named[s.Series] && s.Name != what })
}

// called tells whether the last part of a name fits.
func (s *Snapshot) called(name string) bool {
	switch {
	case name == Latest:
		return true
	case name == "":
		return false
	case s.Name == name, strings.HasPrefix(s.ID, name) && len(name) >= len("20060102"):
		return true
	}
	return len(name) >= len("2006-01-02") && strings.HasPrefix(s.Time.Format(labelTime), name)
}

// choices are names, one for each series, that are not ambiguous: by the host's
// name where that is enough.
func choices(all, fit []*Snapshot, name string) []string {
	what := name[strings.IndexByte(name, '/')+1:]
	hosts := map[string]map[string]bool{} // to their series
	for _, s := range all {
		if hosts[s.host()] == nil {
			hosts[s.host()] = map[string]bool{}
		}
		hosts[s.host()][s.Series] = true
	}
	var names []string
	for _, s := range fit {
		of := s.Series
		if s.host() != "" && len(hosts[s.host()]) == 1 {
			of = s.host()
		}
		if n := of + "/" + what; !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}
