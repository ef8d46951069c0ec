package main

import (
	"github.com/spf13/cobra"
)

const rootHelp = `Lifeboat saves, restores and clones the root disks of Raspberry Pis and boards
like them: offline, over the network, and while they run.

  the card is dead       lifeboat restore card.img.zst /dev/sdb
  the card is too small  lifeboat clone /dev/mmcblk0 /dev/sda
  save the running Pi    sudo lifeboat backup / /mnt/nas/pi.img.zst
  … every night          sudo lifeboat setup
  and keep its history   lifeboat repo init /mnt/nas/pis
  it does not boot       lifeboat fix-boot /dev/sdb
  a stick that helps     lifeboat rescue build --from / rescue.img

Before anything is overwritten a plan is shown, and a short word that names the
target must be typed (or given with --yes=WORD). --dry-run stops at the plan.

Exit codes promise the state of the target:
  0  done and verified
  1  an error; no target was touched
  3  refused; nothing was written
  4  a target was being written: it holds neither old nor new
  5  done, with reservations that were told
  6  compared, and it differs
 64  the command line
130  interrupted before the first write`

func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:           "lifeboat",
		Short:         "Save, restore and clone the disks of Raspberry Pis and boards like them",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.PersistentFlags().BoolVar(&e.json, "json", false, "results as JSON on standard output, progress as JSON lines on standard error")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		newDisks(e),
		newInspect(e),
		newBackup(e),
		newRestore(e),
		newClone(e),
		newVerify(e),
		newConvert(e),
		newExport(e),
		newSnapshots(e),
		newRepo(e),
		newFixBoot(e),
		newResize(e),
		newSetup(e),
		newNightly(e),
		newConfig(e),
		newNotify(e),
		newRescue(e),
		newLiveWatchdog(e),
		newVersion(e),
		newManual(e),
	)
	return root
}

// args is cobra's check of the number of arguments, with our exit code and a
// sentence that shows how it is meant.
func args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if len(given) < least || len(given) > most {
			return usage("it is called as: %s", cmd.UseLine())
		}
		return nil
	}
}

// addDryRun gives the flag to a command that writes.
func (e *env) addDryRun(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&e.dry, "dry-run", "n", false, "show the plan and stop; nothing is asked, nothing is written")
}
