package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/internal/nightly"
	"lifeboat/internal/speech"
)

type setupOptions struct {
	configOptions
	root      string
	remove    bool
	overwrite bool
	replace   bool
	samples   bool
}

func newSetup(e *env) *cobra.Command {
	o := setupOptions{}
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Set up nightly backups: a few questions, a configuration, a timer",
		Long: `Asks where backups go, when, what is kept and who is told; writes
/etc/lifeboat/lifeboat.toml and a systemd service and timer for each schedule,
and starts the timers. If raspiBackup's timer or cron file is found it can be
switched off.

Without a terminal nothing is asked: every key of the configuration is a flag,
and --to is needed. Where a configuration is there already it stays, and the
units are made anew from it; flags that say something else are refused, and
--overwrite replaces it.

--remove undoes all that, but for a configuration or a hook that was changed since.`,
		Example: `  sudo lifeboat setup
  sudo lifeboat setup --to=nfs:nas:/export/pi --keep-daily=7 --keep-weekly=4 </dev/null
  sudo lifeboat setup --remove`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runSetup(cmd.Context(), e, o) },
	}
	o.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.root, "root", "/", "the `FOLDER` of another system, which is not running")
	f.BoolVar(&o.remove, "remove", false, "undo what setup did")
	f.BoolVar(&o.overwrite, "overwrite", false, "replace a configuration that is there")
	f.BoolVar(&o.replace, "replace-raspibackup", false, "switch off raspiBackup's timer or cron file")
	f.BoolVar(&o.samples, "samples", false, "write the sample hooks to /etc/lifeboat/hooks, and use them")
	e.addDryRun(cmd)
	return cmd
}

// A setup is what is going to be written.
type setup struct {
	e    *env
	o    setupOptions
	l    speech.Language
	ask  asker // nil: nobody is asked
	made setupRecord

	text    string // of the configuration; "" keeps the one that is there
	program string // that the timers start
	other   raspiBackup
}

// path is a place in the system that is set up.
func (s *setup) path(name string) string { return filepath.Join(s.o.root, name) }

const (
	setupConfig = "/etc/lifeboat/lifeboat.toml"
	setupUnits  = "/etc/systemd/system"
	setupHooks  = "/etc/lifeboat/hooks"
)

func runSetup(ctx context.Context, e *env, o setupOptions) error {
	if o.root == "/" && os.Geteuid() != 0 {
		return &clone.Refusal{Err: errors.New("only root may set up backups"), Hint: "call it with sudo"}
	}
	s := &setup{e: e, o: o, l: e.language}
	if e.terminal {
		s.ask = e.newTerminalAsker()
	}
	var err error
	if s.made, err = readSetupRecord(s.path(setupRecordPath)); err != nil {
		return err
	}
	if o.remove {
		return s.undo(ctx)
	}
	if err := s.configure(ctx); err != nil {
		return err
	}
	s.other = s.findRaspiBackup()
	if err := s.askRaspiBackup(ctx); err != nil {
		return err
	}
	units, repositories, err := s.units(ctx)
	if err != nil {
		return err
	}
	if agreed, err := s.show(ctx, units, repositories); err != nil || !agreed || e.dry {
		return err
	}
	return s.write(ctx, units)
}

