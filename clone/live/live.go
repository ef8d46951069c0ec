// Package live answers: how does a mounted disk hold still? It is a source of
// the used blocks of a disk that is being written to, exactly as they were at
// one instant: writes are noticed while the blocks are copied, what was written
// meanwhile is copied again, and for the last of it the file systems are frozen
// for a moment. docs/LIVE.md tells it as prose.
//
// It knows nothing of images and targets, and asks its caller what is in use.
// It writes nothing to the disk.
package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync/atomic"
	"time"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// A Survey looks at a disk of size bytes that holds still. It runs while file
// systems are frozen, so it writes and logs nothing.
type Survey func(r io.ReaderAt, size, sector int64) (Surveyed, error)

// Surveyed is what a Survey found.
type Surveyed struct {
	Head *manifest.Head
	Used extent.Set // bytes in use
	Void extent.Set // of them those that hold nothing: the image has zeros there
}

// Options of Open.
type Options struct {
	Survey Survey
	// Watchdog is the command line of a process that calls RunWatchdog. Its
	// streams are set here.
	Watchdog func() *exec.Cmd
	// Destination is the file that will be written meanwhile; "" is none. It must
	// not lie on a file system that will be frozen.
	Destination string
	// AllowLongFreeze permits the way that needs no tracing: writers wait while
	// all used blocks are read.
	AllowLongFreeze bool
	// MaxFreeze is when the watchdog thaws; 0 is ten seconds.
	MaxFreeze time.Duration
	// BeforeFreeze, where it is set, is called once in a pass, before the freeze
	// that makes all of one instant, while everything still runs: to stop services
	// that want to be stopped for it. What they write then is copied before the
	// freeze. An error ends the pass.
	BeforeFreeze func(ctx context.Context) error
	// AfterThaw is called once after BeforeFreeze was, as soon as there will be no
	// freeze any more, whatever came of it. Where nothing is mounted for writing
	// neither is called.
	AfterThaw func()
	Logf      func(format string, args ...any)

	// for tests
	frozen func() error // after the capture, before the thaw
	method string       // instead of the best
	trace  ring         // of each CPU
	arena  int64        // bytes
}

// Names of the ways in which writes are noticed: manifest.LiveFacts.Method.
const (
	Traced      = "tracefs"
	Compared    = "compare"
	NoneMounted = "none mounted"
)

// A RefusedError says why a disk is not copied while it is in use. Nothing was
// written.
type RefusedError struct {
	Why  string
	Hint string // what can be done about it; may be empty
}

func (e *RefusedError) Error() string { return e.Why }

func refuse(hint, format string, args ...any) error {
	return &RefusedError{Why: fmt.Sprintf(format, args...), Hint: hint}
}

// maxFreeze is long enough for the slowest card that was tried (7 s), and short
// enough that no service gives up.
const maxFreeze = 10 * time.Second

// A Source is a disk in use. Its head is of an instant shortly after Open, the
// tail of a pass says what was in use at the pass's own instant.
type Source struct {
	// config
	o       Options
	disk    *counted
	host    host
	parts   []part
	swap    extent.Set // bytes that are swapped to: what they hold is lost with the memory
	granule int64
	method  string

	// state
	head    *manifest.Head
	used    extent.Set // as of head
	void    extent.Set // as of head, and swap: zeros in the image, written or not
	tracker tracker
	sieve   *digests // nil: what the tracker tells has changed
	freezer *freezer
	limiter *limiter
	guard   *watchdog
	since   Since         // nil: all is read
	looked  time.Time     // when all lay on the disk, and the tracker began
	news    *News         // of the last pass
	frozen  time.Duration // in all
	notes   []string
	busy    atomic.Bool // a pass is open
	closed  bool
}

// Open looks at the disk at path (a node) and at who uses it. Its file systems
// are frozen for a moment to see what is in use. A *RefusedError says why it
// cannot be copied exactly. The caller closes the source.
func Open(ctx context.Context, sys *disk.Sys, path string, o Options) (*Source, error) {
	d, err := disk.OpenSource(sys, path)
	if err != nil {
		return nil, err
	}
	s := &Source{o: o, disk: &counted{Source: d}, host: host{sys: sys}}
	if s.o.MaxFreeze == 0 {
		s.o.MaxFreeze = maxFreeze
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), s.Close())
	}
	return s, nil
}

