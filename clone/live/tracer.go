package live

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
)

const (
	// traceKB is the ring buffer of a CPU: some 30,000 writes between two looks.
	traceKB = 2048
	// traceGrowth is how much larger it gets when it was too small, and traceMax
	// where that ends.
	traceGrowth = 8
	traceMax    = 16 << 10
	// traceLook is how often the buffers are emptied.
	traceLook = 50 * time.Millisecond
)

// A ring says how large the kernel's buffer of a CPU is, and how often it is
// emptied.
type ring struct {
	kb   int
	look time.Duration
}

// A tracer is the tracker that listens to the kernel: each finished write to the
// disk is an event.
type tracer struct {
	// config
	host   host
	name   string
	dev    uint32
	cpus   []int
	prefix string // of the instances' names
	dirty  *chunks
	stop   chan struct{}
	done   chan struct{}

	// state
	mu       sync.Mutex
	fs       *tracefs
	in       *instance
	ring     ring
	page     []byte
	seen     int64 // sectors that events told of
	seen0    int64 // … at begin
	counted0 int64 // sectors that the kernel had counted at begin
	opened   int64 // … when the tracing started
	blind    bool  // the kernel counts writes and tells of none
	lost     int64 // events, as last told
	trouble  string
}

func newTracer(h host, d disk.Disk, dirty *chunks, r ring) (*tracer, error) {
	if r.kb == 0 {
		r = ring{traceKB, traceLook}
	}
	t := &tracer{host: h, name: d.Name, dev: d.Major<<20 | d.Minor, cpus: h.onlineCPUs(), dirty: dirty, ring: r}
	t.prefix = instancePrefix(os.Getpid(), d.Name)
	var err error
	if t.opened, err = h.writtenSectors(d.Name); err != nil {
		return nil, err
	}
	if t.fs, err = openTracefs(); err != nil {
		return nil, err
	}
	t.fs.sweep()
	if t.in, err = newInstance(t.fs, t.prefix, t.dev, r.kb); err != nil {
		return nil, errors.Join(err, t.fs.close())
	}
	t.page = make([]byte, t.in.shape.data.off+t.in.shape.data.size)
	t.stop, t.done = make(chan struct{}), make(chan struct{})
	go t.listen()
	return t, nil
}

// listen empties the buffers until close.
func (t *tracer) listen() {
	defer close(t.done)
	tick := time.NewTicker(t.ring.look)
	defer tick.Stop()
	for {
		select {
		case <-t.stop:
			return
		case <-tick.C:
			t.mu.Lock()
			t.drain()
			t.mu.Unlock()
		}
	}
}

// drain takes all events that are there. Trouble is told by take.
func (t *tracer) drain() {
	missed, err := t.in.read(t.page, t.note)
	switch {
	case err != nil:
		t.trouble = err.Error()
	case missed:
		t.trouble = "the kernel's trace buffer was too small"
	}
}

// note takes an event. Whatever is no read counts: discards too, whose bytes
// change, and what has no letter of its own ("N": zeros written by the disk).
func (t *tracer) note(e event) {
	if e.dev != t.dev || e.count == 0 || e.sector > 1<<54 || strings.HasPrefix(e.rwbs, "R") {
		return
	}
	if !strings.HasPrefix(e.rwbs, "D") {
		t.seen += int64(e.count)
	}
	t.dirty.mark(extent.Extent{Off: int64(e.sector) * disk512, Len: int64(e.count) * disk512})
}

func (t *tracer) begin() error {
	if err := barrier(t.cpus); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drain()
	t.dirty.take()
	t.seen0, t.trouble = t.seen, ""
	var err error
	if t.lost, err = t.in.lost(); err != nil {
		return err
	}
	t.counted0, err = t.host.writtenSectors(t.name)
	t.blind = t.seen == 0 && t.counted0 > t.opened
	return err
}

func (t *tracer) take() (extent.Set, error) {
	// An event is there before its sectors are counted, so in this order no count
	// can be ahead of the events.
	counted, err := t.host.writtenSectors(t.name)
	if err != nil {
		return nil, err
	}
	if err := barrier(t.cpus); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drain()
	if err := t.check(counted); err != nil {
		t.dirty.take()
		return nil, err
	}
	return t.dirty.take(), nil
}

// check finds out whether an event is missing. After a loss it starts to count
// anew, with a larger buffer.
func (t *tracer) check(counted int64) error {
	lost, err := t.in.lost()
	if err != nil {
		return err
	}
	why := t.trouble
	switch {
	case lost > t.lost:
		why = fmt.Sprintf("the kernel's trace buffer was too small: %d writes were not told", lost-t.lost)
	case why != "":
	case !t.in.running():
		why = "somebody switched the tracing off"
	case counted-t.counted0 > t.seen-t.seen0:
		why = fmt.Sprintf("the kernel counted %d written sectors and told of %d", counted-t.counted0, t.seen-t.seen0)
	}
	if why == "" {
		return nil
	}
	return errors.Join(&lossError{why}, t.renew())
}

// renew goes on after a loss.
func (t *tracer) renew() error {
	t.ring.kb = min(traceGrowth*t.ring.kb, traceMax)
	in, err := newInstance(t.fs, t.prefix, t.dev, t.ring.kb)
	if err != nil {
		return err
	}
	old := t.in
	t.in = in
	_, err = old.read(t.page, t.note)
	t.seen0, t.lost, t.trouble = t.seen, 0, ""
	counted, cerr := t.host.writtenSectors(t.name)
	t.counted0 = counted
	return errors.Join(err, cerr, old.close())
}

func (t *tracer) moved() (extent.Set, error) { return t.take() }

func (t *tracer) again(s extent.Set) { t.dirty.markAll(s) }

func (t *tracer) close() error {
	if t.stop != nil {
		close(t.stop)
		<-t.done
		t.stop = nil
	}
	return errors.Join(t.in.close(), t.fs.close())
}

// barrier returns when no CPU is amid an event any more: one that an interrupt
// has cut short is not readable yet. Each CPU in turn runs this thread; where it
// may not, the kernel waits for all of them.
func barrier(cpus []int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := affinity()
	if err != nil {
		return everyCPU()
	}
	for _, cpu := range cpus {
		var one unix.CPUSet
		one.Set(cpu)
		if err := setAffinity(&one); err != nil {
			return errors.Join(setAffinity(&old), everyCPU())
		}
	}
	return setAffinity(&old)
}
