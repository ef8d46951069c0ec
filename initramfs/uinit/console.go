package uinit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"
)

// ConsolePaths are the devices of the kernel's consoles, as "/dev/ttyS0" and
// "/dev/tty1", by /sys. Without any it is /dev/console.
func ConsolePaths(sys fs.FS) []string {
	text, _ := fs.ReadFile(sys, "class/tty/console/active")
	var out []string
	for _, name := range strings.Fields(string(text)) {
		switch {
		case name == "tty0":
			name = frontScreen(sys)
		case name == "ttynull" || strings.Contains(name, "/"):
			continue
		}
		out = append(out, "/dev/"+name)
	}
	if len(out) == 0 {
		return []string{consolePath}
	}
	return out
}

// frontScreen is the screen that tty0 stands for. Where tty0 stands for none
// (User-Mode Linux), it is a line of its own.
func frontScreen(sys fs.FS) string {
	front, err := fs.ReadFile(sys, "class/tty/tty0/active")
	if name := strings.TrimSpace(string(front)); err == nil && isScreen(name) {
		return name
	}
	return "tty0"
}

// isScreen tells whether a name is one of the kernel's screens, or could be.
func isScreen(name string) bool {
	number, ok := strings.CutPrefix(name, "tty")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// Consoles are all the places where a person may sit. What is written goes to
// all of them; the first one where a key is pressed gets the session. One that
// vanishes, or does not take its text, holds the others up in no way. Methods
// may be called from any goroutine.
type Consoles struct {
	mu   sync.Mutex
	ttys []*tty
	next []string // vanished, or not there yet: tried again by Claim
}

// OpenConsoles opens the terminals, and sets each so that keys arrive at once,
// without an echo. An error means that none of them could be opened; those that
// cannot be are tried again by each Claim. The caller closes.
func OpenConsoles(paths []string) (*Consoles, error) {
	c := &Consoles{next: paths}
	if err := c.reopen(); err != nil && len(c.ttys) == 0 {
		return nil, fmt.Errorf("open a console: %w", err)
	}
	return c, nil
}

// reopen opens what is not open.
func (c *Consoles) reopen() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var live []*tty
	for _, t := range c.ttys {
		if t.dead() {
			c.next = append(c.next, t.path)
			t.close()
			continue
		}
		live = append(live, t)
	}
	c.ttys = live
	var failed error
	var later []string
	for _, path := range c.next {
		t, err := openTTY(path)
		if err != nil {
			failed = errors.Join(failed, err)
			later = append(later, path)
			continue
		}
		c.ttys = append(c.ttys, t)
	}
	c.next = later
	return failed
}

// Paths are the consoles that are open.
func (c *Consoles) Paths() []string {
	var out []string
	for _, t := range c.live() {
		out = append(out, t.path)
	}
	return out
}

func (c *Consoles) live() []*tty {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*tty
	for _, t := range c.ttys {
		if !t.dead() {
			out = append(out, t)
		}
	}
	return out
}

// Write gives p to every console, and does not wait for any. It never returns
// an error: whoever reads has nothing to hold the writer up for.
func (c *Consoles) Write(p []byte) (int, error) {
	for _, t := range c.live() {
		t.queue(p, false)
	}
	return len(p), nil
}

// flushTime is how long Close waits for slow terminals.
const flushTime = 2 * time.Second

// Close waits a little for what was written to arrive, and gives the terminals
// back as they were.
func (c *Consoles) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.ttys {
		t.close()
	}
	c.ttys, c.next = nil, nil
	return nil
}

// rescan is how often Claim looks for consoles that have come back.
const rescan = time.Second

// Claim waits for a key on any of the consoles, until ctx ends, and returns a
// session with whoever pressed it. The key is the first that the session reads.
func (c *Consoles) Claim(ctx context.Context) (*Session, error) {
	t, err := c.claim(ctx)
	if err != nil {
		return nil, err
	}
	return newSession(ctx, t), nil
}

func (c *Consoles) claim(ctx context.Context) (*tty, error) {
	for {
		c.reopen() // what is not there now may be the next time
		t, err := firstKey(ctx, c.live())
		if t != nil {
			return t, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("wait for a key: %w", err)
		}
	}
}

// firstKey waits a while for a key on one of ttys; nil where there was none.
// Keys that are pressed on two at once wait on the second for the next claim.
func firstKey(ctx context.Context, ttys []*tty) (*tty, error) {
	outer := ctx
	ctx, stop := context.WithTimeout(ctx, rescan)
	defer stop()
	pressed := make(chan *tty, len(ttys))
	var wg sync.WaitGroup
	for _, t := range ttys {
		wg.Go(func() {
			if t.fill(ctx) == nil {
				pressed <- t
				stop()
			}
		})
	}
	wg.Wait()
	select {
	case t := <-pressed:
		return t, nil
	default:
		if len(ttys) == 0 {
			<-ctx.Done()
		}
		return nil, context.Cause(outer)
	}
}
