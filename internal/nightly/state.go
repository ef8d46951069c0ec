package nightly

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"lifeboat/internal/atomicfile"
)

// A State is what runs leave for the next: it can be lost without harm.
type State struct {
	Since    time.Time       `json:"since"`    // first run, or when the last round of reminders ended
	Tested   time.Time       `json:"tested"`   // when a person said that a restore was tried
	Reminded int             `json:"reminded"` // how often since
	Last     map[string]Last `json:"last"`     // by schedule
	// Pruned is when the repository of a destination was pruned last; there is a
	// time for each that a run has written to.
	Pruned map[string]time.Time `json:"pruned"`
}

// Last is what came of a schedule's last run.
type Last struct {
	Time      time.Time `json:"time"`
	Success   time.Time `json:"success"` // of the last that made a snapshot
	Facts     Facts     `json:"facts"`
	Snapshots int       `json:"snapshots"`
}

const stateName = "state.json"

// ReadState reads the state of a folder; what cannot be read is begun anew.
func ReadState(dir string) (State, error) {
	fresh := State{Last: map[string]Last{}, Pruned: map[string]time.Time{}}
	s := fresh
	b, err := os.ReadFile(filepath.Join(dir, stateName))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return fresh, fmt.Errorf("%s: %w", filepath.Join(dir, stateName), err)
	}
	if s.Last == nil {
		s.Last = fresh.Last
	}
	if s.Pruned == nil {
		s.Pruned = fresh.Pruned
	}
	return s, nil
}

// repositoryKey names the destination of s in a state.
func (s Settings) repositoryKey() string { return Below(shownTo(s), s.Folder) }

// Write writes the state.
func (s State) Write(dir string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, stateName), b, 0o600)
}

// remind tells whether it is time to say that a restore should be tried, and
// counts it. When it was said often enough, the months begin anew.
func (s *State) remind(r Reminder, now time.Time) bool {
	if s.Since.IsZero() || s.Since.After(now) { // a clock was wrong
		s.Since = now
	}
	from := s.Since
	if s.Tested.After(from) && !s.Tested.After(now) {
		from = s.Tested
	}
	if r.Months <= 0 || r.Times <= 0 || now.Before(from.AddDate(0, r.Months, 0)) {
		return false
	}
	if s.Reminded++; s.Reminded >= r.Times {
		s.Since, s.Reminded = now, 0
	}
	return true
}

// SetTested notes that a restore was tried.
func (s *State) SetTested(now time.Time) { s.Tested, s.Reminded = now, 0 }

// Metrics are the state in Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats).
func (s State) Metrics() []byte {
	var out bytes.Buffer
	gauge := func(name, help string, of func(l Last) float64) {
		fmt.Fprintf(&out, "# HELP lifeboat_%s %s\n# TYPE lifeboat_%s gauge\n", name, help, name)
		for _, schedule := range slices.Sorted(maps.Keys(s.Last)) {
			l := s.Last[schedule]
			fmt.Fprintf(&out, "lifeboat_%s{schedule=%s,type=%s} %v\n", name, label(schedule), label(l.Facts.Type), of(l))
		}
	}
	gauge("last_run_timestamp_seconds", "When the last run ended.", func(l Last) float64 { return seconds(l.Time) })
	gauge("last_success_timestamp_seconds", "When the last run ended that made a snapshot.", func(l Last) float64 { return seconds(l.Success) })
	gauge("last_run_success", "Whether the last run made a snapshot.", func(l Last) float64 {
		if l.Facts.Kind == Done || l.Facts.Kind == Reserved {
			return 1
		}
		return 0
	})
	gauge("last_run_reservations", "What the last run had to tell.", func(l Last) float64 { return float64(len(l.Facts.Reservations)) })
	gauge("last_run_duration_seconds", "How long it took.", func(l Last) float64 { return l.Facts.Seconds })
	gauge("last_run_frozen_seconds", "How long writers had to wait.", func(l Last) float64 { return float64(l.Facts.FrozenMS) / 1000 })
	gauge("last_snapshot_bytes", "Size of the last snapshot.", func(l Last) float64 { return float64(l.Facts.Size) })
	gauge("last_snapshot_added_bytes", "What the last snapshot added to its repository, or the size of its image.", func(l Last) float64 { return float64(l.Facts.Added) })
	gauge("last_run_read_bytes", "What the last run read of the disk in use; 0 is unknown.", func(l Last) float64 { return float64(l.Facts.Read) })
	gauge("last_run_freed_bytes", "What the last run's pruning freed in its repository.", func(l Last) float64 { return float64(l.Facts.Freed) })
	gauge("destination_free_bytes", "Room at the destination afterwards; -1 where nobody tells.", func(l Last) float64 { return float64(l.Facts.Free) })
	gauge("snapshots", "Snapshots that are kept.", func(l Last) float64 { return float64(l.Snapshots) })
	return out.Bytes()
}

// seconds are those since 1970; 0 is never.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

func label(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
}
