package main

import (
	"github.com/spf13/cobra"
)

func newExport(e *env) *cobra.Command {
	o := convertOptions{}
	cmd := &cobra.Command{
		Use:   "export REPO@NAME FILE",
		Short: "Make an image out of a snapshot, for Raspberry Pi Imager and other tools",
		Long: `Makes FILE.img, FILE.img.gz, FILE.img.zst or FILE.img.xz out of a snapshot of a
repository. The image is read back before it gets its name.`,
		Example: `  lifeboat export /mnt/nas/pis@latest pi.img.gz`,
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, given []string) error {
			o.from, o.to = given[0], given[1]
			if _, _, ok := splitSnapshot(o.from); !ok {
				return usage("%s names no snapshot: it is REPO@latest, or REPO@NAME as lifeboat snapshots REPO lists them", shown(o.from))
			}
			return runConvert(cmd.Context(), e, o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.overwrite, "overwrite", false, "replace an image that is there")
	addLevel(f, &o.level)
	f.BoolVar(&o.noVerify, "no-verify", false, "do not read back (exit code 5)")
	e.addRepo(cmd)
	e.addDryRun(cmd)
	return cmd
}
