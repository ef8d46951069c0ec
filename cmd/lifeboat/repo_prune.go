package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"lifeboat/clone/repo"
	"lifeboat/internal/progress"
)

func newRepoPrune(e *env) *cobra.Command {
	now := false
	cmd := &cobra.Command{
		Use:   "prune REPO",
		Short: "Free the room that no snapshot of a repository needs",
		Long: `What no snapshot needs is put on a list, and removed by the first prune after the
repository's grace (a day): a backup that is under way may count on it. So this
belongs into a nightly timer, on one machine.

--now removes it at once. Only where nobody else writes to the repository: it is
refused where a backup is known to be under way.`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error { return runRepoPrune(cmd.Context(), e, given[0], now) },
	}
	cmd.Flags().BoolVar(&now, "now", false, "without grace: nobody else writes to this repository")
	e.addRepo(cmd)
	e.addDryRun(cmd)
	return cmd
}

func runRepoPrune(ctx context.Context, e *env, place string, now bool) error {
	r, err := e.openRepo(ctx, place)
	if err != nil {
		return err
	}
	report, err := r.Prune(ctx, repo.PruneOptions{Now: now, DryRun: e.dry})
	if err = errors.Join(repoRefusal(place, err), r.Close()); err != nil {
		return err
	}
	if e.json {
		return json.NewEncoder(e.stdout).Encode(map[string]any{"message": "pruned", "dry_run": e.dry, "report": report})
	}
	freed := "freed"
	if e.dry {
		freed = "would be freed"
	}
	line := fmt.Sprintf("%s: %d snapshots need %s; %s %s in %d files", shown(place), report.Snapshots,
		progress.Bytes(report.Kept), progress.Bytes(report.Freed), freed, report.Removed)
	if report.Waiting > 0 {
		line += fmt.Sprintf("; %s wait for the grace of %v", progress.Bytes(report.Waiting), r.Grace())
	}
	_, err = fmt.Fprintln(e.stdout, line)
	return err
}
