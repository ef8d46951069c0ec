// Package ext4 answers, for ext2, ext3 and ext4: which bytes are in use, what do
// the files hold, and how is it all cut up? It reads what a crash left behind
// through a replay of the journal in memory, never writes to what it reads, and
// says so where it is not certain. Its ways to write are Patch, for a small file of
// an image, and SetTimes.
//
// It does not check, grow, make or mount: package filesystem calls the real
// programs for that.
package ext4

import (
	"errors"
	"fmt"
	"io"
)

// ErrNotExt is what Open returns where no ext2, ext3 or ext4 superblock is.
var ErrNotExt = errors.New("no ext2, ext3 or ext4 file system")

// An UnsureError says why it is not certain what a file system uses. Its caller
// takes all bytes of the part as used: too much is slow, too little is loss.
type UnsureError struct{ Why string }

func (e *UnsureError) Error() string { return "it is not certain what is in use: " + e.Why }

func unsure(format string, args ...any) error {
	return &UnsureError{fmt.Sprintf(format, args...)}
}

// An FS is an ext file system as it will be after its journal was replayed. Its
// methods may be called from any goroutine if its reader's may.
type FS struct {
	raw view // as the bytes lie there
	now view // through the journal

	size    int64    // of the part
	journal *journal // nil = none
	log     *overlay // nil = clean
	broken  error    // why files and map cannot be read
}

// A view is one state of the file system: its superblock, the descriptors of
// its groups, and the bytes below.
type view struct {
	r   io.ReaderAt
	sb  *super
	gdt []byte
}

// Open reads the superblock, the group descriptors and a journal that waits for
// its replay, from a part of size bytes. It returns ErrNotExt where the magic
// is missing, *UnsureError where the superblock is damaged, or what the reader
// returned. Doubts about the rest are told by Used and Files, so that label and
// UUID of such a file system are known. Nothing has to be closed; r must stay
// readable.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	sb, err := readSuper(r, size)
	if err != nil {
		return nil, err
	}
	f := &FS{raw: view{r: r, sb: sb}, now: view{r: r, sb: sb}, size: size}
	var doubt *UnsureError
	if err := f.load(); errors.As(err, &doubt) {
		f.broken = doubt
	} else if err != nil {
		return nil, err
	}
	return f, nil
}

// load completes both views.
func (f *FS) load() error {
	if err := f.raw.sb.check(f.size); err != nil {
		return err
	}
	var err error
	if f.raw.gdt, err = f.raw.readDescriptors(); err != nil {
		return err
	}
	f.now.gdt = f.raw.gdt
	if err := f.openJournal(); err != nil {
		return err
	}
	if !f.raw.sb.dirty() {
		return f.now.checkDescriptors()
	}
	if f.log, err = f.journal.replay(f.raw.r, f.size); err != nil {
		return err
	}
	// The log may hold a newer superblock: of a file system that grew, say.
	f.now.r = f.log
	if f.now.sb, err = readSuper(f.log, f.size); err != nil {
		return fmt.Errorf("behind the journal: %w", err)
	}
	if err := f.now.sb.check(f.size); err != nil {
		return err
	}
	if f.now.gdt, err = f.now.readDescriptors(); err != nil {
		return err
	}
	return f.now.checkDescriptors()
}

// Super is what the superblock tells.
type Super struct {
	Type       string // ext2, ext3 or ext4, as blkid says it
	Label      string
	UUID       string // lower case; "" where it is all zero
	Block      int64  // size of a block, bytes
	Size       int64  // of the file system, bytes
	Free       int64  // bytes; stale where Dirty
	Inodes     int64
	FreeInodes int64    // stale where Dirty
	Dirty      bool     // its journal must be replayed
	Errors     bool     // the kernel found errors in it
	Features   []string // names as dumpe2fs prints them

	ExternalJournal bool // it lies on another disk
}

// Super is what the superblock tells, behind the replayed journal.
func (f *FS) Super() Super {
	sb := f.now.sb
	return Super{
		Type: sb.kind(), Label: sb.label, UUID: sb.uuidString(),
		Block: sb.block, Size: sb.blocks * sb.block, Free: sb.freeBlocks * sb.block,
		Inodes: sb.inodes, FreeInodes: sb.freeInodes,
		Dirty: f.raw.sb.dirty(), Errors: sb.state&stateErrors != 0,
		Features: sb.featureNames(), ExternalJournal: sb.externalJournal(),
	}
}

// A readError is the reader's, in contrast to what is wrong with the bytes.
type readError struct {
	n   int
	off int64
	err error
}

func (e *readError) Error() string { return fmt.Sprintf("read %d bytes at %d: %v", e.n, e.off, e.err) }
func (e *readError) Unwrap() error { return e.err }

// readAt fills p from off; an early end is an error.
func readAt(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return &readError{len(p), off, err}
}
