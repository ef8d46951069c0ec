package nightly

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Levels of a log, and what journald calls them (sd-daemon(3)).
const (
	levelError = 3
	levelInfo  = 6
	levelDebug = 7
)

// maxKept is how much of a log is kept for notices, in bytes.
const maxKept = 1 << 20

// A Log writes lines to the journal (or wherever standard error leads) and to a
// file, without secrets. It can be used by several goroutines.
type Log struct {
	// config
	out     io.Writer
	journal bool // out is journald's: levels before the lines, no time
	level   int
	clock   func() time.Time
	vault   *Vault

	// state
	mu   sync.Mutex
	file *os.File // nil: none
	kept bytes.Buffer
	bad  error // of the file
}

// NewLog logs to out alone, until Open.
func NewLog(out io.Writer, journal bool, clock func() time.Time, v *Vault) *Log {
	return &Log{out: out, journal: journal, level: levelInfo, clock: clock, vault: v}
}

// Open begins a log file for a run, and removes old ones of its schedule. An
// empty folder is none. Behind an error it logs to out alone: a card that can only
// be read any more must be saved all the same.
func (l *Log) Open(folder, schedule, level string, keep int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.level = map[string]int{"error": levelError, "info": levelInfo, "debug": levelDebug}[level]
	if folder == "" {
		return nil
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	base := filepath.Join(folder, schedule+"-"+l.clock().UTC().Format(stamp))
	for n := 0; ; n++ { // two within a second
		path := base + ".log"
		if n > 0 {
			path = fmt.Sprintf("%s-%d.log", base, n)
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
		if errors.Is(err, os.ErrExist) && n < 100 {
			continue
		}
		if err != nil {
			return fmt.Errorf("log: %w", err)
		}
		l.file = f
		break
	}
	return removeLogs(folder, schedule, keep)
}

// removeLogs keeps the newest logs of a schedule, and the others' all.
func removeLogs(folder, schedule string, keep int) error {
	logs, err := filepath.Glob(filepath.Join(folder, schedule+"-*Z*.log"))
	if err != nil || len(logs) <= max(keep, 1) {
		return err
	}
	slices.Sort(logs)
	var errs []error
	for _, path := range logs[:len(logs)-max(keep, 1)] {
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}

// Path is that of the file, or "".
func (l *Log) Path() string {
	if l.file == nil {
		return ""
	}
	return l.file.Name()
}

// Infof, Errorf and Debugf write a line.
func (l *Log) Infof(format string, args ...any)  { l.write(levelInfo, format, args...) }
func (l *Log) Errorf(format string, args ...any) { l.write(levelError, format, args...) }
func (l *Log) Debugf(format string, args ...any) { l.write(levelDebug, format, args...) }

func (l *Log) write(level int, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if level > l.level {
		return
	}
	text := l.vault.Clean(strings.TrimRight(fmt.Sprintf(format, args...), "\n"))
	for line := range strings.SplitSeq(text, "\n") {
		if l.journal {
			fmt.Fprintf(l.out, "<%d>%s\n", level, line)
		} else {
			fmt.Fprintf(l.out, "%s\n", line)
		}
		l.keep(level, line)
	}
}

// keep writes a line to the file, with time and level.
func (l *Log) keep(level int, line string) {
	word := map[int]string{levelError: "error", levelInfo: "info", levelDebug: "debug"}[level]
	line = fmt.Sprintf("%s %-5s %s\n", l.clock().Format("2006-01-02T15:04:05.000-07:00"), word, line)
	if l.kept.Len() < maxKept {
		l.kept.WriteString(line)
	}
	if l.file != nil && l.bad == nil {
		_, l.bad = l.file.WriteString(line)
	}
}

// Text is what was logged.
func (l *Log) Text() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.kept.Bytes())
}

// Close closes the file, and tells whether it holds all.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// trouble is why the file has not all that was logged.
func (l *Log) trouble() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bad
}
