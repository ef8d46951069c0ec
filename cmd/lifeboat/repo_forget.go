package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/clone/repo"
)

type forgetOptions struct {
	place string
	names []string
	last  bool
}

func newRepoForget(e *env) *cobra.Command {
	o := forgetOptions{}
	cmd := &cobra.Command{
		Use:   "forget REPO NAME...",
		Short: "Take snapshots out of a repository",
		Long: `Takes snapshots away, by the names that lifeboat snapshots lists. The room that only
they needed becomes free by lifeboat repo prune, when the grace is over.

Of a system on two disks both snapshots go, whichever is named. The last snapshot of
a system is taken away only with --last. One whose record
cannot be read is named by SERIES/ID.`,
		Example: `  lifeboat repo forget /mnt/nas/pis pi/2026-11-24T03:15:00`,
		Args:    args(2, 1000),
		RunE: func(cmd *cobra.Command, given []string) error {
			o.place, o.names = given[0], given[1:]
			return runRepoForget(cmd.Context(), e, o)
		},
	}
	cmd.Flags().BoolVar(&o.last, "last", false, "also the last snapshot of a system")
	e.addRepo(cmd)
	e.addDryRun(cmd)
	return cmd
}

func runRepoForget(ctx context.Context, e *env, o forgetOptions) error {
	r, err := e.openRepo(ctx, o.place)
	if err != nil {
		return err
	}
	return errors.Join(e.forget(ctx, r, o), r.Close())
}

func (e *env) forget(ctx context.Context, r *repo.Repo, o forgetOptions) error {
	all, bad := r.Snapshots(ctx, "")
	var gone []*repo.Snapshot
	var unreadable []string // SERIES/ID
	for _, name := range o.names {
		s, err := repo.Choose(all, name)
		if errors.Is(err, repo.ErrNoSnapshot) && bad != nil {
			if hasBad(bad, name) {
				unreadable = append(unreadable, name)
				continue
			}
			err = errors.Join(err, bad)
		}
		if err != nil {
			return repoRefusal(o.place, err)
		}
		if !slices.Contains(gone, s) {
			gone = append(gone, s)
		}
	}
	gone = repo.Whole(all, gone)
	for _, s := range gone {
		stays := func(x *repo.Snapshot) bool { return x.Series == s.Series && !slices.Contains(gone, x) }
		if !o.last && !slices.ContainsFunc(all, stays) {
			return &clone.Refusal{Err: fmt.Errorf("%s is the last snapshot of its system", s.Label()), Hint: "give --last to forget it all the same"}
		}
	}
	verb := "forgotten"
	if e.dry {
		verb = "would be forgotten"
	} else if err := r.Forget(ctx, gone...); err != nil {
		return fmt.Errorf("%s: %w", shown(o.place), err)
	}
	for _, name := range unreadable {
		if series, id, _ := strings.Cut(name, "/"); !e.dry {
			if err := r.ForgetID(ctx, series, id); err != nil {
				return fmt.Errorf("%s: %w", shown(o.place), err)
			}
		}
		e.tellForgotten(verb, name)
	}
	for _, s := range gone {
		e.tellForgotten(verb, s.Label())
	}
	return nil
}

// hasBad tells whether SERIES/ID is among the snapshots that cannot be used.
func hasBad(err error, name string) bool {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(many.Unwrap(), func(one error) bool { return hasBad(one, name) })
	}
	var bad *repo.BadSnapshotError
	return errors.As(err, &bad) && bad.Series+"/"+bad.ID == name
}

func (e *env) tellForgotten(verb, name string) {
	if e.json {
		json.NewEncoder(e.stdout).Encode(map[string]any{"message": verb, "snapshot": name})
		return
	}
	fmt.Fprintf(e.stdout, "%s: %s\n", verb, name)
}
