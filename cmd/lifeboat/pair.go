package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/image"
	"lifeboat/clone/manifest"
	"lifeboat/internal/speech"
)

// fillTwo brings a system that lies on two disks to two disks again. Both are
// planned, shown and claimed before the first of them is written; the one that
// boots is written last.
func (e *env) fillTwo(ctx context.Context, o restoreOptions, first image.Options) error {
	if len(o.parts)+len(o.keep) > 0 || o.device != "" {
		return usage("--parts, --keep and --device are for one disk: fill the two one by one")
	}
	src, err := e.openOrigin(ctx, o.from, first)
	if err != nil {
		return err
	}
	if o.with == "" {
		if o.with, err = src.pairPlace(o.from); err != nil {
			return errors.Join(err, src.Close())
		}
	}
	second, err := e.openOrigin(ctx, o.with, image.Options{KeepGoing: o.keepGoing, Logf: e.logf})
	if err != nil {
		return errors.Join(err, src.Close())
	}
	other := o
	other.from, other.to, other.stamp = o.with, o.second, nil
	other.with = o.from // which is not to be overwritten either
	err = errors.Join(belong(src, second), apart(o.to, o.second))
	if err == nil {
		err = e.withFile(o, src.head.Size, func() error {
			return e.withFile(other, second.head.Size, func() error { return e.fillBoth(ctx, [2]*origin{src, second}, [2]restoreOptions{o, other}) })
		})
	}
	return errors.Join(err, src.Close(), second.Close())
}

func (e *env) fillBoth(ctx context.Context, from [2]*origin, o [2]restoreOptions) error {
	var two [2]*filling
	for i := range two {
		f, err := e.planFill(ctx, from[i], o[i])
		if err != nil {
			return err
		}
		two[i] = f
	}
	if err := clone.Pair(two[0].plan, two[1].plan); err != nil {
		return err
	}
	for _, f := range two {
		if err := e.showPlan(f.plan); err != nil {
			return err
		}
	}
	if e.dry {
		return nil
	}
	used := slices.Concat(from[0].disks(), from[1].disks())
	for i, f := range two {
		if err := f.claim(ctx, e, used); err != nil {
			if i > 0 {
				err = errors.Join(err, two[0].target.Close())
			}
			return err
		}
	}
	return e.executeBoth(ctx, two)
}

// executeBoth fills the second disk, and then the one that boots: the first, if
// nothing says that it is the other.
func (e *env) executeBoth(ctx context.Context, two [2]*filling) error {
	var all reservedError
	last, early := two[0], two[1]
	if last.src.pair != nil && last.src.pair.Boots {
		last, early = early, last
	}
	for i, f := range []*filling{early, last} {
		e.show = nil
		e.showProgress()
		err := f.execute(ctx, e)
		var reserved reservedError
		switch {
		case errors.As(err, &reserved):
			all.reservations = append(all.reservations, reserved.reservations...)
		case err != nil && i == 0:
			return errors.Join(err, last.target.Close())
		case err != nil: // whatever became of this one, the other is written
			return &clone.TouchedError{Err: err}
		}
	}
	if len(all.reservations) > 0 {
		return all
	}
	return nil
}

// apart refuses one target in the place of two.
func apart(a, b string) error {
	if filepath.Clean(a) == filepath.Clean(b) || sameFile(a, b) {
		return usage("%s cannot be both disks", a)
	}
	return nil
}

// belong refuses an image in the place of another that a head names.
func belong(src, second *origin) error {
	for _, x := range [][2]*origin{{src, second}, {second, src}} {
		p, other := x[0].pair, x[1]
		if p != nil && (p.Size != other.head.Size || p.ID != other.head.Table.ID) {
			return &clone.Refusal{
				Err:  fmt.Errorf("%s does not belong to %s: that was saved together with a disk of %d bytes with the ID %q, in %s", other.place, x[0].place, p.Size, p.ID, x[0].shownOther()),
				Hint: "restore them one by one, if that is meant",
			}
		}
	}
	return nil
}

// pairPlace is where that lies which was saved together with this one.
func (o *origin) pairPlace(place string) (string, error) {
	switch {
	case o.pair == nil:
		return "", usage("--second is for the second of two disks: name its source with --with, as nothing beside %s does", shown(place))
	case o.other == "":
		return "", &clone.Refusal{Err: fmt.Errorf("%s: %s", o.place, o.lost[0]), Hint: "name another source with --with, if that is meant"}
	}
	return o.other, nil
}

// besideOf is the place of a file in the folder of another.
func besideOf(place, file string) string {
	if isAddress(place) {
		return place[:strings.LastIndex(place, "/")+1] + file
	}
	return filepath.Join(filepath.Dir(place), file)
}

// pairNote tells of what belongs to a disk that is taken alone.
func (o *origin) pairNote() []speech.Text {
	if o.pair == nil || o.second != nil || o.other == "" {
		return nil
	}
	role := speech.New("the other disk of its system")
	if o.pair.Boots {
		role = speech.New("the disk that boots its system")
	}
	other := o.shownOther()
	return []speech.Text{speech.New("it was saved together with %s, %s: --with=%s makes one disk of both, with --second=DISK2 they become two again", other, role, other)}
}

// shownOther is where that lies which belongs to it, without secrets.
func (o *origin) shownOther() string {
	if at, ok := strings.CutSuffix(o.other, "@"+o.pair.File); ok {
		return shown(at) + "@" + o.pair.File
	}
	return shown(o.other)
}

// saveTwo saves two disks that nobody uses, the one that boots and the root's,
// into two backups that know of each other.
func (e *env) saveTwo(ctx context.Context, o backupOptions, split splitter, save func(*origin, backupOptions) error) error {
	src, err := e.openOrigin(ctx, o.from, image.Options{KeepGoing: o.keepGoing, UsedOnly: true})
	if err != nil {
		return err
	}
	second, err := e.openOrigin(ctx, o.with, image.Options{KeepGoing: o.keepGoing, UsedOnly: true})
	if err != nil {
		return errors.Join(err, src.Close())
	}
	if o.second != "" {
		o.to, o.second = o.second, o.to // the root's, and the image of what boots
	}
	boot := manifest.Pair{Size: src.head.Size, ID: src.head.Table.ID, Boots: true}
	two, err := split(o, boot, manifest.Pair{Size: second.head.Size, ID: second.head.Table.ID}, second)
	if err == nil {
		two[1].from = o.with
		err = save(src, two[0])
	}
	if err == nil || exitCode(err) == exitReserved {
		e.show = nil
		err = errors.Join(err, save(second, two[1]))
	}
	return errors.Join(err, src.Close(), second.Close())
}

// checkSecond holds that the two outputs of saveTwo can lie beside each other.
func (o *backupOptions) checkSecond() error {
	switch {
	case o.second == "":
		return usage("two disks are saved into two images: name the second one with --second=FILE2")
	case filepath.Dir(o.second) != filepath.Dir(o.to) || o.second == o.to:
		return usage("the two images belong into one folder, under two names")
	}
	return nil
}

// sayAny is the consent to several disks: the words of all, with commas.
func sayAny(words string) disk.Consent {
	return func(ctx context.Context, f disk.Facts) error {
		for _, word := range strings.Split(words, ",") {
			if disk.Say(word)(ctx, f) == nil {
				return nil
			}
		}
		return disk.ErrNoConsent
	}
}
