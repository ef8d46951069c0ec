package main

import (
	"errors"

	"lifeboat/boards"
	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/identity"
	"lifeboat/clone/manifest"
	"lifeboat/internal/speech"
	"lifeboat/netboot"
)

// pickOptions are those that say which parts are written, and what the disk will
// be called.
func pickOptions(opts *clone.Options, o restoreOptions) error {
	opts.Parts, opts.Keep, opts.Device = o.parts, o.keep, o.device
	if o.device != "" && !identity.ValidDisk(o.device) {
		return usage("--device is the name of a disk, as /dev/nvme0n1 or /dev/sda, not %q", o.device)
	}
	return nil
}

// present is what the target holds, where some of it may stay.
func (e *env) present(f disk.Facts, h *manifest.Head, o restoreOptions) (*clone.Present, error) {
	if len(o.parts)+len(o.keep) == 0 {
		return nil, nil
	}
	src, err := disk.OpenSource(e.sys, f.Disk.Path)
	if err != nil {
		return nil, err
	}
	now, err := clone.LookAt(src, src.Size(), src.Sector(), h)
	return now, errors.Join(err, src.Close())
}

// lossWords ask for consent: what will be lost.
func lossWords(p *clone.Plan) speech.Text {
	if kept := p.KeptWords(); !kept.IsZero() {
		return speech.New("All of %s but %s will be lost.", p.Target.Path, kept)
	}
	return speech.New("All of %s will be lost.", p.Target.Path)
}

// suit has the plan tell what a board would not find at boot. Of a packed image
// that shows when it lies on the target.
func suit(opts *clone.Options, src *origin, name string) error {
	board, err := namedBoard(name)
	if err != nil {
		return err
	}
	opts.Board = board.Name
	if r, ok := src.files(); ok {
		opts.Notes = append(opts.Notes, clone.BoardMisses(board, r, src.head)...)
	}
	return nil
}

// thisBoard is the name of the board that this runs on; "" where it has no model
// of its own.
func thisBoard(b netboot.BoardFacts) string {
	board, ok := boards.Identify(b.Model, b.Compatible)
	if !ok || board.Generic {
		return ""
	}
	return board.Name
}
