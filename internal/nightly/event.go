package nightly

import (
	"fmt"
	"mime"
	"strings"
	"time"

	"lifeboat/internal/progress"
	"lifeboat/internal/speech"
)

// A Kind is what happened.
type Kind string

// What can happen.
const (
	Started  Kind = "started"
	Done     Kind = "done"
	Reserved Kind = "reserved" // done, but
	Failed   Kind = "failed"
	Died     Kind = "died"    // the run ended without a word
	Overdue  Kind = "overdue" // there is no run
	Test     Kind = "test"
)

// Facts of a run, for hooks (as LIFEBOAT_…), webhooks and metrics.
type Facts struct {
	Kind         Kind     `json:"kind"`
	Host         string   `json:"host"`
	Schedule     string   `json:"schedule"`
	Type         string   `json:"type"`
	To           string   `json:"to"`     // as configured
	Folder       string   `json:"folder"` // where it is mounted; "" for a server
	File         string   `json:"file"`   // the new snapshot: a file, or its name in the repository
	Size         int64    `json:"size"`   // bytes: of the file, or what the disk had in use
	Added        int64    `json:"added"`  // bytes by which the destination grew
	Read         int64    `json:"read"`   // bytes of a disk in use that were read; 0 is unknown
	Seconds      float64  `json:"seconds"`
	FrozenMS     int64    `json:"frozen_ms"`
	Removed      int      `json:"removed"` // old snapshots
	Freed        int64    `json:"freed"`   // bytes, by pruning a repository
	Checked      int64    `json:"checked"` // chunks of a repository that were read back
	Free         int64    `json:"free"`    // bytes, at the destination, afterwards; -1 is unknown
	Error        string   `json:"error,omitempty"`
	Reservations []string `json:"reservations,omitempty"`
	Reminder     bool     `json:"reminder,omitempty"` // a restore should be tried
	DryRun       bool     `json:"dry_run,omitempty"`
	Log          string   `json:"log_file,omitempty"`
}

// Bad tells whether somebody has to do something.
func (f Facts) Bad() bool {
	return f.Kind == Failed || f.Kind == Died || f.Kind == Overdue || f.Kind == Reserved
}

// Say makes a message of what happened.
func Say(l speech.Language, f Facts, log []byte) Message {
	return Message{Title: f.title(l), Text: strings.Join(f.lines(l), "\n"), Bad: f.Bad(), Log: log, Facts: f}
}

func (f Facts) title(l speech.Language) string {
	switch f.Kind {
	case Started:
		return l.T("%s: backup %q begins", f.Host, f.Schedule)
	case Done:
		return l.T("%s: backup %q is done", f.Host, f.Schedule)
	case Reserved:
		return l.T("%s: backup %q is done, with reservations", f.Host, f.Schedule)
	case Failed:
		return l.T("%s: backup %q FAILED", f.Host, f.Schedule)
	case Died:
		return l.T("%s: backup %q ended without a word", f.Host, f.Schedule)
	case Overdue:
		return l.T("%s: there is no new backup %q", f.Host, f.Schedule)
	}
	return l.T("%s: a test notice of lifeboat", f.Host)
}

func (f Facts) lines(l speech.Language) []string {
	var lines []string
	say := func(when bool, text string, args ...any) {
		if when {
			lines = append(lines, l.T(text, args...))
		}
	}
	ended := f.Kind == Done || f.Kind == Reserved
	say(f.DryRun, "This was a dry run: all was checked, nothing was changed.")
	say(f.Kind == Test, "If you can read this, notices arrive.")
	say(f.Kind == Died, "It was killed, or the power failed. Services that it had stopped were started again.")
	say(f.Error != "", "Error: %s", f.Error)
	for _, text := range f.Reservations {
		say(true, "But: %s", text)
	}
	say(f.To != "", "Destination: %s", f.To)
	say(ended && f.File != "" && f.Type != SnapshotType, "Snapshot: %s, %s", f.File, progress.Bytes(f.Size))
	say(ended && f.File != "" && f.Type == SnapshotType, "Snapshot: %s, %s in use, %s added to the repository", f.File, progress.Bytes(f.Size), progress.Bytes(f.Added))
	say(f.Read > 0, "Read from the disk: %s", progress.Bytes(f.Read))
	say(f.Seconds > 0, "Time: %s", time.Duration(f.Seconds*float64(time.Second)).Round(time.Second))
	say(ended && f.FrozenMS > 0, "Writers waited %d ms.", f.FrozenMS)
	say(f.Removed > 0, "Old snapshots removed: %d", f.Removed)
	say(f.Freed > 0, "Freed by pruning: %s", progress.Bytes(f.Freed))
	say(f.Checked > 0, "Read back from the repository: %d chunks", f.Checked)
	say(ended && f.Free > 0, "Free at the destination: %s", progress.Bytes(f.Free))
	say(f.Reminder, "A backup is as good as its last restore: it is time to try one. Then say: lifeboat nightly tested")
	say(f.Bad() && f.Log != "", "The log: %s", f.Log)
	return lines
}

// environ are the facts as a hook meets them.
func (f Facts) environ() []string {
	return []string{
		"LIFEBOAT_KIND=" + string(f.Kind),
		"LIFEBOAT_HOST=" + f.Host,
		"LIFEBOAT_SCHEDULE=" + f.Schedule,
		"LIFEBOAT_TYPE=" + f.Type,
		"LIFEBOAT_TO=" + f.To,
		"LIFEBOAT_FOLDER=" + f.Folder,
		"LIFEBOAT_FILE=" + f.File,
		fmt.Sprintf("LIFEBOAT_SIZE=%d", f.Size),
		fmt.Sprintf("LIFEBOAT_ADDED=%d", f.Added),
		fmt.Sprintf("LIFEBOAT_READ=%d", f.Read),
		fmt.Sprintf("LIFEBOAT_FREED=%d", f.Freed),
		fmt.Sprintf("LIFEBOAT_SECONDS=%.0f", f.Seconds),
		fmt.Sprintf("LIFEBOAT_FROZEN_MS=%d", f.FrozenMS),
		fmt.Sprintf("LIFEBOAT_REMOVED=%d", f.Removed),
		fmt.Sprintf("LIFEBOAT_FREE=%d", f.Free),
		"LIFEBOAT_ERROR=" + f.Error,
		"LIFEBOAT_RESERVATIONS=" + strings.Join(f.Reservations, "\n"),
		fmt.Sprintf("LIFEBOAT_DRY_RUN=%t", f.DryRun),
		"LIFEBOAT_LOG=" + f.Log,
	}
}

// encodeHeader is RFC 2047, where it is needed.
func encodeHeader(text string) string { return mime.BEncoding.Encode("utf-8", text) }
