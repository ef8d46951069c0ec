package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/internal/nightly"
)

func newNightlyList(e *env) *cobra.Command {
	o := nightlyOptions{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "The snapshots at the destination, and why each stays or goes",
		Args:  args(0, 0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return runNightlyList(cmd.Context(), e, o) },
	}
	o.addFlags(cmd)
	return cmd
}

func runNightlyList(ctx context.Context, e *env, o nightlyOptions) error {
	c, err := o.load()
	if err != nil {
		return err
	}
	host, err := e.nightlyHost()
	if err != nil {
		return err
	}
	for _, name := range o.schedules(c) {
		s, err := c.Of(name)
		if err != nil {
			return err
		}
		all, err := e.snapshotsOf(ctx, host, s)
		if err != nil {
			return err
		}
		mine := slices.DeleteFunc(all, func(x nightly.Snapshot) bool { return x.Schedule != name })
		tellVerdicts(e, nightly.Retain(mine, s.Keep, e.clock(), host.Zone))
	}
	return nil
}

// snapshotsOf are those of this Pi at a destination.
func (e *env) snapshotsOf(ctx context.Context, h nightly.Host, s nightly.Settings) (all []nightly.Snapshot, err error) {
	if s.To == "" {
		return nil, noDestination()
	}
	log := e.nightlyLog(nightly.NewVault(""))
	err = h.Visit(ctx, s, log.Debugf, func(folder string) error {
		all, err = nightly.Folder{Path: filepath.Join(folder, h.SeriesName(s))}.List()
		return err
	})
	return all, err
}

type checkOptions struct {
	nightlyOptions
	days float64
	tell bool
}

func newNightlyCheck(e *env) *cobra.Command {
	o := checkOptions{}
	cmd := &cobra.Command{
		Use:   "check [FOLDER]",
		Short: "Is there a new snapshot? If not, exit code 1",
		Long: `Looks for the newest snapshot of each schedule, and fails if one is older than
--days. FOLDER is where many Pis' snapshots lie, on the server that keeps them:
each Pi's folder in it is looked at, so that also a Pi that is dead is missed.
Without FOLDER it is this Pi's own destination. --tell sends the notices that are
configured.`,
		Example: `  lifeboat nightly check --days 2 /srv/backups
  sudo lifeboat nightly check --days 2 --tell`,
		Args: args(0, 1),
		RunE: func(cmd *cobra.Command, given []string) error { return runNightlyCheck(cmd.Context(), e, o, given) },
	}
	o.addFlags(cmd)
	cmd.Flags().Float64Var(&o.days, "days", 2, "how old the newest snapshot may be")
	cmd.Flags().BoolVar(&o.tell, "tell", false, "send notices")
	return cmd
}

// newestOf is the newest snapshot of a schedule of a Pi; the zero time is none.
type newestOf struct {
	series, schedule string
	time             time.Time
}

func runNightlyCheck(ctx context.Context, e *env, o checkOptions, given []string) error {
	c, err := o.load()
	if err != nil {
		return err
	}
	var found []newestOf
	if len(given) == 1 {
		found, err = newestBelow(given[0])
	} else {
		found, err = e.newestHere(ctx, &o.nightlyOptions, c)
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range found {
		err := n.check(e, o.days)
		if errs = append(errs, err); err != nil && o.tell {
			errs = append(errs, e.tellOverdue(ctx, c, n, err))
		}
	}
	return errors.Join(errs...)
}

func (n newestOf) check(e *env, days float64) error {
	if n.time.IsZero() {
		return fmt.Errorf("%s: there is no snapshot of %s", n.series, n.schedule)
	}
	age := e.clock().Sub(n.time)
	if age > time.Duration(days*24*float64(time.Hour)) {
		return fmt.Errorf("%s: no snapshot of %s for %.1f days: the newest is of %s", n.series, n.schedule, age.Hours()/24, n.time.Local().Format(time.DateTime))
	}
	fmt.Fprintf(e.stdout, "%s: %s: the newest is of %s\n", n.series, n.schedule, n.time.Local().Format(time.DateTime))
	return nil
}

// newestBelow looks at the folders of all Pis.
func newestBelow(dir string) ([]newestOf, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found, err := newestIn(dir, filepath.Base(dir))
	for _, entry := range entries {
		if err == nil && entry.IsDir() {
			var more []newestOf
			more, err = newestIn(filepath.Join(dir, entry.Name()), entry.Name())
			found = append(found, more...)
		}
	}
	if err == nil && len(found) == 0 {
		err = &clone.Refusal{Err: fmt.Errorf("%s has no snapshots, nor have the folders in it", dir)}
	}
	return found, err
}

func newestIn(dir, series string) ([]newestOf, error) {
	all, err := nightly.Folder{Path: dir}.List()
	var found []newestOf
	for _, s := range all {
		i := slices.IndexFunc(found, func(n newestOf) bool { return n.schedule == s.Schedule })
		if i < 0 {
			found = append(found, newestOf{series, s.Schedule, s.Time})
		} else if s.Time.After(found[i].time) {
			found[i].time = s.Time
		}
	}
	return found, err
}

// newestHere looks at the destinations of all schedules of this Pi.
func (e *env) newestHere(ctx context.Context, o *nightlyOptions, c *nightly.Config) ([]newestOf, error) {
	host, err := e.nightlyHost()
	if err != nil {
		return nil, err
	}
	var found []newestOf
	for _, name := range o.schedules(c) {
		s, err := c.Of(name)
		if err != nil {
			return nil, err
		}
		all, err := e.snapshotsOf(ctx, host, s)
		if err != nil {
			return nil, err
		}
		n := newestOf{series: host.SeriesName(s), schedule: name}
		for _, x := range all {
			if x.Schedule == name && x.Time.After(n.time) {
				n.time = x.Time
			}
		}
		found = append(found, n)
	}
	return found, nil
}

func (e *env) tellOverdue(ctx context.Context, c *nightly.Config, n newestOf, why error) error {
	s, err := c.Of(n.schedule)
	if err != nil {
		return err
	}
	vault := nightly.NewVault(os.Getenv("CREDENTIALS_DIRECTORY"))
	crier, err := nightly.NewCrier(s.Notify, e.client, vault, n.series, e.logf)
	if err != nil {
		return err
	}
	f := nightly.Facts{Kind: nightly.Overdue, Host: n.series, Schedule: n.schedule, Error: why.Error()}
	return crier.Tell(ctx, nightly.Say(languageOf(s), f, nil))
}
