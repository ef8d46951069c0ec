package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/layout"
	"lifeboat/clone/live"
	"lifeboat/internal/progress"
	"lifeboat/internal/speech"
)

type resizeOptions struct {
	place string
	into  string
	grow  string
	yes   string

	noVerify bool
}

func newResize(e *env) *cobra.Command {
	o := resizeOptions{}
	cmd := &cobra.Command{
		Use:   "resize DISK",
		Short: "Grow the last part to the disk, or make an image as small as its content",
		Long: `Grows the last part of a disk, and the ext file system in it, to the disk's end:
after a copy by another program, or when an image file was made longer with
truncate. A swap part behind it moves to the end and is made anew; a logical part
grows within its extended part. Nothing else changes, and whenever it is
interrupted the disk boots as before.

DISK is a disk that is not in use, an image file, or / : the disk of the running
system, whose file system grows while it is used.

With --into an image (or a disk) is copied to a new image file that is as small
as its content allows; restored to a card it grows again by itself. Nothing is
made smaller in place: restore and clone take a smaller disk as their target.`,
		Example: `  lifeboat resize /dev/sdb
  sudo lifeboat resize /
  sudo lifeboat resize card.img --into small.img`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			o.place = given[0]
			return runResize(cmd.Context(), e, o)
		},
	}
	cmd.Flags().StringVar(&o.grow, "grow", "last", "which part takes the room: last, or its number")
	cmd.Flags().StringVar(&o.into, "into", "", "copy it to this new `FILE`, as small as its content allows")
	cmd.Flags().StringVar(&o.yes, "yes", "", "agree, by the `WORD` that the plan shows")
	cmd.Flags().BoolVar(&o.noVerify, "no-verify", false, "with --into: do not read back (exit code 5)")
	e.addDryRun(cmd)
	return cmd
}

func runResize(ctx context.Context, e *env, o resizeOptions) error {
	grow, err := parseGrow(o.grow)
	if err == nil && grow == clone.GrowNone {
		err = usage("--grow=none leaves nothing to do")
	}
	if err != nil {
		return err
	}
	switch {
	case o.into != "" && grow != clone.GrowLast:
		return usage("--into makes the last part smaller: --grow says nothing then")
	case o.into != "":
		return e.shrinkInto(ctx, o)
	case o.noVerify:
		return usage("--no-verify is for --into: what changes in place is always read back")
	}
	if o.place == "/" {
		return e.growRunning(ctx, o, grow)
	}
	facts, err := e.lookToChange(o.place)
	var use *disk.InUseError
	if errors.As(err, &use) {
		return &clone.Refusal{Err: err, Hint: "for the running system's disk give / ; else unmount it"}
	}
	if err != nil {
		return err
	}
	plan, err := e.planGrow(o.place, facts, grow)
	if err != nil {
		return err
	}
	if err := e.showChange(plan, len(plan.Steps) > 0, plan.Target); err != nil || e.dry || len(plan.Steps) == 0 {
		return err
	}
	if err := e.needPrograms(plan.Plan); err != nil {
		return err
	}
	target, err := disk.Claim(ctx, e.sys, facts, e.consent(o.yes, growWords(plan)))
	if err != nil {
		return err
	}
	e.showProgress()
	report, err := e.runner().Execute(ctx, plan.Plan, nil, target)
	if err = errors.Join(err, target.Close()); err != nil {
		return err
	}
	return e.tellChange(grownLine(plan), report)
}

// growWords ask for consent.
func growWords(g *clone.Growth) speech.Text {
	return speech.New("The partition table of %s will be changed, and a file system grows.", g.Target.Path)
}

// growRunning grows the disk of the running system.
func (e *env) growRunning(ctx context.Context, o resizeOptions, grow int) error {
	if os.Geteuid() != 0 {
		return &clone.Refusal{Err: errors.New("only root may grow the running system's disk"), Hint: "call it with sudo"}
	}
	path, err := live.RootDisk(e.sys)
	if err != nil {
		return refusal(err)
	}
	facts, err := e.sys.Look(path)
	if err != nil {
		return err
	}
	plan, err := e.planGrow(path, facts, grow)
	if err == nil {
		err = plan.InUse(e.sys, facts)
	}
	if err != nil {
		return err
	}
	if err := e.showChange(plan, len(plan.Steps) > 0, plan.Target); err != nil || e.dry || len(plan.Steps) == 0 {
		return err
	}
	if err := e.runner().GrowMounted(ctx, e.sys, plan, facts, e.consent(o.yes, growWords(plan))); err != nil {
		return err
	}
	return e.tellChange(grownLine(plan), &clone.Report{Verified: true})
}

func (e *env) planGrow(place string, facts disk.Facts, grow int) (*clone.Growth, error) {
	if err := e.notCut(place); err != nil {
		return nil, err
	}
	src, err := openBlocks(e.sys, place, false)
	if err != nil {
		return nil, err
	}
	plan, err := clone.PlanGrow(src.Head(), facts, grow)
	return plan, errors.Join(err, src.Close())
}

// notCut refuses a disk that is smaller than its parts.
func (e *env) notCut(place string) error {
	src, err := disk.OpenSource(e.sys, place)
	if err != nil {
		return err
	}
	defer src.Close()
	table, err := layout.Read(src, 0, src.Sector())
	if err != nil {
		return nil // whoever surveys the disk says it better
	}
	for _, entry := range table.Entries {
		if end := entry.Extent.End(); end > src.Size() {
			return &clone.Refusal{
				Err: fmt.Errorf("%s has %d bytes, but its part %d ends at byte %d: parts are not made smaller in place",
					place, src.Size(), entry.Num, end),
				Hint: "restore or clone the whole disk to a smaller one instead",
			}
		}
	}
	return nil
}

func grownLine(g *clone.Growth) string {
	for _, s := range g.Steps {
		if s.Op == clone.Resize {
			return fmt.Sprintf("%s: part %d has %s now", g.Target.Path, g.Part, progress.Bytes(s.Dst.Len))
		}
	}
	return g.Target.Path + ": nothing to do"
}
