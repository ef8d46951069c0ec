package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/clone/image"
)

func newClone(e *env) *cobra.Command {
	o, running := restoreOptions{}, liveOptions{}
	cmd := &cobra.Command{
		Use:   "clone DISK DISK",
		Short: "Copy one disk to another, with an identity of its own",
		Long: `Copies the first disk to the second, like backup and restore in one. The copy
gets new IDs, and every reference to them follows (cmdline.txt, fstab, …): both
disks can be plugged into one board. --ids=keep makes it an exact replacement.

The first disk may be / : the running system's, copied as of one instant. If it
boots from another disk than its root lies on, both become one.

With --with two disks that nobody uses become one: a card that boots, and what
its root is on.`,
		Example: `  lifeboat clone /dev/mmcblk0 /dev/sda
  lifeboat clone /dev/sda /dev/sdc --with=/dev/sdb
  sudo lifeboat clone / /dev/nvme0n1`,
		Args: args(2, 2),
		RunE: func(cmd *cobra.Command, given []string) error {
			o.from, o.to = given[0], given[1]
			return runClone(cmd.Context(), e, o, running)
		},
	}
	addTargetFlags(e, cmd, &o, string(clone.NewIDs))
	running.addFlags(cmd)
	return cmd
}

func runClone(ctx context.Context, e *env, o restoreOptions, running liveOptions) error {
	if o.from == "/" && (o.with != "" || o.second != "") {
		return usage("/ is cloned to one disk, together with what boots it: for two disks, lifeboat backup / FILE, then restore FILE DISK --second=DISK2")
	}
	if o.from == "/" {
		if o.keepGoing {
			return refuseKeepGoing("the running system's disk")
		}
		return e.withRunningMerged(ctx, backupOptions{to: o.to, live: running}, func(src *origin) error { return e.fill(ctx, src, o) })
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
