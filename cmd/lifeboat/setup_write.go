package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lifeboat/internal/atomicfile"
	"lifeboat/internal/nightly"
)

// setupRecordPath is where setup notes what it did, to undo it.
const setupRecordPath = "/etc/lifeboat/setup.json"

// A setupRecord is what setup did.
type setupRecord struct {
	Config      string   `json:"config"` // SHA-256 of the configuration as written
	Files       []string `json:"files"`  // others that were written
	Timers      []string `json:"timers"` // that were started
	RaspiBackup string   `json:"raspibackup"`
}

func readSetupRecord(path string) (setupRecord, error) {
	var r setupRecord
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	return r, err
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// write writes all, and starts the timers.
func (s *setup) write(ctx context.Context, units []nightly.UnitFile) error {
	for _, dir := range []string{filepath.Dir(setupConfig), setupUnits} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			return err
		}
	}
	if s.text != "" {
		s.made.Config = digest([]byte(s.text))
		if err := atomicfile.Write(s.path(setupConfig), []byte(s.text), 0o600); err != nil {
			return err
		}
	}
	if s.o.samples {
		if _, err := nightly.WriteSamples(s.path(setupHooks)); err != nil {
			return err
		}
	}
	if err := s.dropTimers(ctx, units); err != nil {
		return err
	}
	s.made.Files, s.made.Timers = nil, nil
	for _, u := range units {
		path := filepath.Join(setupUnits, u.Name)
		if err := atomicfile.Write(s.path(path), []byte(u.Text), 0o644); err != nil {
			return err
		}
		s.made.Files = append(s.made.Files, path)
		if strings.HasSuffix(u.Name, ".timer") {
			s.made.Timers = append(s.made.Timers, u.Name)
		}
	}
	if err := s.record(); err != nil {
		return err
	}
	if err := s.systemctl(ctx, append([]string{"enable"}, s.made.Timers...)...); err != nil {
		return err
	}
	if err := s.switchOff(ctx); err != nil {
		return err
	}
	fmt.Fprintln(s.e.stdout, s.l.T("Done. Try it: sudo lifeboat nightly --dry-run --schedule=%s", strings.TrimSuffix(strings.TrimPrefix(s.made.Timers[0], "lifeboat-"), ".timer")))
	return nil
}

// dropTimers takes away the units of schedules that are no more.
func (s *setup) dropTimers(ctx context.Context, units []nightly.UnitFile) error {
	gone := func(name string) bool {
		return !slices.ContainsFunc(units, func(u nightly.UnitFile) bool { return u.Name == name })
	}
	for _, name := range s.made.Timers {
		if gone(name) {
			if err := s.systemctl(ctx, "disable", name); err != nil {
				return err
			}
		}
	}
	var errs []error
	for _, path := range s.made.Files {
		if gone(filepath.Base(path)) {
			errs = append(errs, removeFile(s.path(path)))
		}
	}
	return errors.Join(errs...)
}

