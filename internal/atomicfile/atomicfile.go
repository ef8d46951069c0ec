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
	dir string
}

// Create begins a file that Commit will put at path. The caller defers Cleanup,
// which does nothing after a Commit that succeeded.
func Create(path string, perm fs.FileMode) (*File, error) {
	p, err := renameio.NewPendingFile(path, renameio.WithPermissions(perm), renameio.WithTempDir(filepath.Dir(path)))
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	return &File{p, filepath.Dir(path)}, nil
}

// Commit syncs the file, gives it its name, and syncs the folder. Whatever was
// there under the name stays if an error is returned before the rename; an
// error after it says that the name may not survive a power loss.
func (f *File) Commit() error {
	return errors.Join(f.CloseAtomicallyReplace(), SyncDir(f.dir))
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
