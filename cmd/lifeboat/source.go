package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/image"
	"lifeboat/clone/live"
	"lifeboat/clone/manifest"
	"lifeboat/clone/store"
	"lifeboat/internal/speech"
)

// An origin is a source that was opened and looked at.
type origin struct {
	clone.Source
	place string
	head  *manifest.Head
	disk  *disk.Facts // where it is a disk

	running *live.Source // what Source is or wraps, where the disk changes while it is read; nil = it holds still

	areas map[string][]byte         // what the boot areas hold that the head names
	pair  *manifest.Pair            // what was saved together with it; nil = none
	other string                    // where that lies
	lost  []speech.Text             // sentences: what belongs to it, and cannot be had
	image func(ctx context.Context) // reads the files beside an image; nil = it is none

	second *origin           // of two that were merged
	guests []clone.GuestPart // what came from there
	notes  []speech.Text     // what became of the two, as sentences
}

// openOrigin opens a disk, an image file or the address of one, and probes it.
// The caller closes it.
func (e *env) openOrigin(ctx context.Context, place string, o image.Options) (*origin, error) {
	src, err := e.openSource(ctx, place, o)
	if err != nil {
		return nil, err
	}
	if src.place == "" {
		src.place = shown(place)
	}
	if src.head != nil { // a disk's is complete
		return src, nil
	}
	if src.head, err = clone.Probe(ctx, src.Source); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", src.place, err), src.Close())
	}
	if src.image != nil {
		src.image(ctx)
	}
	if h := src.head; src.disk == nil && h.Table.Kind == manifest.NoTable && len(h.Parts) == 1 && filesystem.IsAlien(h.Parts[0].FS) {
		no := &clone.Refusal{
			Err:  fmt.Errorf("%s is no image of a disk: %s", src.place, h.Parts[0].FS.Detail),
			Hint: "was it meant to be another file, or is it what a network's login page sent?",
		}
		return nil, errors.Join(no, src.Close())
	}
	if size := src.head.Size; size%imageSector != 0 {
		no := &clone.Refusal{
			Err:  fmt.Errorf("%s is no image of a disk: %d bytes are not whole sectors", src.place, size),
			Hint: "is it something else, or was its download cut short?",
		}
		return nil, errors.Join(no, src.Close())
	}
	return src, nil
}

// imageSector is what an image counts in, as cards do.
const imageSector = 512

// shown is a place as it may be printed: without the secrets of an address.
func shown(place string) string {
	if place == stdinPlace {
		return "standard input"
	}
	return store.Shown(place)
}

// stdinPlace is standard input in a source's place.
const stdinPlace = "-"

// A sourceKind is what a place is: each kind is proven in a way of its own.
type sourceKind string

const (
	anImage   sourceKind = "an image"
	aSnapshot sourceKind = "a snapshot"
	aDisk     sourceKind = "a disk"
)

// kindOf tells what a place is.
func (e *env) kindOf(ctx context.Context, place string) (sourceKind, error) {
	if place == stdinPlace {
		return anImage, nil
	}
	// Where only a snapshot will do, a server that does not answer is no proof that
	// it is none: opening it tells what is wrong.
	if at, _, ok := splitSnapshot(place); ok && (len(e.repo.signedBy) > 0 || e.isRepo(ctx, at)) {
		return aSnapshot, nil
	}
	isDisk, err := e.isDisk(place)
	if isDisk {
		return aDisk, nil
	}
	return anImage, err
}

// provable refuses a proof that a source of this kind cannot give: who asks for
// one must not get a source without it.
func (e *env) provable(place string, kind sourceKind, o image.Options) error {
	switch {
	case kind != anImage && o.SHA256 != "":
		return &clone.Refusal{
			Err:  fmt.Errorf("%s is %s, and what --sha256 holds is an image", shown(place), kind),
			Hint: "a snapshot is proven by who signed it: --signed-by=KEY; of a disk nothing is known beforehand",
		}
	case kind != aSnapshot && len(e.repo.signedBy) > 0:
		return &clone.Refusal{
			Err:  fmt.Errorf("%s is no snapshot of a repository, and only of these it is known who signed them", shown(place)),
			Hint: "give --sha256=DIGEST for an image",
		}
	}
	return nil
}

// unsigned is e for sources that nobody signs, where what is asked for is asked of
// the repository that they are saved to.
func (e *env) unsigned() *env {
	u := *e
	u.repo.signedBy = nil
	return &u
}

