package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/internal/nightly"
)

type nightlyOptions struct {
	configOptions
	pinned string
	full   bool
}

func newNightly(e *env) *cobra.Command {
	o := nightlyOptions{}
	cmd := &cobra.Command{
		Use:   "nightly",
		Short: "Make the backup that is configured, with all that is around it",
		Long: `What the timer of "setup" starts: waits for the lock, mounts the destination,
checks room and services, saves the running system into a repository or an image
(services are stopped around the freeze only), starts again what it stopped,
forgets snapshots that no rule keeps, prunes the repository and reads a sample of
it back, unmounts, and tells people. docs/NIGHTLY.md has it all.

Every key of the configuration is a flag. With several schedules name one. A
snapshot with a --name never expires. --dry-run does every check, sends the test
notice, and changes nothing.`,
		Example: `  sudo lifeboat nightly --schedule=weekly
  sudo lifeboat nightly --name "Before upgrade"
  sudo lifeboat nightly --dry-run`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runNightly(cmd.Context(), e, o) },
	}
	o.addFlags(cmd)
	cmd.Flags().StringVar(&o.pinned, "name", "", "call the snapshot so: it never expires")
	cmd.Flags().BoolVar(&o.full, "full", false, "repository: read all, also what cannot have changed, and check that")
	e.addDryRun(cmd)
	cmd.AddCommand(newNightlyList(e), newNightlyCheck(e), newNightlyTested(e), newNightlyRecover(e), newNightlyGuard(e))
	return cmd
}

// one is the schedule that is meant, with its settings.
func (o *nightlyOptions) one() (string, nightly.Settings, error) {
	c, err := o.load()
	if err != nil {
		return "", nightly.Settings{}, err
	}
	names := o.schedules(c)
	if len(names) > 1 {
		return "", nightly.Settings{}, usage("there are several schedules: --schedule=NAME, of %s", strings.Join(names, ", "))
	}
	s, err := c.Of(names[0])
	return names[0], s, err
}

func runNightly(ctx context.Context, e *env, o nightlyOptions) error {
	outlive(syscall.SIGPIPE) // that nobody reads along any more is no reason to end
	name, s, err := o.one()
	if err != nil {
		return err
	}
	if s.To == "" {
		return noDestination()
	}
	host, err := e.nightlyHost()
	if err != nil {
		return err
	}
	host.Guard = guardCommand(e, o.file)
	vault := hostVault()
	log := e.nightlyLog(vault)
	var doubt error
	if !e.dry {
		doubt = log.Open(s.LogFolder, name, s.LogLevel, s.LogKeep)
	}
	crier, err := nightly.NewCrier(s.Notify, e.client, vault, host.Name, log.Infof)
	if err == nil && !isAddress(s.To) {
		s.Credentials, err = vault.File(s.Credentials)
	}
	run := nightly.Run{
		Doubt: doubt, Broken: err,
		Host: host, Schedule: name, Settings: s, Pinned: o.pinned, Full: o.full, DryRun: e.dry, Backup: nightlyBackup{e, vault},
		Crier: crier, Log: log, Language: e.languageOf(s), Rescuer: e.rescuer(host, &o.configOptions, log),
	}
	facts, err := run.Do(ctx)
	if err = errors.Join(err, log.Close()); err != nil {
		return err
	}
	return e.tellRun(&run, facts)
}

// tellRun prints what came of a run that succeeded.
func (e *env) tellRun(run *nightly.Run, f nightly.Facts) error {
	if e.dry {
		tellVerdicts(e, run.Listed())
		told := "no channel for notices is configured"
		if names := run.Crier.Names(); len(names) > 0 {
			told = "a test notice was sent by: " + strings.Join(names, " ")
		}
		fmt.Fprintf(e.stdout, "all checks passed; %s\n", told)
	} else if f.Type == nightly.SnapshotType {
		fmt.Fprintf(e.stdout, "%s: %d bytes in use, %d added, in %.0f s; %d old ones forgotten\n", f.File, f.Size, f.Added, f.Seconds, f.Removed)
	} else {
		fmt.Fprintf(e.stdout, "%s: %d bytes in %.0f s; %d old ones removed\n", f.File, f.Size, f.Seconds, f.Removed)
	}
	if f.FrozenMS > 0 {
		fmt.Fprintf(e.stdout, "  writers waited %d ms\n", f.FrozenMS)
	}
	if len(f.Reservations) == 0 {
		return nil
	}
	for _, text := range f.Reservations {
		fmt.Fprintf(e.stdout, "  but: %s\n", text)
	}
	return reservedError{f.Reservations}
}

func tellVerdicts(e *env, verdicts []nightly.Verdict) {
	for _, v := range verdicts {
		word := "goes "
		if v.Keep {
			word = "stays"
		}
		fmt.Fprintf(e.stdout, "%s  %s  (%s)\n", word, v.Called(), v.Why)
	}
}

// pauses between tries for a destination that sleeps.
func pauses() []time.Duration {
	return []time.Duration{2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second}
}

