package nightly

import (
	"context"
	"io/fs"
	"runtime/debug"
	"time"

	"lifeboat/internal/memory"
)

// A Pacer slows a run down while memory is short, for the kernel to write out
// and others to breathe: better late than killed.
type Pacer struct {
	// config
	proc  fs.FS
	least int64 // bytes that must be available
	clock func() time.Time
	sleep func(ctx context.Context, d time.Duration)
	logf  func(format string, args ...any)

	// state
	looked time.Time
	short  bool
}

const (
	// paceLook is how often the memory is looked at.
	paceLook = 200 * time.Millisecond
	// paceWait is how long a step waits for memory, at most: it goes on then, for
	// waiting alone frees nothing.
	paceWait = 2 * time.Second
)

func newPacer(proc fs.FS, least int64, logf func(format string, args ...any)) *Pacer {
	return &Pacer{proc: proc, least: least, clock: time.Now, sleep: sleep, logf: logf}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Pace is called before each step of the copying, by one goroutine.
func (p *Pacer) Pace(ctx context.Context) {
	now := p.clock()
	if p.least <= 0 || now.Sub(p.looked) < paceLook {
		return
	}
	p.looked = now
	for waited := time.Duration(0); ; waited += paceLook {
		have, ok := memory.Available(p.proc)
		if !ok || have >= p.least {
			if p.short {
				p.logf("memory is there again")
			}
			p.short = false
			return
		}
		if !p.short {
			p.logf("only %d MiB of memory are available: slower", have>>20)
			p.short = true
		}
		debug.FreeOSMemory()
		if waited >= paceWait || ctx.Err() != nil {
			return
		}
		p.sleep(ctx, paceLook)
	}
}
