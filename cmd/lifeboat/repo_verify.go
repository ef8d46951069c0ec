package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lifeboat/clone/repo"
)

func newRepoVerify(e *env) *cobra.Command {
	sample := ""
	cmd := &cobra.Command{
		Use:   "verify REPO",
		Short: "Read a repository and hold it against its digests",
		Long: `Reads each snapshot's record, index and manifest, and all chunks that they need, or
with --sample a part of them, another one each time. What is wrong is named, with
a snapshot that needs it (exit code 6). backup --mend puts damaged and missing
chunks anew that its disk still has.`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			fraction, err := parseSample(sample)
			if err != nil {
				return err
			}
			return runRepoVerify(cmd.Context(), e, given[0], fraction)
		},
	}
	cmd.Flags().StringVar(&sample, "sample", "100%", "how much of the chunks is read, as 5%")
	e.addRepo(cmd)
	return cmd
}

func parseSample(text string) (float64, error) {
	n, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !strings.HasSuffix(text, "%") || n <= 0 || n > 100 {
		return 0, usage("--sample is a percentage, as 5%%, not %q", text)
	}
	return n / 100, nil
}

func runRepoVerify(ctx context.Context, e *env, place string, fraction float64) error {
	r, err := e.openRepo(ctx, place)
	if err != nil {
		return err
	}
	e.showProgress()
	report, err := r.Verify(ctx, repo.VerifyOptions{Fraction: fraction, Meter: e.meter})
	e.show.stop()
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("%s: %w", shown(place), err)
	}
	if e.json {
		err = json.NewEncoder(e.stdout).Encode(map[string]any{"message": "verified", "report": report})
	} else {
		for _, line := range report.Bad {
			fmt.Fprintf(e.stdout, "bad: %s\n", line)
		}
		_, err = fmt.Fprintf(e.stdout, "%s: %d snapshots, %d of %d chunks read, %s\n", shown(place), report.Snapshots, report.Read, report.Chunks, badWord(len(report.Bad)))
	}
	if err == nil && len(report.Bad) > 0 {
		return errDiffers
	}
	return err
}

func badWord(n int) string {
	if n == 0 {
		return "all right"
	}
	return fmt.Sprintf("%d bad", n)
}
