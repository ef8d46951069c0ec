package uinit

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/u-root/u-root/pkg/cmdline"
)

const (
	watchdogPath  = "/dev/watchdog"
	watchdogLimit = 15              // seconds; a Raspberry Pi's can do no more
	watchdogBeat  = 4 * time.Second // three may come late
	watchdogEnd   = 5 * time.Minute // that the machine may take to write out and end
)

// watchdogOff tells whether the kernel's command line says
// lifeboat.watchdog=off: emulators reset the board where a real one begins to
// count.
func watchdogOff() bool {
	value, _ := cmdline.NewCmdLine().Flag("lifeboat.watchdog")
	return value == "off"
}

// A watchdog keeps the hardware from resetting the board, for as long as PID 1
// gets to run.
type watchdog struct {
	log  logger
	mu   sync.Mutex
	dev  *os.File
	last chan struct{} // closed by stop
}

func newWatchdog(log logger) *watchdog { return &watchdog{log: log, last: make(chan struct{})} }

// feed feeds until stop, or until the machine takes too long to end once ctx
// has: then the hardware ends it. The watchdog's driver may load late.
func (w *watchdog) feed(ctx context.Context) {
	tick := time.NewTicker(watchdogBeat)
	defer tick.Stop()
	ending, limit := ctx.Done(), (<-chan time.Time)(nil)
	for {
		w.beat()
		select {
		case <-tick.C:
		case <-w.last:
			return
		case <-ending:
			ending, limit = nil, time.After(watchdogEnd)
		case <-limit:
			return
		}
	}
}

func (w *watchdog) beat() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dev == nil {
		w.dev = openWatchdog(w.log)
	}
	if w.dev == nil {
		return // most boards of the PC kind
	}
	if _, err := w.dev.Write([]byte{0}); err != nil {
		w.log.logf("feed the watchdog: %v", err)
	}
}

func openWatchdog(log logger) *os.File {
	dev, err := os.OpenFile(watchdogPath, os.O_WRONLY, 0)
	if err != nil {
		return nil
	}
	if err := setWatchdog(dev.Fd(), watchdogLimit); err != nil {
		log.logf("watchdog: it runs, with a time limit of its own: %v", err)
		return dev
	}
	log.logf("watchdog: a board that hangs is reset after %d s", watchdogLimit)
	return dev
}

// stop ends the feeding. At a reboot the watchdog runs on, so that a reboot that
// hangs ends as well; a machine that is to be off is not reset: closing behind a
// 'V' stops the watchdog (Documentation/watchdog/watchdog-api.rst).
func (w *watchdog) stop(r reason) {
	close(w.last)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dev != nil && r == reasonPoweroff {
		w.dev.Write([]byte("V"))
		w.dev.Close()
		w.dev = nil
	}
}
