package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/image"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
)

func newVerify(e *env) *cobra.Command {
	var o image.Options
	cmd := &cobra.Command{
		Use:   "verify SRC [DISK]",
		Short: "Read a backup and hold it against its checksums, or against a disk",
		Long: `With one argument: reads all of a backup and holds it against every checksum and
digest that there is.

With two: compares what the backup has in use with the disk, byte by byte (exit
code 6: they differ), but for the body of an empty journal. A disk whose file
system has grown, or that has run since, differs where it was written to.`,
		Args: args(1, 2),
		RunE: func(cmd *cobra.Command, given []string) error {
			with := ""
			if len(given) == 2 {
				with = given[1]
			}
			return verify(cmd.Context(), e, given[0], with, o)
		},
	}
	cmd.Flags().StringVar(&o.SHA256, "sha256", "", "the SHA-256 that the image must have, as it lies there or unpacked")
	addMember(cmd, &o.Member)
	e.addRepo(cmd)
	return cmd
}

// verify reads place, and compares it with the disk where one is given.
func verify(ctx context.Context, e *env, place, with string, o image.Options) error {
	o.UsedOnly = with == "" // to be read, and to be told how much that is
	src, err := e.openOrigin(ctx, place, o)
	if err != nil {
		return err
	}
	e.showProgress()
	if with == "" {
		err = runVerify(ctx, e, src)
	} else {
		err = runCompare(ctx, e, src, with)
	}
	return errors.Join(err, src.Close())
}

func runVerify(ctx context.Context, e *env, src *origin) error {
	n, err := clone.CheckSource(ctx, src.Source, src.head, e.meter)
	e.show.stop()
	if err == nil && len(src.lost) > 0 {
		err = errors.New(src.lost[0].String())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", src.place, err)
	}
	if e.json {
		err := json.NewEncoder(e.stdout).Encode(map[string]any{"message": "verified", "bytes": n, "unreadable": src.head.Unreadable})
		return errors.Join(err, lacking(src))
	}
	fmt.Fprintf(e.stdout, "%s: %s read, all checksums right\n", src.place, progress.Bytes(n))
	return e.tellReservations(lacking(src))
}

// lacking is the reservation of a backup of which bytes could not be read when
// it was made.
func lacking(src *origin) error {
	return reservations(false, src.head, &manifest.Tail{Unreadable: src.head.Unreadable})
}

func runCompare(ctx context.Context, e *env, src *origin, path string) error {
	with, err := disk.OpenSource(e.sys, path)
	if err != nil {
		return err
	}
	c, err := clone.Compare(ctx, src.Source, src.head, with, e.meter)
	e.show.stop()
	areas, areaErr := compareAreas(e.sys, src, path)
	if err = errors.Join(err, areaErr, with.Close()); err != nil {
		return err
	}
	if e.json {
		err = json.NewEncoder(e.stdout).Encode(map[string]any{"message": "compared", "comparison": c, "areas": areas})
	} else {
		err = tellComparison(e.stdout, src, path, c)
		for _, text := range areas {
			fmt.Fprintln(e.stdout, text)
		}
	}
	if err == nil && len(c.Differing)+len(areas) > 0 {
		return errDiffers
	}
	return errors.Join(err, e.tellReservations(lacking(src)))
}

// mostDiffering is how many differing ranges are listed.
const mostDiffering = 10

func tellComparison(w io.Writer, src *origin, path string, c *clone.Comparison) error {
	if len(c.Differing) == 0 {
		_, err := fmt.Fprintf(w, "%s holds %s: %s compared\n", path, src.place, progress.Bytes(c.Compared))
		return err
	}
	fmt.Fprintf(w, "%s differs from %s in %s of %s, in %d places:\n", path, src.place,
		progress.Bytes(c.Differing.Bytes()), progress.Bytes(c.Compared), len(c.Differing))
	for i, d := range c.Differing {
		if i == mostDiffering {
			fmt.Fprintf(w, "  … and %d more\n", len(c.Differing)-i)
			break
		}
		fmt.Fprintf(w, "  bytes %d to %d (%s)\n", d.Off, d.End(), src.head.Place(d.Off))
	}
	return nil
}
