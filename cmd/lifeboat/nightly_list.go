package main

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

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
	vault := hostVault()
	err = h.Visit(ctx, s, e.nightlyLog(vault).Infof, func(place string) error {
		shelf, err := nightlyBackup{e, vault}.Open(ctx, h, s, place, false)
		if err != nil {
			return err
		}
		all, err = shelf.List(ctx)
		return errors.Join(err, shelf.Close())
	})
	return all, err
}
