// Package atomicfile makes files that appear whole or not at all: a temporary
// name, sync, close, rename, sync of the folder. Whoever writes a file that
// somebody could miss goes through here.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// A File is being written under a temporary name beside its place.
type File struct {
	*renameio.PendingFile
	path   string // that it will have
	claim  claim
	placed bool // by a Group
}

// createTries is how often another writer may take a new file for a leftover, in
// the moment before it is locked.
const createTries = 100

// Create begins a file that Commit will put at path. It removes what killed
// writers left there: Sweep. The caller defers Cleanup, which does nothing after
// a Commit that succeeded.
func Create(path string, perm fs.FileMode) (*File, error) {
	Sweep(path)
	for range createTries {
		p, err := renameio.NewPendingFile(path, renameio.WithPermissions(perm), renameio.WithTempDir(filepath.Dir(path)))
		if err != nil {
			return nil, fmt.Errorf("create %s: %w", path, err)
		}
		c, ours, err := claimFile(p.File)
		if err == nil && ours && Loose(filepath.Dir(path)) {
			// A folder that grew for the name has others' old bytes where the disk has
			// yet nothing of it, and a sync of any file may make them its own.
			err = SyncDir(filepath.Dir(path))
		}
		if err == nil && ours {
			return &File{PendingFile: p, path: path, claim: c}, nil
		}
		if cerr := p.Cleanup(); err != nil || cerr != nil && !errors.Is(cerr, fs.ErrNotExist) {
			return nil, fmt.Errorf("create %s: %w", path, errors.Join(err, cerr))
		}
	}
	return nil, fmt.Errorf("create %s: others removed its temporary file %d times", path, createTries)
}

// Commit syncs the file, gives it its name, and syncs the folder. Whatever was
// there under the name stays if an error is returned before the rename; an
// error after it says that the name may not survive a power loss.
func (f *File) Commit() error {
	loose := Loose(filepath.Dir(f.path))
	if loose {
		defer hold(f.path).Close() // what it replaces is whole until the name leads here
	}
	err := f.CloseAtomicallyReplace()
	if err != nil { // Cleanup removes it
		return err
	}
	return errors.Join(settle(f.path, loose), f.release())
}

// Cleanup removes the file, unless Commit, or a Group's, has given it its name.
func (f *File) Cleanup() error {
	if f.placed {
		return nil
	}
	err := f.PendingFile.Cleanup()
	if dir := filepath.Dir(f.path); f.claim.f != nil && Loose(dir) {
		err = errors.Join(err, SyncDir(dir)) // while it is open: Remove
	}
	return errors.Join(err, f.release())
}

func (f *File) release() error {
	err := f.claim.release()
	f.claim = claim{}
	return err
}

// Write puts data at path, whole.
func Write(path string, data []byte, perm fs.FileMode) error {
	f, err := Create(path, perm)
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.Commit()
}

// SyncDir makes the names in a folder survive a power loss.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
