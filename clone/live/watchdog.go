package live

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// An order tells the watchdog what there is to undo from now on. It answers each
// with a byte before anything is done that it would have to undo.
type order struct {
	Mounts  int           `json:"mounts,omitempty"`  // folders, from descriptor 3 on
	Restore []setting     `json:"restore,omitempty"` // limits to be set back, in this order
	Freeze  time.Duration `json:"freeze,omitempty"`  // thaw after this time
	Undo    bool          `json:"undo,omitempty"`    // thaw now
	Thawed  bool          `json:"thawed,omitempty"`  // nothing is frozen any more
	Trace   string        `json:"trace,omitempty"`   // trace instances with this prefix go in the end
	Free    bool          `json:"free,omitempty"`    // no limit is set any more
}

// A setting is a file of /sys or /proc and what is written to it.
type setting struct {
	File  string `json:"file"`
	Value string `json:"value"`
}

func (s setting) set() error {
	if err := os.WriteFile(s.File, []byte(s.Value), 0); err != nil {
		return fmt.Errorf("set %s to %s: %w", s.File, s.Value, err)
	}
	return nil
}

func setAll(settings []setting) error {
	var errs []error
	for _, s := range settings {
		errs = append(errs, s.set())
	}
	return errors.Join(errs...)
}

// A watchdog is the process that thaws and restores when this one cannot.
type watchdog struct {
	cmd     *exec.Cmd
	orders  *os.File
	answers *os.File
	mu      sync.Mutex
	stderr  tail
}

// startWatchdog starts the process, hands it the folders of the mounts, and
// tells it the prefix of the trace instances.
func startWatchdog(command func() *exec.Cmd, dirs []*os.File, trace string) (_ *watchdog, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("start the watchdog: %w", err)
		}
	}()
	in, orders, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	answers, out, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close(), orders.Close())
	}
	w := &watchdog{cmd: command(), orders: orders, answers: answers}
	w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr, w.cmd.ExtraFiles = in, out, &w.stderr, dirs
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // not the terminal's: ^C is for us
	err = errors.Join(w.cmd.Start(), in.Close(), out.Close())
	if err == nil {
		err = w.tellWithin(startTime, order{Mounts: len(dirs), Trace: trace})
	}
	if err != nil {
		return nil, errors.Join(err, w.end())
	}
	return w, nil
}

// answerTime is how long the watchdog may take to answer: it only notes.
const answerTime = 5 * time.Second

// startTime is how long its first answer may take: its program may have to be
// read from the card that is busy, and nothing is frozen yet.
const startTime = time.Minute

// tell gives an order and waits for the answer.
func (w *watchdog) tell(o order) error { return w.tellWithin(answerTime, o) }

func (w *watchdog) tellWithin(limit time.Duration, o order) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if _, err := w.orders.Write(b); err != nil {
		return fmt.Errorf("the watchdog is gone: %w%s", err, w.stderr.words())
	}
	if err := w.answers.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(w.answers, answer[:]); err != nil {
		return fmt.Errorf("the watchdog does not answer: %w%s", err, w.stderr.words())
	}
	return nil
}

// end lets the process go; what is still to be undone it undoes.
func (w *watchdog) end() error {
	err := errors.Join(w.orders.Close(), w.answers.Close())
	if w.cmd.Process == nil {
		return err
	}
	if werr := w.cmd.Wait(); werr != nil {
		err = errors.Join(err, fmt.Errorf("watchdog: %w%s", werr, w.stderr.words()))
	}
	return err
}

// A tail keeps the end of what a process says.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 1 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-tailSize):]
	return len(p), nil
}

func (t *tail) words() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := strings.TrimSpace(string(t.b)); text != "" {
		return ": " + text
	}
	return ""
}