func (s *Source) open(ctx context.Context) error {
	name := s.disk.Facts().Disk.Name
	if s.disk.Facts().File {
		return refuse("", "it is a file, not a disk in use")
	}
	var err error
	if s.parts, err = s.host.partsOf(s.disk.Facts().Disk, s.disk.InUse()); err != nil {
		return err
	}
	if err := s.host.mayWrite(s.o.Destination, s.parts); err != nil {
		return err
	}
	if s.freezer, err = newFreezer(s.parts); err != nil {
		return err
	}
	if s.swap, err = s.host.swapOn(s.parts); err != nil {
		return err
	}
	if err := s.chooseTracker(name); err != nil {
		return err
	}
	trace := ""
	if t, ok := s.tracker.(*tracer); ok {
		trace = t.prefix
	}
	if s.guard, err = startWatchdog(s.o.Watchdog, s.freezer.dirs(), trace); err != nil {
		return err
	}
	s.limiter = newLimiter(s.host, s.disk.Facts().Disk, s.guard)
	return s.look(ctx)
}

// Check tells beforehand whether Open would refuse the disk at path, or the
// destination, for how they are used. Nothing is frozen.
func Check(sys *disk.Sys, path, destination string) error {
	d, err := disk.OpenSource(sys, path)
	if err != nil {
		return err
	}
	h := host{sys: sys}
	parts, err := h.partsOf(d.Facts().Disk, d.InUse())
	if err == nil {
		err = h.mayWrite(destination, parts)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return errors.Join(err, d.Close())
}

// look surveys the disk under a short freeze. On a running file system the map
// is a moving target: its bitmaps and its journal change while they are read.
func (s *Source) look(ctx context.Context) error {
	if err := s.limiter.on(); err != nil {
		return err
	}
	err := s.still(ctx, s.o.MaxFreeze, func() error {
		s.looked = time.Now()
		if err := s.tracker.begin(); err != nil {
			return err
		}
		if err := s.ownJournals(); err != nil {
			return err
		}
		is, err := s.survey()
		s.head, s.used, s.void = is.Head, is.Used, is.Void.Union(s.swap)
		return err
	})
	if err := errors.Join(err, s.limiter.off()); err != nil {
		return err
	}
	if err := s.recheck(); err != nil {
		return err
	}
	return s.mayCompare()
}

// survey runs the caller's Survey.
func (s *Source) survey() (Surveyed, error) {
	is, err := s.o.Survey(newAhead(s.disk), s.disk.Size(), s.disk.Sector())
	if err != nil {
		return Surveyed{}, err
	}
	return is, errors.Join(is.Used.Check(s.disk.Size()), is.Void.Check(s.disk.Size()))
}

// content reads the disk but for what holds nothing.
func (s *Source) content() io.ReaderAt { return extent.Masked(s.disk, s.void) }

// Head is of the instant of Open.
func (s *Source) Head() *manifest.Head { return s.head }

// Facts are what a look at the disk told.
func (s *Source) Facts() disk.Facts { return s.disk.Facts() }

// Method is how writes are noticed: Traced, Compared or NoneMounted.
func (s *Source) Method() string { return s.method }

// Written is how many sectors of 512 bytes were written to the disk since the
// system started, by anyone.
func (s *Source) Written() (int64, error) { return s.host.writtenSectors(s.disk.Facts().Disk.Name) }

// Notes are sentences about what a pass could not hold to one instant.
func (s *Source) Notes() []string { return s.notes }

func (s *Source) logf(format string, args ...any) {
	if s.o.Logf != nil {
		s.o.Logf(format, args...)
	}
}

// Close ends the tracking, puts limits back, and ends the watchdog. A second
// Close does nothing.
func (s *Source) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	if s.limiter != nil {
		errs = append(errs, s.limiter.off())
	}
	if s.tracker != nil {
		errs = append(errs, s.tracker.close())
	}
	if s.guard != nil {
		errs = append(errs, s.guard.end())
	}
	if s.freezer != nil {
		errs = append(errs, s.freezer.close())
	}
	return errors.Join(append(errs, s.disk.Close())...)
}
