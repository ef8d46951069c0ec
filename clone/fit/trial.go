package fit

import (
	"context"
	"errors"
	"fmt"
	"io"

	"lifeboat/clone/extent"
)

// TrialMemory is the most that a Trial keeps in memory, bytes: the metadata that
// the programs write. A file system with more of them is not tried.
const TrialMemory = 64 << 20

// ErrNotTried is what Trial returns where it would need more memory.
var ErrNotTried = errors.New("its metadata are too large to try it in memory")

// Trial makes the file system smaller without a target: the real programs run,
// what they write stays in memory, file data are not read. *NoRoomError means
// that it does not fit. o.From is needed, o.To is not.
func Trial(ctx context.Context, o Options) error {
	s := &scratch{pages: map[int64][]byte{}}
	o.To, o.Meter = s, nil
	p, err := New(o)
	if err == nil {
		err = p.Start(ctx)
	}
	if err == nil {
		err = p.Shrink(ctx)
	}
	if err == nil {
		err = p.Settle(ctx)
	}
	if s.full {
		return ErrNotTried
	}
	return err
}

// A scratch is a target in memory, of which most is zero.
type scratch struct {
	pages map[int64][]byte // by number
	full  bool
}

const scratchPage = 4 << 10

// ReadAt reads as io.ReaderAt says; it has no end.
func (s *scratch) ReadAt(b []byte, off int64) (int, error) {
	s.each(b, off, func(page int64, in int, b []byte) {
		if have := s.pages[page]; have != nil {
			copy(b, have[in:])
		} else {
			clear(b)
		}
	})
	return len(b), nil
}

// WriteAt writes as io.WriterAt says, until there is too much of it.
func (s *scratch) WriteAt(b []byte, off int64) (int, error) {
	s.each(b, off, func(page int64, in int, b []byte) {
		have := s.pages[page]
		switch {
		case have != nil:
			copy(have[in:], b)
		case extent.IsZero(b):
		case len(s.pages) >= TrialMemory/scratchPage:
			s.full = true
		default:
			have = make([]byte, scratchPage)
			copy(have[in:], b)
			s.pages[page] = have
		}
	})
	if s.full {
		return 0, ErrNotTried
	}
	return len(b), nil
}

// WriteZeros forgets pages.
func (s *scratch) WriteZeros(_ context.Context, e extent.Extent) error {
	for e.Len > 0 {
		page, in := e.Off/scratchPage, e.Off%scratchPage
		n := min(scratchPage-in, e.Len)
		if have := s.pages[page]; have != nil {
			clear(have[in : in+n])
		}
		if n == scratchPage {
			delete(s.pages, page)
		}
		e.Off, e.Len = e.Off+n, e.Len-n
	}
	return nil
}

// Sync does nothing.
func (s *scratch) Sync(context.Context) error { return nil }

// each cuts b at the pages.
func (s *scratch) each(b []byte, off int64, do func(page int64, in int, b []byte)) {
	for len(b) > 0 {
		in := int(off % scratchPage)
		n := min(scratchPage-in, len(b))
		do(off/scratchPage, in, b[:n])
		b, off = b[n:], off+int64(n)
	}
}

// CanServe tells whether this process may make the device that the programs work
// on: the kernel must have FUSE, and let it be mounted.
func CanServe(o Options) error {
	dev, err := o.OpenFuse()
	if err != nil {
		return fmt.Errorf("open /dev/fuse: %w", err)
	}
	mount, err := mountFuse(dev.Fd())
	if err != nil {
		return errors.Join(err, dev.Close())
	}
	return errors.Join(mount.Close(), dev.Close())
}

var _ io.ReaderAt = (*scratch)(nil)
