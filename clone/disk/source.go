package disk

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A Source is a disk or an image file that a backup is read from. Whatever the
// medium does not give is a *ReadError.
type Source struct {
	h     *handle // not embedded: it could write
	facts Facts
}

var _ io.ReaderAt = (*Source)(nil)

// OpenSource opens a disk or file for reading. A disk that nobody uses is held,
// so that nobody mounts it meanwhile; one in use is read as well (InUse tells).
// The caller closes it.
//
// Large reads of whole sectors go past the page cache. On a disk in use all do:
// the cache of the whole disk does not follow what its file systems write.
func OpenSource(sys *Sys, path string) (*Source, error) {
	f, err := sys.Look(path)
	if err != nil {
		return nil, err
	}
	if f.Disk.Size == 0 && !f.File {
		return nil, &NoMediumError{path}
	}
	if f.File {
		h, err := openHandle(f.Disk.Path, os.O_RDONLY)
		if err != nil {
			return nil, err
		}
		return &Source{h, f}, nil
	}
	h, err := openHeld(&f)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &Source{h, f}, nil
}

// openHeld opens a disk, exclusively if nobody else has it so, and adds to f what
// only the kernel knew.
func openHeld(f *Facts) (*handle, error) {
	h, err := openHandle(f.Disk.Path, os.O_RDONLY|os.O_EXCL)
	if errors.Is(err, unix.EBUSY) {
		if len(f.Users) == 0 {
			f.Users = []Use{{f.Disk.Path, heldUnseen}}
		}
		h, err = openHandle(f.Disk.Path, os.O_RDONLY)
	}
	if err != nil {
		return nil, err
	}
	if len(f.Users) > 0 {
		err = h.onlyDirect()
	}
	if err = errors.Join(err, pin(h, *f)); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// ReadAt reads as io.ReaderAt says.
func (s *Source) ReadAt(p []byte, off int64) (int, error) { return s.h.ReadAt(p, off) }

// Facts are what a look at the source told.
func (s *Source) Facts() Facts { return s.facts }

// Path is the node of the disk, or the file.
func (s *Source) Path() string { return s.h.path }

// Size is the number of bytes of the source.
func (s *Source) Size() int64 { return s.h.size }

// Sector is the size of a logical sector.
func (s *Source) Sector() int64 { return s.facts.Disk.Sector }

// InUse tells whether somebody may write to the disk while it is read: what is
// read then is not of one instant.
func (s *Source) InUse() bool { return len(s.facts.Users) > 0 }

// Close ends the reading.
func (s *Source) Close() error { return s.h.Close() }
