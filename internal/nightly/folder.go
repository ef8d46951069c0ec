package nightly

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"lifeboat/internal/atomicfile"
)

// stamp is the time in a snapshot's name, in UTC.
const stamp = "20060102T150405Z"

// A Folder holds the images of one Pi.
type Folder struct{ Path string }

// FileName is that of a new snapshot. pinned is what a person calls it, or "".
func FileName(schedule, kind, pinned string, now time.Time) string {
	name := schedule + "-" + now.UTC().Format(stamp)
	if pinned != "" {
		name += "-" + plainName(pinned)
	}
	return name + "." + kind
}

// maxPinned bounds a name in a file's name, in bytes.
const maxPinned = 64

// plainName makes any text fit for a file's name, also on FAT.
func plainName(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`/\:*?"<>|. `, r) || r == 0x7f {
			return '_'
		}
		return r
	}, text)
	return strings.TrimSuffix(cut(text, maxPinned), "…")
}

// ParseName reads a snapshot's name; false is something else, which is left
// alone.
func ParseName(name string) (Snapshot, bool) {
	schedule, rest, ok := strings.Cut(name, "-")
	if !ok || len(rest) < len(stamp)+2 || schedule == "" {
		return Snapshot{}, false
	}
	when, err := time.Parse(stamp, rest[:len(stamp)])
	if err != nil {
		return Snapshot{}, false
	}
	s := Snapshot{Name: name, Schedule: schedule, Time: when, Size: -1}
	rest = rest[len(stamp):]
	if pinned, dashed := strings.CutPrefix(rest, "-"); dashed {
		s.Pinned, rest, ok = strings.Cut(pinned, ".")
		if rest = "." + rest; !ok || s.Pinned == "" {
			return Snapshot{}, false
		}
	}
	s.Type = strings.TrimPrefix(rest, ".")
	return s, rest != s.Type && slices.Contains(ImageTypes(), s.Type)
}

// List implements Shelf; there is none where the folder is not there yet.
func (f Folder) List(context.Context) ([]Snapshot, error) { return ListFolder(f.Path) }

// ListFolder are the images in a folder.
func ListFolder(dir string) ([]Snapshot, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the snapshots: %w", err)
	}
	var all []Snapshot
	for _, e := range entries {
		s, ok := ParseName(e.Name())
		if !ok || !e.Type().IsRegular() {
			continue
		}
		if info, err := e.Info(); err == nil {
			s.Size = info.Size()
		}
		all = append(all, s)
	}
	return all, nil
}

// Remove removes snapshots, and returns how many.
func (f Folder) Remove(_ context.Context, gone []Snapshot) (n int, err error) {
	var errs []error
	for _, s := range gone {
		if err := f.remove(s); err != nil {
			errs = append(errs, err)
			continue
		}
		n++
	}
	return n, errors.Join(errs...)
}

// remove removes a snapshot, its image first: what is left over of one that was
// half removed is no snapshot.
func (f Folder) remove(s Snapshot) error {
	is, ok := ParseName(s.Name)
	if !ok || s.Pinned != "" {
		panic("BUG: this is not to be removed: " + s.Name)
	}
	errs := []error{atomicfile.Remove(filepath.Join(f.Path, s.Name))}
	entries, err := os.ReadDir(f.Path)
	for _, e := range entries { // head, bmap, boot areas, and the same of the disk that boots
		if _, other := ParseName(e.Name()); !other && (strings.HasPrefix(e.Name(), s.Name+".") || strings.HasPrefix(e.Name(), is.stem()+bootMark)) {
			errs = append(errs, atomicfile.Remove(filepath.Join(f.Path, e.Name())))
		}
	}
	return errors.Join(append(errs, err)...)
}

// bootMark is in the names of what was saved of the disk that boots, where that is
// another than the root's (docs/FORMAT.md, section 4): nightly-….boot.img.zst is
// beside nightly-….img.zst. It is made before that one, and removed behind it.
const bootMark = ".boot."

// stem is an image's name without its type.
func (s Snapshot) stem() string { return strings.TrimSuffix(s.Name, "."+s.Type) }

// Sweep removes what runs of the schedule that died have left. Nobody else may be
// writing.
func (f Folder) Sweep(schedule string, logf func(format string, args ...any)) error {
	return errors.Join(f.sweepHidden(schedule, logf), f.sweepHalves(schedule, logf))
}

// sweepHalves removes what was saved of a disk that boots without its root's.
func (f Folder) sweepHalves(schedule string, logf func(format string, args ...any)) error {
	entries, err := os.ReadDir(f.Path)
	if err != nil {
		return err
	}
	whole := map[string]bool{}
	for _, e := range entries {
		if s, ok := ParseName(e.Name()); ok {
			whole[s.stem()] = true
		}
	}
	var errs []error
	for _, e := range entries {
		stem, rest, marked := strings.Cut(e.Name(), bootMark)
		if s, ok := ParseName(stem + "." + ImageTypes()[0]); !marked || rest == "" || !ok || s.Schedule != schedule || whole[stem] {
			continue
		}
		logf("remove %s, to which no image of a root belongs: a run that died has left it", e.Name())
		errs = append(errs, atomicfile.Remove(filepath.Join(f.Path, e.Name())))
	}
	return errors.Join(errs...)
}

// sweepHidden removes temporary files: they have the name of their snapshot behind
// a dot.
func (f Folder) sweepHidden(schedule string, logf func(format string, args ...any)) error {
	left, err := filepath.Glob(filepath.Join(f.Path, "."+schedule+"-*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range left {
		name := strings.TrimPrefix(filepath.Base(path), ".")
		if len(name) < len(schedule)+1+len(stamp) {
			continue
		}
		if _, err := time.Parse(stamp, name[len(schedule)+1:][:len(stamp)]); err != nil {
			continue
		}
		logf("remove %s, which a run that died has left", filepath.Base(path))
		errs = append(errs, atomicfile.Remove(path))
	}
	return errors.Join(errs...)
}
