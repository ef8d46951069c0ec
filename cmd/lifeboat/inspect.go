package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"lifeboat/boards"
	"lifeboat/clone"
	"lifeboat/clone/extent"
	"lifeboat/clone/identity"
	"lifeboat/clone/image"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
	"lifeboat/internal/speech"
)

func newInspect(e *env) *cobra.Command {
	check := false
	cmd := &cobra.Command{
		Use:   "inspect SRC",
		Short: "Tell what a disk or an image holds, and whether it would boot",
		Long: `Shows the partition table, the file systems with labels, UUIDs and used bytes,
what lies outside of parts, the board, and whether each reference that the board
follows at boot resolves (exit code 5: one does not, or bytes cannot be read).

SRC is a disk, an image file or the address of one. A packed image is read up to
its last part; its boot references can be resolved only when it is unpacked.

--check reads the inodes of ext2, ext3 and ext4, which takes seconds to minutes,
and tells of files whose blocks their file system calls free: a backup of what is
in use would lack them (exit code 5).`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error { return inspect(cmd.Context(), e, given[0], check) },
	}
	cmd.Flags().BoolVar(&check, "check", false, "hold the blocks of all files against what is in use")
	e.addRepo(cmd)
	return cmd
}

func inspect(ctx context.Context, e *env, place string, check bool) error {
	src, err := e.openForInspect(ctx, place)
	if err != nil {
		return err
	}
	return errors.Join(runInspect(ctx, e, src, check), src.Close())
}

// openForInspect opens also a disk that is in use: only to look at it.
func (e *env) openForInspect(ctx context.Context, place string) (*origin, error) {
	if _, _, snapshot := splitSnapshot(place); snapshot {
		return e.openOrigin(ctx, place, image.Options{})
	}
	if isDisk, err := e.isDisk(place); err != nil || !isDisk {
		if err != nil {
			return nil, err
		}
		return e.openOrigin(ctx, place, image.Options{})
	}
	facts, err := e.sys.Look(place)
	if err != nil {
		return nil, err
	}
	return openDiskBlocks(e.sys, place, &facts, true)
}

// An inspection is what inspect found.
type inspection struct {
	Place    string             `json:"place"`
	Head     *manifest.Head     `json:"head"`
	Gaps     extent.Set         `json:"gaps"`
	Smallest int64              `json:"smallest,omitempty"` // disk that the content fits on, bytes
	Board    string             `json:"board,omitempty"`
	Firmware []string           `json:"firmware,omitempty"` // what the board's firmware would take, and why
	Findings []identity.Finding `json:"findings,omitempty"`
	Notes    []string           `json:"notes,omitempty"`
	Broken   string             `json:"broken,omitempty"` // why references were not followed
	Stray    []string           `json:"stray,omitempty"`  // files with blocks that are called free, as sentences
}

func runInspect(ctx context.Context, e *env, src *origin, check bool) error {
	found := &inspection{Place: src.place, Head: src.head, Gaps: src.head.Gaps(), Smallest: clone.SmallestDisk(src.head), Board: src.head.Board, Notes: notesOf(src.head)}
	found.Notes = append(found.Notes, speech.Strings(src.lost)...)
	if r, ok := src.files(); ok {
		if err := found.lookAtBoot(r); err != nil {
			return err
		}
		if check {
			if err := found.lookAtMaps(ctx, r); err != nil {
				return err
			}
		}
	} else {
		found.Notes = append(found.Notes, "it is packed: unpack it to have its boot references resolved, and its files checked")
	}
	if e.json {
		if err := json.NewEncoder(e.stdout).Encode(found); err != nil {
			return err
		}
	} else {
		if err := found.print(e.stdout); err != nil {
			return err
		}
		printAreas(e.stdout, src.disk, src.head.Areas)
	}
	return found.verdict()
}

// notesOf are what deserves to be told of a disk beside its table.
func notesOf(h *manifest.Head) []string {
	notes := speech.Strings(h.Table.Notes)
	if words := clone.LostWords(h, h.Unreadable); !words.IsZero() {
		notes = append(notes, words.String())
	}
	for _, p := range h.Parts {
		if p.Why != "" {
			notes = append(notes, fmt.Sprintf("%s: all bytes count as used: %s", p.Title(), p.Why))
		}
	}
	return notes
}

