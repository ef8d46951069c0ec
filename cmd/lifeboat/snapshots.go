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
repository grew, and the series: snapshots of one system have one series. Where a
system lies on two disks, what belongs together says so; HOST.boot/… is the disk
that boots, HOST/… the one with the root.`,
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
	some := all
	if name != "" {
		some = repo.Whole(all, repo.Match(all, name))
	}
	if len(all) > 0 || bad == nil { // else it is not that there are none
		err = e.tellSnapshots(all, some)
	}
	return errors.Join(err, repoRefusal(place, bad), r.Close())
}

// tellSnapshots lists some of all.
func (e *env) tellSnapshots(all, some []*repo.Snapshot) error {
	if e.json {
		if some == nil {
			some = []*repo.Snapshot{}
		}
		return json.NewEncoder(e.stdout).Encode(some)
	}
	if len(some) == 0 {
		_, err := fmt.Fprintln(e.stdout, "no snapshots")
		return err
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tTIME\tDISK\tUSED\tADDED\tSERIES")
	for _, s := range some {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s%s\n", s.Label(), s.Time.Format("2006-01-02 15:04:05 -0700"),
			progress.Bytes(s.Size), progress.Bytes(s.Used), progress.Bytes(s.Added), s.Series, pairWords(all, s))
	}
	return w.Flush()
}