func (e *env) openSource(ctx context.Context, place string, o image.Options) (*origin, error) {
	kind, err := e.kindOf(ctx, place)
	if err == nil {
		err = e.provable(place, kind, o)
	}
	if err != nil {
		return nil, err
	}
	if place == stdinPlace {
		if o.KeepGoing {
			return nil, refuseKeepGoing("a stream")
		}
		return e.openStdin(o)
	}
	switch kind {
	case aSnapshot:
		if o.KeepGoing {
			return nil, refuseKeepGoing("a snapshot")
		}
		at, name, _ := splitSnapshot(place)
		return e.openSnapshot(ctx, at, name)
	case aDisk:
		return e.openDisk(place, o.KeepGoing)
	}
	s, name, err := store.Open(place, e.places)
	if err != nil {
		return nil, err
	}
	img, err := image.Open(ctx, s, name, o)
	if err != nil {
		return nil, err
	}
	src := &origin{Source: img, pair: image.PairOf(img)}
	if src.pair != nil {
		src.other = besideOf(place, src.pair.File)
	}
	src.image = func(ctx context.Context) { src.imageAreas(ctx, s, name, o) }
	raw, ok := img.(*image.Raw)
	if o.KeepGoing && (!ok || !store.Local(s)) {
		return nil, errors.Join(refuseKeepGoing(shown(place)), img.Close())
	}
	if !ok {
		return src, nil
	}
	blocks, err := clone.NewNarrowed(raw, raw.Size(), imageSector)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", shown(place), err), img.Close())
	}
	src.Source = blocks
	return src, nil
}

// openStdin takes the image that comes out of a pipe.
func (e *env) openStdin(o image.Options) (*origin, error) {
	if e.terminal {
		return nil, &clone.Refusal{Err: errors.New("standard input is a terminal"), Hint: "pipe an image into it"}
	}
	img, err := image.FromStream(io.NopCloser(e.stdin), shown(stdinPlace), o)
	if err != nil {
		return nil, err
	}
	return &origin{Source: clone.NewStream(img)}, nil
}

// isStdin tells whether path is what standard input comes from.
func (e *env) isStdin(path string) bool {
	f, ok := e.stdin.(*os.File)
	if !ok {
		return false
	}
	in, err := f.Stat()
	if err != nil {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && (os.SameFile(in, info) || in.Mode()&info.Mode()&os.ModeDevice != 0 && sameDevice(in, info))
}

// sameDevice tells whether two nodes are of one device.
func sameDevice(a, b os.FileInfo) bool {
	x, okX := a.Sys().(*syscall.Stat_t)
	y, okY := b.Sys().(*syscall.Stat_t)
	return okX && okY && x.Rdev == y.Rdev
}

// isDisk tells a block device from everything else that a source can be.
func (e *env) isDisk(place string) (bool, error) {
	if isAddress(place) {
		return false, nil
	}
	info, err := os.Stat(place)
	if errors.Is(err, fs.ErrNotExist) {
		return false, &clone.Refusal{Err: fmt.Errorf("%s does not exist", place), Hint: "lifeboat disks lists the disks"}
	}
	if err != nil {
		return false, err
	}
	if info.IsDir() && isRepoFolder(place) {
		return false, &clone.Refusal{
			Err:  fmt.Errorf("%s is a repository: which of its snapshots?", place),
			Hint: "as " + place + "@latest; lifeboat snapshots " + place + " lists them",
		}
	}
	if info.IsDir() {
		return false, &clone.Refusal{Err: fmt.Errorf("%s is a folder, not an image or a disk", place)}
	}
	return info.Mode()&os.ModeDevice != 0, nil
}

// openDisk opens a disk that holds still. One that is mounted for writing does
// not.
func (e *env) openDisk(place string, keepGoing bool) (*origin, error) {
	facts, err := e.sys.Look(place)
	if err != nil {
		return nil, err
	}
	if len(facts.Users) > 0 {
		return nil, &clone.Refusal{
			Err:  fmt.Errorf("%s is in use (%s): a copy of it would not be of one moment", place, usersOf(facts)),
			Hint: "for the running system's disk give / as the source; else unmount it",
		}
	}
	return openDiskBlocks(e.sys, place, &facts, keepGoing)
}

// openDiskBlocks surveys a disk, and reads its boot areas.
func openDiskBlocks(sys *disk.Sys, place string, facts *disk.Facts, keepGoing bool) (*origin, error) {
	src, err := openBlocks(sys, place, keepGoing)
	if err != nil {
		return nil, err
	}
	o := &origin{Source: src, place: place, head: src.Head(), disk: facts}
	if err := o.diskAreas(sys, facts.Disk); err != nil {
		return nil, errors.Join(err, src.Close())
	}
	return o, nil
}

// openBlocks surveys a disk.
func openBlocks(sys *disk.Sys, place string, keepGoing bool) (*clone.Blocks, error) {
	src, err := disk.OpenSource(sys, place)
	if err != nil {
		return nil, err
	}
	blocks, err := clone.NewBlocks(disk.NewSalvage(src, place, keepGoing), src.Size(), src.Sector())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", place, err), src.Close())
	}
	return blocks, nil
}

// disks are the disks that are read from: none of them may be overwritten.
func (o *origin) disks() []disk.Facts {
	var all []disk.Facts
	if o.disk != nil {
		all = append(all, *o.disk)
	}
	if o.second != nil {
		all = append(all, o.second.disks()...)
	}
	return all
}

// files is the origin as a disk that can be read anywhere, where it can.
func (o *origin) files() (io.ReaderAt, bool) {
	r, ok := o.Source.(io.ReaderAt)
	return r, ok
}
