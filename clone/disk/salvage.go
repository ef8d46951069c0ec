package disk

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"lifeboat/clone/extent"
)

// A Salvage reads a medium that may be failing. It goes on behind what cannot be
// read, gives zeros for that, and remembers where. A place that it has given up
// is not asked again: each try takes a dying card a second and more.
type Salvage struct {
	// config
	r    io.ReaderAt
	path string
	keep bool

	// state
	mu   sync.Mutex
	bad  extent.Set
	good extent.Extent // could be read; empty = nothing yet
}

var _ io.ReaderAt = (*Salvage)(nil)

// NewSalvage reads r, whose name is path. Where it is not to keep going, a place
// that cannot be read is a *ReadError, as of a Source. Close closes r, if that
// can be closed.
func NewSalvage(r io.ReaderAt, path string, keepGoing bool) *Salvage {
	return &Salvage{r: r, path: path, keep: keepGoing}
}

// goneAfter is how much must be bad on end before it is asked whether the disk
// is still there at all.
const goneAfter = 1 << 20

// ReadAt reads as io.ReaderAt says.
func (s *Salvage) ReadAt(p []byte, off int64) (int, error) {
	for done := 0; done < len(p); {
		rest := p[done:]
		at := off + int64(done)
		given := s.givenUp(extent.Extent{Off: at, Len: int64(len(rest))})
		if given.Len > 0 && given.Off == at {
			clear(rest[:given.Len])
			done += int(given.Len)
			continue
		}
		if given.Len > 0 {
			rest = rest[:given.Off-at]
		}
		n, err := s.read(rest, at)
		if done += n; err != nil {
			return done, err
		}
	}
	return len(p), nil
}

// read fills p, up to the end of the first place that cannot be read.
func (s *Salvage) read(p []byte, off int64) (int, error) {
	n, err := s.r.ReadAt(p, off)
	if n == len(p) || errors.Is(err, io.EOF) {
		s.remember(extent.Extent{Off: off, Len: int64(n)})
		if n == len(p) {
			return n, nil
		}
		return n, err
	}
	good, err := s.explain(p[n:], off+int64(n), err)
	n += int(good)
	var bad *ReadError
	if !errors.As(err, &bad) || !s.keep || !badMedium(bad.Err) {
		return n, err
	}
	s.remember(extent.Extent{Off: off, Len: int64(n)})
	cut := bad.Extent.Intersect(extent.Extent{Off: off, Len: int64(len(p))})
	if cut.Len == 0 || cut.Off != off+int64(n) {
		return n, err
	}
	if err := s.giveUp(bad); err != nil {
		return n, err
	}
	clear(p[n : n+int(cut.Len)])
	return n + int(cut.Len), nil
}

// explain makes an error of the medium a *ReadError, by asking again for less; a
// Source has done so already.
func (s *Salvage) explain(p []byte, off int64, err error) (int64, error) {
	var done *ReadError
	if errors.As(err, &done) {
		return 0, err
	}
	return readError(s.path, granule, s.readFull, p, off, err)
}

// givenUp is the first run of e that was given up.
func (s *Salvage) givenUp(e extent.Extent) extent.Extent {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, bad := range s.bad {
		if cut := bad.Intersect(e); cut.Len > 0 {
			return cut
		}
	}
	return extent.Extent{}
}

// giveUp notes a place. Where very much is bad it looks whether what could be
// read still can: a disk that was unplugged must not become one full of zeros.
func (s *Salvage) giveUp(bad *ReadError) error {
	s.mu.Lock()
	s.bad = s.bad.Union(extent.Of(bad.Extent))
	good, long := s.good, int64(0)
	for _, e := range s.bad {
		if e.Contains(bad.Extent) {
			long = e.Len
		}
	}
	s.mu.Unlock()
	if long < goneAfter {
		return nil
	}
	if good.Len == 0 {
		return &ReadError{s.path, bad.Extent, fmt.Errorf("%w; and so is all that was asked for: the disk is dead or gone", cause(bad.Err))}
	}
	if err := tryRead(s.readFull, good); err != nil {
		return &ReadError{s.path, bad.Extent, fmt.Errorf("%w; and byte %d, which could be read before, cannot be read now: the disk is gone", cause(bad.Err), good.Off)}
	}
	return nil
}

func (s *Salvage) readFull(p []byte, off int64) error { return full(s.r.ReadAt(p, off))(len(p)) }

// remember keeps a granule that could be read.
func (s *Salvage) remember(e extent.Extent) {
	off := (e.Off + granule - 1) / granule * granule
	if off+granule > e.End() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.good = extent.Extent{Off: off, Len: granule}
}

// Unreadable is what of e was given up so far: there the bytes are zeros.
func (s *Salvage) Unreadable(e extent.Extent) extent.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad.Clip(e)
}

// Close ends the reading.
func (s *Salvage) Close() error {
	if c, ok := s.r.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
