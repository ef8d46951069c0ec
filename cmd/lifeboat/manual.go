package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newManual(e *env) *cobra.Command {
	return &cobra.Command{
		Use:    "manual DIR",
		Short:  "Write the manual pages",
		Long:   "Writes a manual page for each command into DIR: copy them to /usr/local/share/man/man1.",
		Args:   args(1, 1),
		Hidden: true,
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := os.MkdirAll(given[0], 0o755); err != nil {
				return err
			}
			header := &doc.GenManHeader{Title: "LIFEBOAT", Section: "1", Source: "lifeboat", Manual: "Lifeboat"}
			if err := doc.GenManTree(cmd.Root(), header, given[0]); err != nil {
				return fmt.Errorf("write the manual pages to %s: %w", given[0], err)
			}
			return nil
		},
	}
}
