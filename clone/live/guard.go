package live

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// firstMount is the descriptor of the first folder that a watchdog is given:
// those before it are its streams.
const firstMount = 3

// RunWatchdog is the watchdog process: in and out are its standard streams. It
// thaws the file systems that it was given, and sets limits back, when the time
// that it was told is over or in ends: when its parent died, of whatever. It
// returns at the end of in. The caller ignores signals: who ends the parent must
// not end it.
func RunWatchdog(in io.Reader, out io.Writer) error {
	g := &guard{}
	errs := []error{g.harden()}
	orders, end := make(chan order), make(chan error, 1)
	go func() { end <- readOrders(in, orders) }()
	for {
		select {
		case o := <-orders:
			g.obey(o)
			if _, err := out.Write([]byte{'k'}); err != nil {
				errs = append(errs, err) // who does not hear it has died: in ends as well
			}
		case <-g.late:
			errs = append(errs, g.undo())
		case err := <-end:
			return errors.Join(append(errs, err, g.undo(), g.release(), g.endTracing())...)
		}
	}
}

func readOrders(in io.Reader, to chan<- order) error {
	dec := json.NewDecoder(in)
	for {
		var o order
		if err := dec.Decode(&o); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			return err
		}
		to <- o
	}
}

// A guard is what a watchdog has to undo.
type guard struct {
	trace   string
	mounts  []*os.File
	restore []setting
	frozen  bool
	late    <-chan time.Time
}

// harden keeps the process alive and in memory where its parent is not: what it
// needs cannot be read once memory is short and the root is frozen.
func (g *guard) harden() error {
	// Killed for want of memory, or with all of its parent's control group: both
	// would leave the root frozen. Where these cannot be had it works without.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)
	_ = os.WriteFile("/sys/fs/cgroup/cgroup.procs", []byte("0"), 0)
	return lockMemory()
}

func (g *guard) obey(o order) {
	for i := range o.Mounts {
		g.mounts = append(g.mounts, os.NewFile(uintptr(firstMount+i), "mount"))
	}
	if o.Trace != "" {
		g.trace = o.Trace
	}
	if o.Restore != nil {
		g.restore = o.Restore
	}
	if o.Free {
		g.restore = nil
	}
	if o.Freeze > 0 {
		g.frozen, g.late = true, time.After(o.Freeze)
	}
	if o.Undo {
		g.thaw()
	}
	if o.Thawed {
		g.frozen, g.late = false, nil
	}
}

// undo thaws and sets back. To thaw what is not frozen is an error without
// consequences: the parent may have come that far.
func (g *guard) undo() error {
	g.thaw()
	err := setAll(g.restore)
	g.restore = nil
	return err
}

func (g *guard) thaw() {
	if g.frozen {
		for i := len(g.mounts) - 1; i >= 0; i-- { // the root is the last one
			_ = thawFS(g.mounts[i])
		}
	}
	g.frozen, g.late = false, nil
}

// release lets go of the file systems, so that they can be unmounted.
func (g *guard) release() error {
	var errs []error
	for _, m := range g.mounts {
		errs = append(errs, m.Close())
	}
	g.mounts = nil
	return errors.Join(errs...)
}

// lingering is how long a parent that was killed may keep files open.
const lingering = 5 * time.Second

// endTracing removes what a parent that died could not. Its files may close
// after its pipes.
func (g *guard) endTracing() error {
	if g.trace == "" {
		return nil
	}
	t, err := openTracefs()
	if err != nil {
		return err
	}
	err = t.removeInstances(g.trace)
	for end := time.Now().Add(lingering); errors.Is(err, unix.EBUSY) && time.Now().Before(end); {
		<-time.After(10 * time.Millisecond)
		err = t.removeInstances(g.trace)
	}
	return errors.Join(err, t.close())
}
