package live

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tracefsPlaces are where systems mount it.
var tracefsPlaces = [...]string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}

// A tracefs is the folder of the kernel's tracing; where nobody has mounted it,
// a mount that nobody else sees.
type tracefs struct {
	dir  string
	hold *os.File // nil: it is mounted
}

func openTracefs() (*tracefs, error) {
	for _, dir := range tracefsPlaces {
		if _, err := os.Stat(filepath.Join(dir, "instances")); err == nil {
			return &tracefs{dir: dir}, nil
		}
	}
	hold, err := mountDetached("tracefs")
	if err != nil {
		return nil, fmt.Errorf("mount tracefs: %w", err)
	}
	return &tracefs{dir: hold.Name(), hold: hold}, nil
}

func (t *tracefs) close() error {
	if t.hold == nil {
		return nil
	}
	return t.hold.Close()
}

// instances marks our trace instances: "lifeboat-PID-DISK-…".
const instances = "lifeboat-"

func instancePrefix(pid int, disk string) string {
	return fmt.Sprintf("%s%d-%s-", instances, pid, disk)
}

// removeInstances ends the tracing of all instances with that prefix.
func (t *tracefs) removeInstances(prefix string) error {
	dirs, err := filepath.Glob(filepath.Join(t.dir, "instances", prefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		if err := os.Remove(dir); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// sweep removes what processes left behind that were killed together with their
// watchdog.
func (t *tracefs) sweep() {
	dirs, err := filepath.Glob(filepath.Join(t.dir, "instances", instances+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), instances), "-")
		if _, err := os.Stat("/proc/" + pid); errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(dir) // or it is still in use
		}
	}
}

// An instance is a ring buffer of our own, with one event of one disk in it.
type instance struct {
	fs    *tracefs
	dir   string
	shape pageShape
	form  format
	rings map[int]int // descriptors by CPU
}

// newInstance makes one and lets it run.
func newInstance(t *tracefs, prefix string, dev uint32, bufferKB int) (_ *instance, err error) {
	n := &instance{fs: t, rings: map[int]int{}}
	n.dir, err = os.MkdirTemp(filepath.Join(t.dir, "instances"), prefix+"*")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	text, err := os.ReadFile(filepath.Join(t.dir, "events", eventName, "format"))
	if err != nil {
		return nil, err
	}
	if n.form, err = parseFormat(string(text)); err != nil {
		return nil, err
	}
	if text, err = os.ReadFile(filepath.Join(t.dir, "events/header_page")); err != nil {
		return nil, err
	}
	if n.shape, err = parseShape(string(text)); err != nil {
		return nil, err
	}
	if err := n.openRings(); err != nil {
		return nil, err
	}
	for _, s := range []struct{ file, value string }{
		{"buffer_size_kb", strconv.Itoa(bufferKB)},
		{"events/" + eventName + "/filter", fmt.Sprintf(`dev == %d && !(rwbs ~ "R*")`, dev)},
		{"events/" + eventName + "/enable", "1"},
		{"tracing_on", "1"},
	} {
		if err := n.set(s.file, s.value); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *instance) openRings() error {
	cpus, err := filepath.Glob(filepath.Join(n.dir, "per_cpu/cpu*"))
	if err != nil {
		return err
	}
	for _, dir := range cpus {
		num, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), "cpu"))
		if err != nil {
			continue
		}
		fd, err := openRaw(filepath.Join(dir, "trace_pipe_raw"))
		if err != nil {
			return fmt.Errorf("open the trace of CPU %d: %w", num, err)
		}
		n.rings[num] = fd
	}
	if len(n.rings) == 0 {
		return errors.New("the kernel's tracing shows no CPU")
	}
	return nil
}

func (n *instance) set(file, value string) error {
	if err := os.WriteFile(filepath.Join(n.dir, file), []byte(value), 0); err != nil {
		return fmt.Errorf("trace: set %s to %s: %w", file, value, err)
	}
	return nil
}

// read gives all events that are there. missed tells that some are not.
func (n *instance) read(page []byte, each func(event)) (missed bool, err error) {
	for _, fd := range n.rings {
		for {
			size, err := readRaw(fd, page)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if errors.Is(err, unix.EAGAIN) || err == nil && size == 0 {
				break
			}
			if err != nil {
				return missed, fmt.Errorf("read the trace: %w", err)
			}
			m, err := decode(page[:size], n.shape, n.form, each)
			if missed = missed || m; err != nil {
				return missed, err
			}
		}
	}
	return missed, nil
}

// lost counts the events that the kernel could not keep, since the beginning.
func (n *instance) lost() (int64, error) {
	var sum int64
	for num := range n.rings {
		text, err := os.ReadFile(filepath.Join(n.dir, fmt.Sprintf("per_cpu/cpu%d/stats", num)))
		if err != nil {
			return 0, err
		}
		sum += lostEvents(string(text))
	}
	return sum, nil
}

// lostEvents reads per_cpu/cpuN/stats.
func lostEvents(text string) int64 {
	var sum int64
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "overrun", "commit overrun", "dropped events":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				n = 1 // not understood is not nothing
			}
			sum += n
		}
	}
	return sum
}

// running tells whether nobody has switched our event off.
func (n *instance) running() bool {
	for _, file := range []string{"tracing_on", "events/" + eventName + "/enable"} {
		b, err := os.ReadFile(filepath.Join(n.dir, file))
		if err != nil || len(b) == 0 || b[0] != '1' {
			return false
		}
	}
	return true
}

func (n *instance) close() error {
	err := n.set("events/"+eventName+"/enable", "0")
	for _, fd := range n.rings {
		err = errors.Join(err, closeRaw(fd))
	}
	n.rings = nil
	if rerr := os.Remove(n.dir); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return err
}
