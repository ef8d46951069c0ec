// Package progress answers: how far is it? Flows add to a Meter, the command
// shows it. A nil Meter counts nothing, so that no flow has to ask for one.
package progress

import (
	"fmt"
	"sync/atomic"
	"time"
)

// A Meter counts the bytes of one phase after the other. All its methods may be
// called from any goroutine, and on nil.
type Meter struct {
	state atomic.Pointer[phase]
	clock func() time.Time
}

type phase struct {
	name  string
	total int64 // bytes; -1 = not known
	start time.Time
	done  atomic.Int64
}

// New makes a Meter with a clock, which a test may set.
func New(clock func() time.Time) *Meter {
	m := &Meter{clock: clock}
	m.state.Store(&phase{total: -1, start: clock()})
	return m
}

// Phase begins a phase of total bytes, -1 where that is not known.
func (m *Meter) Phase(name string, total int64) {
	if m != nil {
		m.state.Store(&phase{name: name, total: total, start: m.clock()})
	}
}

// Add counts n more bytes.
func (m *Meter) Add(n int64) {
	if m != nil {
		m.state.Load().done.Add(n)
	}
}

// A State is one look at a Meter.
type State struct {
	Phase   string
	Done    int64 // bytes
	Total   int64 // bytes; -1 = not known
	Elapsed time.Duration
}

// State looks at the meter.
func (m *Meter) State() State {
	if m == nil {
		return State{Total: -1}
	}
	p := m.state.Load()
	return State{p.name, p.done.Load(), p.total, m.clock().Sub(p.start)}
}

// Rate is bytes a second since the phase began, 0 in its first moment.
func (s State) Rate() float64 {
	if s.Elapsed <= 0 {
		return 0
	}
	return float64(s.Done) / s.Elapsed.Seconds()
}

// Left is the time that the rest of the phase will take at the rate so far;
// negative where that cannot be told.
func (s State) Left() time.Duration {
	rate := s.Rate()
	if s.Total < 0 || rate == 0 {
		return -1
	}
	return time.Duration(float64(max(0, s.Total-s.Done)) / rate * float64(time.Second))
}

// Bytes writes a number of bytes for people: decimal units, as on the box of a
// card, with three digits.
func Bytes(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	f, i := float64(n), 0
	for ; f >= 999.5 && i < len(units)-1; i++ {
		f /= 1000
	}
	switch {
	case i == 0 || f >= 99.95:
		return fmt.Sprintf("%.0f %s", f, units[i])
	case f >= 9.995:
		return fmt.Sprintf("%.1f %s", f, units[i])
	}
	return fmt.Sprintf("%.2f %s", f, units[i])
}
