package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/clone/repo"
	"lifeboat/internal/nightly"
)

type checkOptions struct {
	nightlyOptions
	days float64
	tell bool
}

func newNightlyCheck(e *env) *cobra.Command {
	o := checkOptions{}
	cmd := &cobra.Command{
		Use:   "check [FOLDER|REPO]",
		Short: "Is there a new snapshot? If not, exit code 1",
		Long: `Looks for the newest snapshot of each schedule, and fails if one is older than
--days. FOLDER or REPO is where many Pis' snapshots lie, on the server that keeps
them: the repository, and each Pi's folder of images, are looked at, so that also a
Pi that is dead is missed. Of a repository only what a schedule has made counts.
Without FOLDER it is this Pi's own destination. --tell sends the notices that are
configured.`,
		Example: `  lifeboat nightly check --days 2 /srv/backups
  lifeboat nightly check --days 2 sftp://pi@nas/srv/pis
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

// see takes what is newer. A snapshot from the future counts for nothing, as in
// retention: until then nobody would be missed.
func (n *newestOf) see(t, now time.Time) {
	if t.After(n.time) && !nightly.FromFuture(t, now) {
		n.time = t
	}
}

func runNightlyCheck(ctx context.Context, e *env, o checkOptions, given []string) error {
	c, err := o.load()
	if err != nil {
		return err
	}
	var found []newestOf
	if len(given) == 1 {
		found, err = e.newestAt(ctx, &o.nightlyOptions, c, given[0])
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
		return fmt.Errorf("%s: there is no snapshot of %s, or only one from the future", n.series, n.schedule)
	}
	age := e.clock().Sub(n.time)
	if age > time.Duration(days*24*float64(time.Hour)) {
		return fmt.Errorf("%s: no snapshot of %s for %.1f days: the newest is of %s", n.series, n.schedule, age.Hours()/24, n.time.Local().Format(time.DateTime))
	}
	fmt.Fprintf(e.stdout, "%s: %s: the newest is of %s\n", n.series, n.schedule, n.time.Local().Format(time.DateTime))
	return nil
}

// newestAt looks at the snapshots of all Pis at a place: a repository, and beside
// it, where it is a folder, images.
func (e *env) newestAt(ctx context.Context, o *nightlyOptions, c *nightly.Config, place string) ([]newestOf, error) {
	s, err := c.Of(o.schedules(c)[0])
	if err != nil {
		return nil, err
	}
	s.To = place
	own, err := nightlyBackup{e, hostVault()}.reaching(s)
	if err != nil {
		return nil, err
	}
	found, err := own.newestInRepo(ctx, place)
	if !isAddress(place) && (err == nil || errors.Is(err, repo.ErrNoRepository)) {
		var more []newestOf
		more, err = newestBelow(place, e.clock())
		found = append(found, more...)
	}
	if err == nil && len(found) == 0 {
		err = &clone.Refusal{Err: fmt.Errorf("%s has no snapshots of a schedule, nor have folders in it", shown(place))}
	}
	return found, err
}

// newestInRepo looks at each system's snapshots that are of a schedule. Systems of
// one name are told apart by their series.
func (e *env) newestInRepo(ctx context.Context, place string) ([]newestOf, error) {
	r, err := e.openRepo(ctx, place)
	if err != nil {
		return nil, err
	}
	all, err := r.Snapshots(ctx, "")
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", shown(place), err)
	}
	all = slices.DeleteFunc(all, func(s *repo.Snapshot) bool { return s.OfBoot() }) // half of what is waited for
	series := map[string]string{}                                                   // of a host's name; "" where it has several
	for _, s := range all {
		if one, met := series[s.Host]; met && one != s.Series {
			series[s.Host] = ""
		} else if !met {
			series[s.Host] = s.Series
		}
	}
	var found []newestOf
	for _, s := range all {
		if s.Type == "" {
			continue // by hand: nobody waits for the next
		}
		name := s.Host
		if series[s.Host] == "" || name == "" {
			name = strings.TrimPrefix(s.Host+"/"+s.Series, "/")
		}
		i := slices.IndexFunc(found, func(n newestOf) bool { return n.series == name && n.schedule == s.Type })
		if i < 0 {
			i, found = len(found), append(found, newestOf{series: name, schedule: s.Type})
		}
		found[i].see(s.Time, e.clock())
	}
	return found, nil
}

// newestBelow looks at the folders of all Pis.
func newestBelow(dir string, now time.Time) ([]newestOf, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found, err := newestIn(dir, filepath.Base(dir), now)
	for _, entry := range entries {
		if err == nil && entry.IsDir() {
			var more []newestOf
			more, err = newestIn(filepath.Join(dir, entry.Name()), entry.Name(), now)
			found = append(found, more...)
		}
	}
	return found, err
}

func newestIn(dir, series string, now time.Time) ([]newestOf, error) {
	all, err := nightly.ListFolder(dir)
	var found []newestOf
	for _, s := range all {
		i := slices.IndexFunc(found, func(n newestOf) bool { return n.schedule == s.Schedule })
		if i < 0 {
			i, found = len(found), append(found, newestOf{series: series, schedule: s.Schedule})
		}
		found[i].see(s.Time, now)
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
		if s.Type == nightly.SnapshotType {
			n.series = host.Name // its folder is the repository's
		}
		for _, x := range all {
			if x.Schedule == name {
				n.see(x.Time, e.clock())
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
	vault := hostVault()
	crier, err := nightly.NewCrier(s.Notify, e.client, vault, n.series, e.logf)
	if err != nil {
		return err
	}
	f := nightly.Facts{Kind: nightly.Overdue, Host: n.series, Schedule: n.schedule, Error: why.Error()}
	return crier.Tell(ctx, nightly.Say(e.languageOf(s), f, nil))
}