// configure makes the text of the configuration, by flags and answers.
func (s *setup) configure(ctx context.Context) error {
	old, err := os.ReadFile(s.path(setupConfig))
	if err == nil && !s.o.overwrite {
		return s.contradicted(string(old))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d := &draft{flags: s.given(), judge: s.judge, told: s.e.stderr}
	if s.ask != nil {
		if err := d.questions(ctx, s.ask, s.l); err != nil {
			return err
		}
	}
	if d.flags["to"] == nil {
		return noDestination()
	}
	s.text, err = d.write(s.o.schedule)
	return err
}

// given are the keys that flags say something about.
func (s *setup) given() map[string][]string {
	given := map[string][]string{}
	for key, v := range s.o.set {
		if len(v.texts) > 0 {
			given[key] = slices.Clone(v.texts)
		}
	}
	if s.o.samples {
		for key, names := range sampleHooks() {
			for _, name := range names {
				given[key] = append(given[key], filepath.Join(setupHooks, name))
			}
		}
	}
	return given
}

// contradicted refuses flags that a configuration which stays has otherwise: who
// gave them would take them for obeyed.
func (s *setup) contradicted(text string) error {
	c, err := nightly.Parse(setupConfig, text)
	if err != nil {
		return err
	}
	no := func(flag string) error {
		return &clone.Refusal{
			Err:  fmt.Errorf("%s is there already, and has --%s otherwise", setupConfig, flag),
			Hint: "--overwrite replaces it; without flags the timers are made anew from it",
		}
	}
	if s.o.schedule != "" && !c.Has(s.o.schedule) {
		return no("schedule")
	}
	for key, texts := range s.given() {
		want, err := nightly.Line(key, texts...)
		if err != nil {
			return usageError{err}
		}
		for _, name := range s.o.schedules(c) {
			if has, err := c.Line(name, key); err != nil || has != want {
				return errors.Join(err, no(nightly.FlagName(key)))
			}
		}
	}
	return nil
}

// judge has systemd say what is wrong with a time; where it is not there nobody does.
func (s *setup) judge(ctx context.Context, when string) error {
	if !s.e.have("systemd-analyze") {
		return nil
	}
	_, err := nightly.Exec(ctx, nil, "systemd-analyze", "calendar", when)
	return err
}

// sampleHooks are the stages that the samples are for.
func sampleHooks() map[string][]string {
	return map[string][]string{
		"hooks.before": {"cpu-temperature", "memory"},
		"hooks.ready":  {"disk-use"},
		"hooks.after":  {"cpu-temperature", "memory", "disk-use"},
	}
}

// units are those of all schedules, and the repositories that these go to. The
// times of the timers are judged by systemd.
func (s *setup) units(ctx context.Context) (units []nightly.UnitFile, repositories []string, err error) {
	text := s.text
	if text == "" {
		b, err := os.ReadFile(s.path(setupConfig))
		if err != nil {
			return nil, nil, err
		}
		text = string(b)
	}
	c, err := nightly.Parse(setupConfig, text)
	if err != nil {
		return nil, nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	s.program = program
	for _, name := range c.Schedules() {
		settings, err := c.Of(name)
		var d nightly.Destination
		if err == nil {
			d, err = settings.Destination()
		}
		if err == nil {
			err = s.judge(ctx, settings.When)
		}
		if err != nil {
			return nil, nil, &clone.Refusal{Err: fmt.Errorf("schedule %s: %w", name, err)}
		}
		if place := nightly.Below(d.Shown(), settings.Folder); settings.Type == nightly.SnapshotType && !slices.Contains(repositories, place) {
			repositories = append(repositories, place)
		}
		units = append(units, nightly.UnitFiles(program, name, settings)...)
	}
	return units, repositories, nil
}

// show tells what will be written, and asks whether it may be.
func (s *setup) show(ctx context.Context, units []nightly.UnitFile, repositories []string) (bool, error) {
	out := s.e.stdout
	if s.text == "" {
		fmt.Fprintln(out, s.l.T("%s stays as it is.", setupConfig))
	} else {
		fmt.Fprintln(out, s.l.T("%s will be:", setupConfig))
		for line := range strings.Lines(s.text) {
			fmt.Fprint(out, "  "+redacted(line))
		}
	}
	for _, u := range units {
		fmt.Fprintln(out, s.l.T("%s will be written.", filepath.Join(setupUnits, u.Name)))
	}
	if _, err := os.Stat(s.path(s.program)); err != nil {
		fmt.Fprintln(out, s.l.T("%s is started, and is not there yet.", s.program))
	}
	for _, place := range repositories {
		fmt.Fprintln(out, s.l.T("Snapshots go into the repository at %s. Where there is none the first run makes it.", place))
	}
	if s.other.off {
		fmt.Fprintln(out, s.l.T("%s will be switched off.", s.other.path))
	}
	if s.ask == nil || s.e.dry {
		return true, nil
	}
	i, err := s.ask.choose(ctx, s.l.T("Is that right?"), []string{s.l.T("Yes, do it"), s.l.T("No, leave everything as it is")})
	return i == 0, err
}
