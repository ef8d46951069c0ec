package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version may be set by the linker for a release: -X main.version=v1.2.3
var version = ""

// build is what a binary knows of how it was made.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Date    string `json:"date"` // of the commit, RFC 3339
	Go      string `json:"go"`
	Arch    string `json:"arch"`
}

func thisBuild() build {
	b := build{Version: version, Commit: "unknown", Date: "unknown", Go: runtime.Version(), Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		}
	}
	return b
}

func newVersion(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Tell version, commit and date",
		Args:  args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			if e.json {
				return json.NewEncoder(e.stdout).Encode(b)
			}
			_, err := fmt.Fprintf(e.stdout, "version %s\ncommit %s\ndate %s\ngo %s\narch %s\n", b.Version, b.Commit, b.Date, b.Go, b.Arch)
			return err
		},
	}
}
