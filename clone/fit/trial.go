package fit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"lifeboat/clone/extent"
)

// trialMemory is what a Trial keeps in memory where nobody says how much it may,
// bytes.
const trialMemory = 64 << 20

// ErrNotTried is what Trial returns where it would need more memory.
var ErrNotTried = errors.New("more of its metadata change than the memory here can hold")

// Trial makes the file system smaller without a target: the real programs run,
// what they write stays in memory, at most most bytes (0 = 64 MiB), file data are
// not read. *NoRoomError means that it does not fit. o.From is needed, o.To is
// not. The Parker has only Carry left to do before the data come.
func Trial(ctx context.Context, o Options, most int64) (*Parker, error) {
	if most <= 0 {
		most = trialMemory
	}
	s := &scratch{most: int(most / scratchPage), pages: map[int64][]byte{}}
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
	switch {
	case s.full:
		return nil, ErrNotTried
	case err != nil:
		return nil, err
	}
	return p, nil
}

// Carry brings what a Trial made to the target, in place of Start, Shrink and
// Settle: as with these, the target cannot be mounted before Finish. The memory
// of the trial is free then.
func (p *Parker) Carry(ctx context.Context, to Target) error {
	d := p.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	tried := d.to
	p.o.To, d.to, d.stats = to, to, Stats{}
	if err := p.destroy(ctx); err != nil {
		return err
	}
	if err := p.carry(ctx, tried); err != nil {
		return fmt.Errorf("write the new metadata: %w", err)
	}
	return p.settleZeros(ctx)
}

// carry copies what is in use and settled. What is still in the source comes
// later.
func (p *Parker) carry(ctx context.Context, tried io.ReaderAt) (err error) {
	d := p.dev
	buf := extent.Buffer()
	defer extent.Release(buf)
	d.eachBlock(p.final.Used, func(r run) {
		if r.to.kind() != physical {
			return
		}
		for off, end := r.at*d.block, r.end()*d.block; off < end && err == nil; {
			b := buf[:min(extent.BufferSize, end-off)]
			if err = ctx.Err(); err == nil {
				err = extent.ReadFull(tried, b, off)
			}
			if err == nil {
				err = d.write(off/d.block, b, &d.stats.Meta)
			}
			off += int64(len(b))
		}
	})
	return err
}

// A scratch is a target in memory, of which most is zero.
type scratch struct {
	most  int              // pages that it may hold
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
		case len(s.pages) >= s.most:
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
func CanServe(openFuse func() (*os.File, error)) error {
	dev, err := openFuse()
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
