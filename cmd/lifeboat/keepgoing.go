package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"lifeboat/clone"
)

// addKeepGoing gives the flag to a command that reads disks.
func addKeepGoing(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVar(to, "keep-going", false, "take zeros for what cannot be read of the source, and tell where (exit code 5)")
}

// refuseKeepGoing refuses a source that nobody can read around places of.
func refuseKeepGoing(what string) error {
	return &clone.Refusal{
		Err:  fmt.Errorf("--keep-going reads around bad places of a disk that nobody uses, or of an image file that is not packed, not of %s", what),
		Hint: "give the command without it",
	}
}
