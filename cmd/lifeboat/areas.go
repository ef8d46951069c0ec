package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/image"
	"lifeboat/clone/manifest"
	"lifeboat/clone/store"
	"lifeboat/internal/progress"
	"lifeboat/internal/speech"
)

// diskAreas reads the boot areas of an eMMC into the origin, and describes those
// that hold something in its head.
func (o *origin) diskAreas(sys *disk.Sys, d disk.Disk) error {
	head := *o.head
	o.head, o.areas = &head, map[string][]byte{}
	for _, a := range d.Areas {
		data, err := sys.ReadArea(a)
		if err != nil {
			return fmt.Errorf("boot area: %w", err)
		}
		if area, full := clone.AreaOf(a.Name, data); full {
			head.Areas, o.areas[a.Name] = append(head.Areas, area), data
		}
	}
	return nil
}

// imageAreas reads the files beside an image, where its head names some. What is
// not what the head says is left out, and told.
func (o *origin) imageAreas(ctx context.Context, s store.Store, name string, opts image.Options) {
	o.areas = map[string][]byte{}
	var have []manifest.Area
	for _, a := range o.head.Areas {
		data, err := image.ReadArea(ctx, s, name, a, opts)
		if err != nil {
			o.lost = append(o.lost, speech.New("the boot area %s that belongs to %s cannot be had: %v", a.Name, o.place, err))
			continue
		}
		have, o.areas[a.Name] = append(have, a), data
	}
	o.head.Areas = have
}

// withLost adds what of a source could not be had to the reservations of what
// was done.
func (e *env) withLost(src *origin, done error) error {
	var reserved reservedError
	if len(src.lost) == 0 || done != nil && !errors.As(done, &reserved) {
		return done
	}
	if !e.json {
		for _, text := range src.lost {
			fmt.Fprintf(e.stdout, "  but: %s\n", text)
		}
	}
	return reservedError{slices.Concat(speech.Strings(src.lost), reserved.reservations)}
}

// compareAreas holds boot areas against those of a disk: sentences about what
// differs.
func compareAreas(sys *disk.Sys, src *origin, path string) ([]string, error) {
	if len(src.lost) > 0 {
		return nil, errors.New(src.lost[0].String())
	}
	if len(src.head.Areas) == 0 {
		return nil, nil
	}
	facts, err := sys.Look(path)
	if err != nil {
		return nil, err
	}
	var differ []string
	for _, a := range src.head.Areas {
		i := slices.IndexFunc(facts.Disk.Areas, func(t disk.Area) bool { return t.Name == a.Name })
		if i < 0 {
			differ = append(differ, fmt.Sprintf("%s has no boot area %s", path, a.Name))
			continue
		}
		data, err := sys.ReadArea(facts.Disk.Areas[i])
		if err != nil {
			return nil, err
		}
		if !bytes.HasPrefix(data, src.areas[a.Name]) {
			differ = append(differ, fmt.Sprintf("the boot area %s differs", a.Name))
		}
	}
	return differ, nil
}

// printAreas tells of the boot areas, blank ones too where a disk has them.
func printAreas(out io.Writer, d *disk.Facts, held []manifest.Area) {
	for _, a := range held {
		fmt.Fprintf(out, "boot area %s: %s, SHA-256 %s\n", a.Name, progress.Bytes(a.Size), a.SHA256)
	}
	if d == nil {
		return
	}
	for _, a := range d.Disk.Areas {
		if !slices.ContainsFunc(held, func(h manifest.Area) bool { return h.Name == a.Name }) {
			fmt.Fprintf(out, "boot area %s: %s, blank\n", a.Name, progress.Bytes(a.Size))
		}
	}
}
