package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"lifeboat/clone/repo"
	"lifeboat/internal/progress"
)

func newSnapshots(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshots REPO [NAME]",
		Short: "List the snapshots of a repository",
		Long: `Lists the snapshots, oldest first, by the name that restore, export, inspect and
verify take behind REPO@. With NAME only those that it fits, as "pi/2026-11-24".

Beside the names: the size of the disk, what it had in use, by how much the
repository grew, and the series: snapshots of one system have one series.`,
		Example: `  lifeboat snapshots /mnt/nas/pis
  lifeboat restore /mnt/nas/pis@pi/2026-11-24 /dev/sdb`,
		Args: args(1, 2),
		RunE: func(cmd *cobra.Command, given []string) error {
			name := ""
			if len(given) > 1 {
				name = given[1]
			}
			return runSnapshots(cmd.Context(), e, given[0], name)
		},
	}
	e.addRepo(cmd)
	return cmd
}

func runSnapshots(ctx context.Context, e *env, place, name string) error {
	r, err := e.openRepo(ctx, place)
	if err != nil {
		return err
	}
	all, bad := r.Snapshots(ctx, "")
	if name != "" {
		all = repo.Match(all, name)
	}
	err = e.tellSnapshots(all)
	return errors.Join(err, repoRefusal(place, bad), r.Close())
}

func (e *env) tellSnapshots(all []*repo.Snapshot) error {
	if e.json {
		if all == nil {
			all = []*repo.Snapshot{}
		}
		return json.NewEncoder(e.stdout).Encode(all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(e.stdout, "no snapshots")
		return err
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tTIME\tDISK\tUSED\tADDED\tSERIES")
	for _, s := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Label(), s.Time.Format("2006-01-02 15:04:05 -0700"),
			progress.Bytes(s.Size), progress.Bytes(s.Used), progress.Bytes(s.Added), s.Series)
	}
	return w.Flush()
}
