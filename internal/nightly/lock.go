package nightly

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A lock is held by one run at a time; the kernel gives it back when the process
// ends, however it ends.
type lock struct{ f *os.File }

// errLocked says that another run is under way.
var errLocked = errors.New("another run is under way")

// lockPoll is how often a lock is tried.
const lockPoll = 500 * time.Millisecond

// takeLock waits up to wait for the lock of dir, which is made.
func takeLock(ctx context.Context, dir string, wait time.Duration) (*lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(wait)
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return &lock{f}, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
		}
		if !time.Now().Before(deadline) {
			return nil, errors.Join(fmt.Errorf("%w%s", errLocked, holder(dir)), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		case <-time.After(lockPoll):
		}
	}
}

// holder says who holds the lock, as far as it is known.
func holder(dir string) string {
	r, err := readRecord(dir)
	if err != nil || r == nil {
		return ""
	}
	return strings.TrimRight(fmt.Sprintf(": process %d, schedule %s, since %s", r.PID, r.Schedule, r.Started.Format(time.DateTime)), " ")
}

func (l *lock) release() error { return l.f.Close() }