func removeFile(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *setup) record() error {
	b, err := json.MarshalIndent(s.made, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(s.path(setupRecordPath), append(b, '\n'), 0o600)
}

// systemctl enables or disables units: at once in a system that runs, else for
// its next start.
func (s *setup) systemctl(ctx context.Context, line ...string) error {
	if s.o.root != "/" {
		_, err := nightly.Exec(ctx, nil, "systemctl", append([]string{"--root=" + s.o.root}, line...)...)
		return err
	}
	if _, err := nightly.Exec(ctx, nil, "systemctl", "daemon-reload"); err != nil {
		return err
	}
	_, err := nightly.Exec(ctx, nil, "systemctl", append([]string{line[0], "--now"}, line[1:]...)...)
	return err
}

// undo takes back what setup did.
func (s *setup) undo(ctx context.Context) error {
	if len(s.made.Files) == 0 {
		fmt.Fprintln(s.e.stdout, s.l.T("There is nothing to undo."))
		return nil
	}
	config, err := os.ReadFile(s.path(setupConfig))
	keeps := err == nil && digest(config) != s.made.Config
	files, changed := slices.Clone(s.made.Files), []string(nil)
	if keeps {
		changed = []string{setupConfig} // and the hooks, which it may use
	} else if files, changed, err = s.withHooks(files); err != nil {
		return err
	}
	for _, path := range files {
		fmt.Fprintln(s.e.stdout, s.l.T("%s is removed.", path))
	}
	for _, path := range changed {
		fmt.Fprintln(s.e.stdout, s.l.T("%s was changed since, and stays.", path))
	}
	if s.e.dry {
		return nil
	}
	if err := s.systemctl(ctx, append([]string{"disable"}, s.made.Timers...)...); err != nil {
		return err
	}
	var errs []error
	for _, path := range files {
		errs = append(errs, removeFile(s.path(path)))
	}
	if !keeps {
		errs = append(errs, removeFile(s.path(setupConfig)))
	}
	errs = append(errs, s.switchOn(ctx))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return removeFile(s.path(setupRecordPath))
}

// withHooks adds the sample hooks that are as they were written to files; the others
// that are there were changed.
func (s *setup) withHooks(files []string) (all, changed []string, err error) {
	names, err := fs.Glob(nightly.Samples(), "*")
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		path := filepath.Join(setupHooks, name)
		sample, err := fs.ReadFile(nightly.Samples(), name)
		if err != nil {
			return nil, nil, err
		}
		switch text, err := os.ReadFile(s.path(path)); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, nil, err
		case string(text) == string(sample):
			files = append(files, path)
		default:
			changed = append(changed, path)
		}
	}
	return files, changed, nil
}

// raspiBackup is how another program starts its backups.
type raspiBackup struct {
	path  string // of its timer or cron file; "" is none
	timer string // name of the timer; "" is cron
	off   bool   // it is to be switched off
}

// cronOff ends the name of a cron file that is switched off: cron reads no file
// with a dot in its name (cron(8), Debian).
const cronOff = ".off-by-lifeboat"

func (s *setup) findRaspiBackup() raspiBackup {
	const timer, cron = setupUnits + "/raspiBackup.timer", "/etc/cron.d/raspiBackup"
	wants, _ := filepath.Glob(s.path(setupUnits + "/*.wants/raspiBackup.timer"))
	if len(wants) > 0 {
		return raspiBackup{path: timer, timer: "raspiBackup.timer"}
	}
	text, err := os.ReadFile(s.path(cron))
	if err != nil {
		return raspiBackup{}
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && strings.Contains(line, "raspiBackup") {
			return raspiBackup{path: cron}
		}
	}
	return raspiBackup{}
}

func (s *setup) askRaspiBackup(ctx context.Context) error {
	if s.other.path == "" {
		return nil
	}
	if s.other.off = s.o.replace; s.other.off || s.ask == nil {
		return nil
	}
	i, err := s.ask.choose(ctx, s.l.T("raspiBackup makes backups here, too (%s). Switch that off?", s.other.path), []string{s.l.T("Yes"), s.l.T("No")})
	s.other.off = i == 0
	return err
}

func (s *setup) switchOff(ctx context.Context) error {
	if !s.other.off {
		return nil
	}
	s.made.RaspiBackup = s.other.path
	if err := s.record(); err != nil {
		return err
	}
	if s.other.timer != "" {
		return s.systemctl(ctx, "disable", s.other.timer)
	}
	return os.Rename(s.path(s.other.path), s.path(s.other.path+cronOff))
}

// switchOn undoes switchOff.
func (s *setup) switchOn(ctx context.Context) error {
	switch path := s.made.RaspiBackup; {
	case path == "":
		return nil
	case strings.HasSuffix(path, ".timer"):
		return s.systemctl(ctx, "enable", filepath.Base(path))
	default:
		return os.Rename(s.path(path+cronOff), s.path(path))
	}
}
