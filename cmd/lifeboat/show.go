package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"lifeboat/internal/progress"
)

// A shower shows a meter while work goes on: one line that is written over on a
// terminal, JSON lines with --json, else a new line now and then, for serial
// consoles and the journal. All its methods work on nil.
type shower struct {
	// config
	w     io.Writer
	meter *progress.Meter
	kind  showKind

	// state
	mu    sync.Mutex
	width int // of what stands in the terminal's line
	quit  chan struct{}
	ended sync.WaitGroup
}

type showKind int

const (
	showLines showKind = iota
	showTerminal
	showJSON
)

// every is how often each kind shows.
var every = map[showKind]time.Duration{
	showLines:    10 * time.Second,
	showTerminal: 250 * time.Millisecond,
	showJSON:     time.Second,
}

// showProgress begins to show; stop ends it.
func (e *env) showProgress() {
	if e.show != nil {
		return
	}
	kind := showLines
	switch {
	case e.json:
		kind = showJSON
	case e.terminal:
		kind = showTerminal
	}
	s := &shower{w: e.stderr, meter: e.meter, kind: kind, quit: make(chan struct{})}
	s.ended.Go(s.loop)
	e.show = s
}

func (s *shower) loop() {
	tick := time.NewTicker(every[s.kind])
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-tick.C:
			s.tell(s.meter.State())
		}
	}
}

func (s *shower) stop() {
	if s == nil || s.quit == nil {
		return
	}
	close(s.quit)
	s.ended.Wait()
	s.quit = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
}

func (s *shower) tell(now progress.State) {
	if now.Phase == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.kind {
	case showJSON:
		line, _ := json.Marshal(map[string]any{
			"message": "progress", "phase": now.Phase, "done": now.Done, "total": now.Total,
			"elapsed": now.Elapsed.Seconds(),
		})
		fmt.Fprintf(s.w, "%s\n", line)
	case showTerminal:
		text := words(now)
		fmt.Fprintf(s.w, "\r%s%s", text, strings.Repeat(" ", max(0, s.width-len(text))))
		s.width = len(text)
	default:
		fmt.Fprintln(s.w, words(now))
	}
}

// words is a state as a line: phase, bytes, share, rate, time left.
func words(now progress.State) string {
	if now.Total < 0 && now.Done == 0 {
		return fmt.Sprintf("%s … %s", now.Phase, now.Elapsed.Round(time.Second))
	}
	text := fmt.Sprintf("%s %s", now.Phase, progress.Bytes(now.Done))
	if now.Total > 0 {
		text += fmt.Sprintf(" of %s, %d%%", progress.Bytes(now.Total), min(100, 100*now.Done/now.Total))
	}
	text += fmt.Sprintf(", %s/s", progress.Bytes(int64(now.Rate())))
	if left := now.Left(); left >= 0 {
		text += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	return text
}

// erase takes the terminal's line away. The caller holds mu.
func (s *shower) erase() {
	if s.width > 0 {
		fmt.Fprintf(s.w, "\r%s\r", strings.Repeat(" ", s.width))
		s.width = 0
	}
}

// logf tells one line, above the one that moves.
func (s *shower) logf(format string, args ...any) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if s.kind == showJSON {
		line, _ := json.Marshal(map[string]any{"message": "log", "text": text})
		fmt.Fprintf(s.w, "%s\n", line)
		return
	}
	s.erase()
	fmt.Fprintln(s.w, text)
}
