package live

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// A freezer holds the file systems of a disk that can be frozen, by a folder of
// each.
//
// The root is frozen last and thawed first. What runs depends on it most, so it
// is frozen for the shortest time; and the freeze of another part has to write
// that part's dirty pages, which may need programs that lie on the root. The
// other way round nothing waits: a writer that holds a root's freeze off (it is
// amid a write) waits for its disk, never for another part's thaw.
type freezer struct {
	mounts []held
	loose  []held // vfat: synced only
}

type held struct {
	dir   *os.File
	point string
	name  string // of the part
}

// newFreezer opens a folder of each file system that is mounted for writing or
// can be frozen.
func newFreezer(parts []part) (*freezer, error) {
	f := &freezer{}
	for _, p := range parts {
		if p.state != freezing && p.state != loose {
			continue
		}
		h, err := openMount(p)
		if err != nil {
			return nil, errors.Join(err, f.close())
		}
		switch {
		case p.state == loose:
			f.loose = append(f.loose, h)
		case h.point == "/":
			f.mounts = append(f.mounts, h)
		default:
			f.mounts = append([]held{h}, f.mounts...)
		}
	}
	return f, nil
}

// openMount opens a place where the part is mounted; one may lie hidden under
// another mount.
func openMount(p part) (held, error) {
	for _, m := range p.mounts {
		dir, err := os.Open(m.Point)
		if err != nil {
			continue
		}
		if st, err := statFile(dir); err == nil && numberOf(st.Dev) == p.dev {
			return held{dir, m.Point, p.name}, nil
		}
		dir.Close()
	}
	return held{}, refuse("", "%s is mounted on %s, and another mount lies over it", p.name, p.mounts[0].Point)
}

// dirs are the folders that a watchdog needs, in the order of freezing.
func (f *freezer) dirs() []*os.File {
	var dirs []*os.File
	for _, h := range f.mounts {
		dirs = append(dirs, h.dir)
	}
	return dirs
}

// sync writes all file systems' dirty pages to the disk.
func (f *freezer) sync() error { return errors.Join(syncAll(f.mounts), f.syncLoose()) }

// syncLoose does so for those that cannot be frozen.
func (f *freezer) syncLoose() error { return syncAll(f.loose) }

func syncAll(mounts []held) error {
	var errs []error
	for _, h := range mounts {
		if err := syncFS(h.dir); err != nil {
			errs = append(errs, fmt.Errorf("sync %s: %w", h.point, err))
		}
	}
	return errors.Join(errs...)
}

// freeze freezes all, or none.
func (f *freezer) freeze() error {
	for i, h := range f.mounts {
		if err := freezeFS(h.dir); err != nil {
			return errors.Join(fmt.Errorf("freeze %s: %w", h.point, err), thawAll(f.mounts[:i]))
		}
	}
	return nil
}

// errThawed says that a file system could not be thawed: it was not frozen any
// more.
var errThawed = errors.New("it was thawed meanwhile")

// thaw thaws all. An error means that one of them was not frozen all the time.
func (f *freezer) thaw() error { return thawAll(f.mounts) }

// thawAll thaws in the order opposite to that of freezing.
func thawAll(mounts []held) error {
	var errs []error
	for _, h := range slices.Backward(mounts) {
		if err := thawFS(h.dir); err != nil {
			errs = append(errs, fmt.Errorf("thaw %s: %w (%w)", h.point, errThawed, err))
		}
	}
	return errors.Join(errs...)
}

func (f *freezer) close() error {
	var errs []error
	for _, h := range append(f.mounts, f.loose...) {
		errs = append(errs, h.dir.Close())
	}
	return errors.Join(errs...)
}

// still does something while all file systems of the disk are frozen. Writers
// wait for it, so it has to be short, and it must neither write nor log. It is
// thawed whatever happens: here, or by the watchdog after limit; the latter is
// an error (errThawed).
func (s *Source) still(ctx context.Context, limit time.Duration, do func() error) error {
	if err := s.freezer.sync(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(s.freezer.mounts) == 0 {
		return do()
	}
	// What is used while frozen must not have to be fetched.
	if err := lockMemory(); err != nil {
		return fmt.Errorf("lock memory: %w", err)
	}
	if err := s.guard.tell(order{Freeze: limit}); err != nil {
		return errors.Join(err, unlockMemory())
	}
	start := time.Now()
	thawed := s.freezer.freeze()
	var err error
	if thawed == nil {
		err = do()
		thawed = s.freezer.thaw()
	}
	err = errors.Join(thawed, err)
	if errors.Is(thawed, errThawed) {
		// Whatever went wrong: the watchdog has descriptors of its own.
		err = errors.Join(err, s.guard.tell(order{Undo: true}))
	}
	s.frozen += time.Since(start)
	return errors.Join(err, s.guard.tell(order{Thawed: true}), unlockMemory())
}
