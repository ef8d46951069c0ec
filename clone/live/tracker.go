package live

import (
	"errors"
	"fmt"
	"time"

	"lifeboat/clone/extent"
)

// A tracker tells which bytes of a disk were written.
type tracker interface {
	// begin forgets what was written so far. It is called while nothing is
	// written.
	begin() error
	// take is what was written since begin, or since the last take: all of it
	// whose writing ended before the call. A *lossError says that something was
	// missed; whatever comes after it is told.
	take() (extent.Set, error)
	// moved is take, for a time in which nothing should be written: of a tracker
	// that cannot tell what was, all bytes if anything was.
	moved() (extent.Set, error)
	// again puts back what take gave, where it was not copied.
	again(extent.Set)
	close() error
}

// A lossError says that any byte may have been written.
type lossError struct{ why string }

func (e *lossError) Error() string { return e.why }

const (
	mostChunks  = 128 << 20 // 16 MiB of bits: 512 GiB in chunks of 4 KiB
	mostDigests = 2 << 20   // 16 MiB: 128 GiB in chunks of 64 KiB
	digested    = 64 << 10
)

// chooseTracker takes the best way to notice writes that this kernel has.
func (s *Source) chooseTracker(name string) error {
	size := s.disk.Size()
	s.granule = granuleFor(size, smallest, mostChunks)
	t, err := newTracer(s.host, s.disk.Facts().Disk, newChunks(size, s.granule), s.o.trace)
	if err == nil && (s.o.method == "" || s.o.method == Traced) {
		s.method, s.tracker = Traced, t
		return nil
	}
	if err == nil {
		err = errors.Join(errors.New("it was not asked for"), t.close())
	}
	if s.o.method == Traced {
		return err
	}
	s.logf("writes cannot be traced: %v", err)
	s.untraced(name)
	return nil
}

// untraced is the choice where there is no tracing.
func (s *Source) untraced(name string) {
	q := quiet{host: s.host, name: name, all: extent.Of(extent.Extent{Off: 0, Len: s.disk.Size()})}
	if !anyWritable(s.parts) && s.o.method != Compared {
		s.method, s.tracker = NoneMounted, &q
		return
	}
	s.method, s.tracker = Compared, &everything{q, len(s.swap) > 0 || len(in(s.parts, loose)) > 0}
	s.granule = granuleFor(s.disk.Size(), digested, mostDigests)
	s.sieve = newDigests(s.disk.Size(), s.granule)
}

// recheck turns from tracing to comparing where the kernel traces other disks,
// but not this one: those that pass their requests on to a hidden disk.
func (s *Source) recheck() error {
	t, ok := s.tracker.(*tracer)
	if !ok || !t.blind {
		return nil
	}
	s.logf("the kernel's tracing does not tell what is written to %s", s.disk.Path())
	s.untraced(s.disk.Facts().Disk.Name)
	return errors.Join(t.close(), s.tracker.begin())
}

// slowCard is what a card gives at least, bytes a second, for an estimate.
const slowCard = 20 << 20

// mayCompare refuses a freeze for the time that all used blocks take to be read,
// unless it is permitted.
func (s *Source) mayCompare() error {
	if s.method != Compared || s.o.AllowLongFreeze {
		return nil
	}
	used := s.used.Bytes()
	return refuse("--allow-long-freeze permits it; a kernel with tracefs and block events needs none",
		"this kernel does not tell what is written to %s: all writers would have to wait while %d MiB are read, up to %s",
		s.disk.Path(), used>>20, (time.Duration(used/slowCard) * time.Second).Round(time.Second))
}

// quiet is a tracker for a disk that nobody writes to: the kernel's count must
// not move.
type quiet struct {
	// config
	host host
	name string
	all  extent.Set

	// state
	count int64
}

func (q *quiet) begin() (err error) {
	q.count, err = q.host.writtenSectors(q.name)
	return err
}

func (q *quiet) take() (extent.Set, error) {
	was := q.count
	if err := q.begin(); err != nil {
		return nil, err
	}
	if q.count != was {
		return nil, &lossError{fmt.Sprintf("%d bytes were written to a disk that nobody has mounted for writing", (q.count-was)*disk512)}
	}
	return nil, nil
}

func (q *quiet) moved() (extent.Set, error) { return q.take() }
func (q *quiet) again(extent.Set)           {}
func (q *quiet) close() error               { return nil }

// everything is a tracker that knows nothing: all may have been written. It
// stands before a sieve.
type everything struct {
	quiet
	deaf bool // something writes that cannot be frozen: swap, vfat
}

func (e *everything) take() (extent.Set, error) { return e.all, e.begin() }

func (e *everything) moved() (extent.Set, error) {
	var loss *lossError
	_, err := e.quiet.take()
	switch {
	case !errors.As(err, &loss):
		return nil, err
	case e.deaf:
		return nil, nil
	}
	return e.all, nil
}

var (
	_ tracker = (*tracer)(nil)
	_ tracker = (*quiet)(nil)
	_ tracker = (*everything)(nil)
)

// disk512 is the unit of sizes in sysfs and in trace events, whatever the disk's
// sectors are (Linux, include/linux/blk_types.h: SECTOR_SHIFT).
const disk512 = 512
