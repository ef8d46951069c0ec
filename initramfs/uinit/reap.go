package uinit

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"lifeboat/internal/speech"
)

// A reaper waits for every child of PID 1, its own and the orphans that the
// kernel hands over. Nothing else in the process may wait for children: each
// ends only once.
type reaper struct {
	mu    sync.Mutex
	ends  map[int]chan ending // of our own children
	begun chan struct{}       // has a word when a child was started
	idle  bool                // there are no children
}

// An ending is how a child ended.
type ending struct {
	Code   int            // exit code; -1 where a signal killed it
	Signal syscall.Signal // 0 where it exited
}

func (e ending) words() speech.Text {
	if e.Signal != 0 {
		return speech.New("was killed by signal %d (%v)", int(e.Signal), e.Signal)
	}
	return speech.New("ended with exit code %d", e.Code)
}

func (e ending) String() string { return e.words().String() }

func newReaper() *reaper {
	return &reaper{ends: map[int]chan ending{}, begun: make(chan struct{}, 1), idle: true}
}

// reap waits for children for ever.
func (r *reaper) reap() {
	for {
		pid, status, err := wait4()
		switch err {
		case nil:
			r.ended(pid, status)
		case unix.ECHILD:
			r.mu.Lock()
			r.idle = len(r.ends) == 0
			r.mu.Unlock()
			<-r.begun // without children there are no orphans either
		}
	}
}

func (r *reaper) ended(pid int, status unix.WaitStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	end, ours := r.ends[pid]
	if !ours {
		return
	}
	delete(r.ends, pid)
	if status.Signaled() {
		end <- ending{-1, syscall.Signal(status.Signal())}
		return
	}
	end <- ending{Code: status.ExitStatus()}
}

// start starts a program. Its ending arrives on the channel.
func (r *reaper) start(path string, args []string, attr *os.ProcAttr) (pid int, end <-chan ending, err error) {
	r.mu.Lock() // so that it cannot have ended before it is known
	defer r.mu.Unlock()
	p, err := os.StartProcess(path, append([]string{path}, args...), attr)
	if err != nil {
		return 0, nil, err
	}
	c := make(chan ending, 1)
	r.ends[p.Pid], r.idle = c, false
	pid = p.Pid
	p.Release()
	select {
	case r.begun <- struct{}{}:
	default:
	}
	return pid, c, nil
}

// alone tells whether no child is left.
func (r *reaper) alone() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.idle
}
