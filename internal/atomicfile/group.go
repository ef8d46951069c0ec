package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// groupFiles and groupBytes end a group by themselves: so much is lost at most
	// when its writer dies, and so many files are open at once.
	groupFiles = 128
	groupBytes = 32 << 20
)

// A Group gives many files their names with two syncs in all: one of their
// content, and behind the renames one of their names. Commit of each file would
// take two for each, and for a sync a card or stick takes as long as for a
// megabyte. It may be used by many goroutines at once.
type Group struct {
	// config
	dir *os.File // open since before the first write: it tells of each that went wrong since
	dev uint64   // the file system

	// state
	commit sync.Mutex // one at a time
	mu     sync.Mutex // of what follows
	files  []*File
	bytes  int64
}

// NewGroup begins a group of files on the file system of a folder. It is refused,
// with errors.ErrUnsupported, where syncfs(2) does not reach who keeps the files
// (servers', and FUSE's), and where names and bytes come to the disk in any order:
// FAT and exFAT. The caller calls Close.
func NewGroup(dir string) (*Group, error) {
	if Shared(dir) || Loose(dir) {
		return nil, fmt.Errorf("%s: many files with one sync: %w", dir, errors.ErrUnsupported)
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	dev, err := device(d)
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return &Group{dir: d, dev: dev}, nil
}

func device(f *os.File) (uint64, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	return st.Dev, err
}

// Add takes a file over that was written to its end, size bytes: it has its name
// when Commit has returned nil, or, of a full group, before. So have the folders
// that were made for it.
func (g *Group) Add(f *File, size int64) error {
	if dev, err := device(f.File); err != nil || dev != g.dev {
		return errors.Join(err, f.commitElsewhere())
	}
	g.mu.Lock()
	g.files, g.bytes = append(g.files, f), g.bytes+size
	full := len(g.files) >= groupFiles || g.bytes >= groupBytes
	g.mu.Unlock()
	if full {
		return g.Commit()
	}
	return nil
}

// Commit gives all files that were added their names. After an error none of them
// is kept that has not got its own.
func (g *Group) Commit() error {
	g.commit.Lock()
	defer g.commit.Unlock()
	files := g.take()
	if len(files) == 0 {
		return nil
	}
	err := SyncFileSystem(g.dir)
	for _, f := range files {
		if err == nil {
			err = f.place()
		}
		if err != nil {
			f.Cleanup()
		}
	}
	if err != nil {
		return err
	}
	return SyncFileSystem(g.dir)
}

func (g *Group) take() []*File {
	g.mu.Lock()
	defer g.mu.Unlock()
	files := g.files
	g.files, g.bytes = nil, 0
	return files
}

// Close removes what was not committed.
func (g *Group) Close() error {
	errs := []error{}
	for _, f := range g.take() {
		errs = append(errs, f.Cleanup())
	}
	return errors.Join(append(errs, g.dir.Close())...)
}

// place gives a file its name without any sync.
func (f *File) place() error {
	if err := os.Rename(f.Name(), f.path); err != nil {
		return err
	}
	f.placed = true
	return errors.Join(f.PendingFile.Close(), f.release())
}

// commitElsewhere is for a file behind a symbolic link to another file system.
func (f *File) commitElsewhere() error {
	defer f.Cleanup()
	if err := f.Commit(); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	return errors.Join(SyncFileSystem(d), d.Close())
}

// SyncFileSystem writes all of the file system that a folder is on: syncfs(2),
// and a sync of the folder, which on FAT is what empties the disk's own cache
// (Linux v6.12, fs/sync.c and fs/fat/file.c).
func SyncFileSystem(dir *os.File) error {
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("sync the file system of %s: %w", filepath.Clean(dir.Name()), err)
	}
	return dir.Sync()
}