// nightlyHost is this system, as runs see it.
func (e *env) nightlyHost() (nightly.Host, error) {
	name, err := os.Hostname()
	if err != nil {
		return nightly.Host{}, err
	}
	machine, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		machine = []byte("no-id") // a system without systemd
	}
	h := nightly.Host{
		RunDir: "/run/lifeboat", StateDir: "/var/lib/lifeboat", Fstab: "/etc/fstab", Proc: e.sys.Proc,
		Name: name, MachineID: strings.TrimSpace(string(machine)), Zone: time.Local, Clock: e.clock,
		Run: nightly.Exec, Have: e.have, Units: nightly.Systemd, Pauses: pauses(), Reach: nightlyBackup{e, hostVault()}.reach,
	}
	if dir := os.Getenv("LIFEBOAT_NIGHTLY_ROOT"); dir != "" {
		h.RunDir, h.StateDir = dir+"/run", dir+"/state"
	}
	return h, nil
}

// credstore is where systemd looks for credentials (systemd.exec(5)).
const credstore = "/etc/credstore"

// hostVault has the secrets of who runs this: a timer, or a person.
func hostVault() *nightly.Vault {
	return nightly.NewVault(cmp.Or(os.Getenv("CREDENTIALS_DIRECTORY"), credstore))
}

// guardCommand starts the guard of a run, which reads the same configuration.
func guardCommand(e *env, file string) func() *exec.Cmd {
	return func() *exec.Cmd {
		return &exec.Cmd{Path: "/proc/self/exe", Args: []string{os.Args[0], "nightly", "guard", "--config=" + file}, Stderr: e.stderr}
	}
}

func (e *env) nightlyLog(v *nightly.Vault) *nightly.Log {
	return nightly.NewLog(e.stderr, os.Getenv("JOURNAL_STREAM") != "", e.clock, v)
}

// rescuer undoes what a run that died has left. It reads the configuration when
// it has something to tell.
func (e *env) rescuer(h nightly.Host, o *configOptions, log *nightly.Log) nightly.Rescuer {
	return nightly.Rescuer{
		Dir: h.RunDir, Units: h.Units, Run: h.Run, Patience: nightly.Defaults().Patience, Logf: log.Infof,
		Tell: func(ctx context.Context, schedule, path string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			s, err := c.Of(schedule)
			if err != nil {
				return err
			}
			crier, err := nightly.NewCrier(s.Notify, e.client, hostVault(), h.Name, log.Infof)
			if err != nil {
				return err
			}
			text, _ := os.ReadFile(path) // the notice says where it is
			f := nightly.Facts{Kind: nightly.Died, Host: h.Name, Schedule: schedule, Type: s.Type, To: shown(s.To), Log: path}
			return crier.Tell(ctx, nightly.Say(e.languageOf(s), f, text))
		},
	}
}

// recoverWait is how long the lock of a run that just died may be held on.
const recoverWait = 10 * time.Second

func newNightlyRecover(e *env) *cobra.Command {
	o := configOptions{}
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Start again what a run that died had stopped, and tell people",
		Long: `Starts the services that a run stopped before it died, unmounts its destination,
and tells people. The timer's service calls it when a run has ended, however; a
run that ended well has left nothing to do.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runRecover(cmd.Context(), e, &o) },
	}
	cmd.Flags().StringVar(&o.file, "config", "", "one more configuration `FILE`, which beats the others")
	return cmd
}

func runRecover(ctx context.Context, e *env, o *configOptions) error {
	outlive(syscall.SIGPIPE)
	host, err := e.nightlyHost()
	if err != nil {
		return err
	}
	_, err = e.rescuer(host, o, e.nightlyLog(nightly.NewVault(""))).Recover(ctx, recoverWait)
	return err
}

// newNightlyGuard is the process that recovers when a run that nobody else
// watches over dies.
func newNightlyGuard(e *env) *cobra.Command {
	o := configOptions{}
	cmd := &cobra.Command{
		Use:    "guard",
		Short:  "Recover, when the run that started this has died",
		Hidden: true,
		Args:   args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Who ends the run must not end its guard, nor must whoever has read what
			// they say and has gone.
			outlive(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
			if !nightly.WaitAsGuard(e.stdin) {
				return nil
			}
			return runRecover(context.WithoutCancel(cmd.Context()), e, &o)
		},
	}
	cmd.Flags().StringVar(&o.file, "config", "", "one more configuration `FILE`, which beats the others")
	return cmd
}

func newNightlyTested(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "tested",
		Short: "Note that a restore was tried, so that nobody is reminded for a while",
		Args:  args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			host, err := e.nightlyHost()
			if err != nil {
				return err
			}
			s, err := nightly.ReadState(host.StateDir)
			if err != nil {
				return err
			}
			s.SetTested(e.clock())
			return s.Write(host.StateDir)
		},
	}
}

// noDestination is the refusal of a command that wants one.
func noDestination() error {
	return &clone.Refusal{Err: errors.New("no destination is configured"), Hint: "lifeboat setup, or --to=FOLDER"}
}
