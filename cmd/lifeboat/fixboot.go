package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"lifeboat/boards"
	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/internal/speech"
)

type fixBootOptions struct {
	place string
	board string
	yes   string
}

func newFixBoot(e *env) *cobra.Command {
	o := fixBootOptions{}
	cmd := &cobra.Command{
		Use:   "fix-boot DISK",
		Short: "Tell why a restored card does not boot, and mend its boot references",
		Long: `Follows what the board follows at boot (cmdline.txt, extlinux.conf, fstab, …),
tells each reference that leads nowhere, and mends those whose part is known: the
only one that suits, or the one whose number was kept when the disk ID changed.
Names such as /dev/mmcblk0p2 that this disk cannot have become PARTUUID=….

Nothing but these lines of text is changed. With --board the files that this
board's firmware needs are looked for too; what is missing is told.

DISK is a disk or an image file. Exit code 5: something is left, and was told.`,
		Example: `  lifeboat fix-boot --dry-run /dev/sdb
  lifeboat fix-boot --board=rpi-4-b /dev/sdb`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			o.place = given[0]
			return runFixBoot(cmd.Context(), e, o)
		},
	}
	cmd.Flags().StringVar(&o.board, "board", "", "look for the files that this board's firmware needs: the `NAME` of a file in boards/data")
	cmd.Flags().StringVar(&o.yes, "yes", "", "agree, by the `WORD` that the plan shows")
	e.addDryRun(cmd)
	return cmd
}

func runFixBoot(ctx context.Context, e *env, o fixBootOptions) error {
	facts, err := e.lookToChange(o.place)
	if err != nil {
		return err
	}
	plan, err := e.planFixBoot(facts, o)
	if err != nil {
		return err
	}
	if err := e.showChange(plan, len(plan.Repairs) > 0, plan.Target); err != nil {
		return err
	}
	if e.dry || len(plan.Repairs) == 0 {
		return reserved(speech.Strings(plan.Left))
	}
	target, err := disk.Claim(ctx, e.sys, facts, e.consent(o.yes, speech.New("These lines of %s will be changed.", facts.Disk.Path)))
	if err != nil {
		return err
	}
	report, err := e.runner().FixBoot(ctx, plan, target)
	if err = errors.Join(err, target.Close()); err != nil {
		return err
	}
	return e.tellChange(fmt.Sprintf("%s: references mended: %d, verified", plan.Target.Path, len(plan.Repairs)), report)
}

func (e *env) planFixBoot(facts disk.Facts, o fixBootOptions) (*clone.BootPlan, error) {
	src, err := openBlocks(e.sys, o.place, false)
	if err != nil {
		return nil, err
	}
	trees := clone.BootTrees(src, src.Head())
	plan, err := clone.PlanFixBoot(src.Head(), trees, facts)
	if err == nil && o.board != "" {
		var board boards.Board
		if board, err = namedBoard(o.board); err == nil {
			plan.Left = append(plan.Left, clone.BoardMisses(board, src, src.Head())...)
		}
	}
	return plan, errors.Join(err, src.Close())
}

// namedBoard is the board of --board.
func namedBoard(name string) (boards.Board, error) {
	board, ok := boards.Find(name)
	if !ok {
		return board, usage("--board: there is no board %q; lifeboat rescue build --dry-run lists them", name)
	}
	if board.Generic && board.Boot == boards.RPiFirmware {
		return board, usage("--board: %s stands for boards of which the model is not known: name one", name)
	}
	return board, nil
}

// lookToChange looks at a disk that is to be changed, and tells early what Claim
// would refuse.
func (e *env) lookToChange(place string) (disk.Facts, error) {
	if _, err := e.isDisk(place); err != nil {
		return disk.Facts{}, err
	}
	facts, err := e.sys.Look(place)
	if err != nil {
		return facts, err
	}
	return facts, usable(facts, &origin{})
}

// showChange shows a plan that changes a disk in place, and where a person must
// agree, the word.
func (e *env) showChange(plan interface {
	In(l speech.Language) string
}, changes bool, t clone.Target) error {
	if e.json {
		return json.NewEncoder(e.stdout).Encode(map[string]any{"message": "plan", "plan": plan})
	}
	out := e.stderr
	if e.dry || !changes {
		out = e.stdout
	}
	_, err := fmt.Fprint(out, plan.In(e.language))
	if e.dry && changes {
		e.showWord(out, t)
	}
	return err
}

// tellChange ends a run that changed a disk in place.
func (e *env) tellChange(line string, r *clone.Report) error {
	e.show.stop()
	if e.json {
		if err := json.NewEncoder(e.stdout).Encode(map[string]any{"message": "done", "report": r}); err != nil {
			return err
		}
		return reserved(r.Reservations)
	}
	fmt.Fprintln(e.stdout, line)
	for _, text := range r.Reservations {
		fmt.Fprintf(e.stdout, "  but: %s\n", text)
	}
	return reserved(r.Reservations)
}

// reserved is an error where there is something to be told.
func reserved(list []string) error {
	if len(list) == 0 {
		return nil
	}
	return reservedError{list}
}
