package disk

import (
	"errors"
	"fmt"

	"lifeboat/clone/extent"
)

// ErrNoLoop is what Device returns where this process may make no loop devices.
var ErrNoLoop = errors.New("loop devices are not permitted here")

// A NotADiskError says that a path leads to something else than a whole disk or
// an image file.
type NotADiskError struct {
	Path string
	Disk string // the disk that was probably meant; "" where none is
	Why  string // "is a part of /dev/sdb: give the disk"
}

func (e *NotADiskError) Error() string { return e.Path + " " + e.Why }

// An InUseError says who uses the disk.
type InUseError struct {
	Path  string
	Users []Use
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("%s is in use: %s", e.Path, sentence(e.Users))
}

// A ChangedError says that a disk is not, or holds not, what was shown.
type ChangedError struct {
	Path string
	What string // "serial"
	Was  string
	Is   string
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s is not what it was: its %s was %q and is %q", e.Path, e.What, e.Was, e.Is)
}

// A ReadOnlyError says that a disk can not be written.
type ReadOnlyError struct{ Path string }

func (e *ReadOnlyError) Error() string {
	return e.Path + " is read-only: a card's lock switch, or the kernel's setting"
}

// A SameWordError says that a consent word would be good for several disks.
type SameWordError struct {
	Word  string
	Paths []string
}

func (e *SameWordError) Error() string {
	return fmt.Sprintf("%q would mean each of %q: unplug all but one", e.Word, e.Paths)
}

// A NoMediumError says that a reader has no card in it.
type NoMediumError struct{ Path string }

func (e *NoMediumError) Error() string {
	return e.Path + " has no size: there is no card in the reader"
}

// A ReadError says which bytes of a disk can not be read: whole sectors, and
// the first such run in what was asked for. What lies before it was read; who
// wants the rest reads on at its end.
type ReadError struct {
	Path   string
	Extent extent.Extent
	Err    error
}

func (e *ReadError) Error() string {
	return fmt.Sprintf("read %s: %d bytes at %d: %v", e.Path, e.Extent.Len, e.Extent.Off, e.Err)
}

func (e *ReadError) Unwrap() error { return e.Err }

// A WriteError says which bytes were not written: where the medium is to blame
// whole sectors, the first such run; else all from there on.
type WriteError struct {
	Path   string
	Extent extent.Extent
	Err    error
}

func (e *WriteError) Error() string {
	return fmt.Sprintf("write %s: %d bytes at %d: %v", e.Path, e.Extent.Len, e.Extent.Off, e.Err)
}

func (e *WriteError) Unwrap() error { return e.Err }
