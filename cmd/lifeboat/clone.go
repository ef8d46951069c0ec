package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/clone/image"
)

func newClone(e *env) *cobra.Command {
	o := restoreOptions{}
	cmd := &cobra.Command{
		Use:   "clone DISK DISK",
		Short: "Copy one disk to another, with an identity of its own",
		Long: `Copies the first disk to the second, like backup and restore in one. The copy
gets new IDs, and every reference to them follows (cmdline.txt, fstab, …): both
disks can be plugged into one board. --ids=keep makes it an exact replacement.

The first disk may be / : the running system's, copied as of one instant.

With --with two disks become one: a card that boots, and what its root is on.`,
		Example: `  lifeboat clone /dev/mmcblk0 /dev/sda
  lifeboat clone /dev/sda /dev/sdc --with=/dev/sdb
  sudo lifeboat clone / /dev/nvme0n1`,
		Args: args(2, 2),
		RunE: func(cmd *cobra.Command, given []string) error {
			o.from, o.to = given[0], given[1]
			return runClone(cmd.Context(), e, o)
		},
	}
	addTargetFlags(e, cmd, &o, string(clone.NewIDs))
	return cmd
}

func runClone(ctx context.Context, e *env, o restoreOptions) error {
	if o.from == "/" && (o.with != "" || o.second != "") {
		return usage("/ cannot be cloned with another disk while it runs: back both up, then restore them --with each other")
	}
	if o.from == "/" {
		if o.keepGoing {
			return refuseKeepGoing("the running system's disk")
		}
		return e.withRunning(ctx, o.to, liveOptions{}, func(src *origin) error { return e.fill(ctx, src, o) })
	}
	if o.second != "" {
		return e.fillTwo(ctx, o, image.Options{KeepGoing: o.keepGoing, Logf: e.logf})
	}
	src, err := e.openSources(ctx, o, image.Options{KeepGoing: o.keepGoing})
	if err != nil {
		return err
	}
	return errors.Join(e.fill(ctx, src, o), src.Close())
}