// lookAtBoot asks what the board's firmware would take, and resolves every
// reference.
func (n *inspection) lookAtBoot(r io.ReaderAt) error {
	trees := clone.BootTrees(r, n.Head)
	boot := trees.Boot
	findings, err := identity.Check(n.Head, boot, trees.Root)
	if err != nil { // the files are damaged: what else there is to see is shown
		n.Broken = fmt.Sprintf("its boot references cannot be followed: %v", err)
		return nil
	}
	n.Findings = findings
	board, ok := boards.Find(n.Board)
	if !ok || boot == nil {
		return nil
	}
	if board.Generic && board.Boot == boards.RPiFirmware {
		n.Notes = append(n.Notes, "which model it is for cannot be told: what the firmware would load was not looked at")
		return nil
	}
	chain, err := chainOf(board, boot)
	if err != nil {
		n.Notes = append(n.Notes, fmt.Sprintf("%s would not boot it: %v", board.Title, err))
		return nil
	}
	n.Firmware = chain.Trace
	return nil
}

// chainOf is what the board would load from its boot part.
func chainOf(b boards.Board, boot fs.FS) (*boards.Chain, error) {
	if b.Boot == boards.RPiFirmware {
		return boards.Firmware(boot, b, boards.FirmwareOptions{})
	}
	return boards.Extlinux(boot)
}

func (n *inspection) verdict() error {
	var bad []string
	for _, f := range n.Findings {
		if f.Serious() {
			bad = append(bad, f.Text.String())
		}
	}
	if n.Broken != "" {
		bad = append(bad, n.Broken)
	}
	if words := clone.LostWords(n.Head, n.Head.Unreadable); !words.IsZero() {
		bad = append(bad, words.String())
	}
	if bad = append(bad, n.Stray...); len(bad) > 0 {
		return reservedError{bad}
	}
	return nil
}

func (n *inspection) print(out io.Writer) error {
	h := n.Head
	fmt.Fprintf(out, "%s: %s (%d bytes), sectors of %d bytes\n", n.Place, progress.Bytes(h.Size), h.Size, h.Sector)
	fmt.Fprintf(out, "%s\n", tableTitle(h.Table))
	if n.Board != "" {
		fmt.Fprintf(out, "board: %s\n", n.Board)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PART\tSTART\tSIZE\tTYPE\tBOOT\tPARTUUID\tCONTENT\tLABEL\tUUID\tUSED")
	for _, e := range h.Table.Entries {
		p, _ := h.Part(e.Num)
		fmt.Fprintln(w, strings.Join(partRow(e, p), "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, g := range n.Gaps {
		fmt.Fprintf(out, "outside of parts: bytes %d to %d\n", g.Off, g.End())
	}
	if n.Smallest > 0 {
		fmt.Fprintf(out, "fits on a disk of %s (%d bytes)\n", progress.Bytes(n.Smallest), n.Smallest)
	}
	for _, line := range n.Firmware {
		fmt.Fprintf(out, "firmware: %s\n", line)
	}
	for _, f := range n.Findings {
		fmt.Fprintf(out, "boot: %s\n", f.Text)
	}
	if n.Broken != "" {
		fmt.Fprintf(out, "boot: %s\n", n.Broken)
	}
	for _, line := range n.Stray {
		fmt.Fprintf(out, "files: %s\n", line)
	}
	for _, line := range n.Notes {
		fmt.Fprintf(out, "note: %s\n", line)
	}
	return nil
}

func tableTitle(t manifest.Table) string {
	if t.Kind == manifest.NoTable {
		return "no partition table"
	}
	return fmt.Sprintf("partition table: %s, disk ID %s", t.Kind, t.ID)
}

func partRow(e manifest.Entry, p *manifest.Part) []string {
	row := []string{fmt.Sprint(e.Num), fmt.Sprint(e.Extent.Off), progress.Bytes(e.Extent.Len), e.Type, mark(e.Active), e.UUID}
	if p == nil {
		return append(row, "extended", "", "", "")
	}
	used := "?"
	if p.Used >= 0 {
		used = progress.Bytes(p.Used)
	}
	content := p.FS.Type
	if content == "" {
		content = "-"
	}
	if p.FS.Dirty {
		content += " (not cleanly unmounted)"
	}
	return append(row, content, p.FS.Label, p.FS.UUID, used)
}

func mark(b bool) string {
	if b {
		return "*"
	}
	return ""
}
