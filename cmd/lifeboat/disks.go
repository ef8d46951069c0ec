package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"lifeboat/clone/disk"
	"lifeboat/internal/progress"
)

func newDisks(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "disks",
		Short: "List the disks, what they hold, and who uses them",
		Long: `Lists every disk with its size, model, serial number, how it is connected, the
disk ID that it holds now, and who uses it. The last column is the word that
restore and clone ask for before they overwrite the disk. The boot areas of an
eMMC stand below: they are saved and restored with their disk.`,
		Args: args(0, 0),
		RunE: func(*cobra.Command, []string) error { return runDisks(e) },
	}
}

func runDisks(e *env) error {
	all, err := lookAtDisks(e.sys)
	if err != nil {
		return err
	}
	if e.json {
		return json.NewEncoder(e.stdout).Encode(diskLines(all))
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DISK\tSIZE\tBUS\tMODEL\tHOLDS\tUSED BY\tWORD")
	for _, f := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Disk.Path, progress.Bytes(f.Disk.Size), f.Disk.Bus,
			strings.TrimSpace(f.Disk.Model+" "+f.Disk.Serial), f.Holds, usersOf(f), f.Word)
	}
	for _, f := range all {
		for _, a := range f.Disk.Areas {
			fmt.Fprintf(w, "%s\t%s\tboot area of %s\n", a.Path, progress.Bytes(a.Size), f.Disk.Path)
		}
	}
	return w.Flush()
}

// A diskLine is a disk as --json tells it. Sizes are bytes.
type diskLine struct {
	Path      string   `json:"path"`
	Size      int64    `json:"size"`
	Sector    int64    `json:"sector"`
	Bus       string   `json:"bus"`
	Slot      string   `json:"slot,omitempty"`
	Model     string   `json:"model,omitempty"`
	Serial    string   `json:"serial,omitempty"`
	Removable bool     `json:"removable"`
	ReadOnly  bool     `json:"read_only"`
	Holds     string   `json:"holds"`
	Users     []string `json:"users"`
	Word      string   `json:"word"`
	Areas     []area   `json:"areas,omitempty"`
}

// An area is a boot area of an eMMC. Size is bytes.
type area struct {
	Name string `json:"name"`
	Path string `json:"path"`
	Size int64  `json:"size"`
}

func diskLines(all []disk.Facts) []diskLine {
	lines := []diskLine{}
	for _, f := range all {
		d := f.Disk
		line := diskLine{d.Path, d.Size, d.Sector, d.Bus, d.Slot, d.Model, d.Serial, d.Removable, d.ReadOnly, f.Holds, []string{}, f.Word, nil}
		for _, a := range d.Areas {
			line.Areas = append(line.Areas, area{a.Name, a.Path, a.Size})
		}
		for _, u := range f.Users {
			line.Users = append(line.Users, u.String())
		}
		lines = append(lines, line)
	}
	return lines
}

// lookAtDisks looks at every disk there is. One that goes away meanwhile, or
// cannot be looked at, is listed by what the kernel says of it.
func lookAtDisks(sys *disk.Sys) ([]disk.Facts, error) {
	disks, err := sys.Disks()
	if err != nil {
		return nil, err
	}
	var all []disk.Facts
	for _, d := range disks {
		f, err := sys.Look(d.Path)
		if err != nil {
			f = disk.Facts{Disk: d, Holds: "?"}
		}
		all = append(all, f)
	}
	return all, nil
}

func usersOf(f disk.Facts) string {
	if len(f.Users) == 0 {
		return "-"
	}
	var words []string
	for _, u := range f.Users {
		words = append(words, u.String())
	}
	return strings.Join(words, "; ")
}
