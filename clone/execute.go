package clone

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/identity"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
)

// A TouchedError is what went wrong after the first write: the target holds
// neither old nor new. Where it was changed in place, what it held is still
// there, and the change is half done.
type TouchedError struct {
	Err     error
	InPlace bool
}

func (e *TouchedError) Error() string { return e.Err.Error() }
func (e *TouchedError) Unwrap() error { return e.Err }

// A Report says what Execute did.
type Report struct {
	Used     int64              `json:"used"`    // bytes that the target has in use of the source's
	Written  int64              `json:"written"` // bytes of them that had to be written
	Same     int64              `json:"same"`    // bytes that were on the target already
	Verified bool               `json:"verified"`
	Elapsed  time.Duration      `json:"elapsed_ns"`
	Findings []identity.Finding `json:"findings,omitempty"`
	// Unreadable are the bytes of the source's disk that were taken as zeros.
	Unreadable extent.Set `json:"unreadable,omitempty"`
	// Reservations are sentences: what is not as it should be, though the
	// target was filled.
	Reservations []string `json:"reservations,omitempty"`
}

// A Runner executes plans.
type Runner struct {
	Tools filesystem.Tools
	Meter *progress.Meter
	Logf  func(format string, args ...any)
	Clock func() time.Time
	Areas map[string][]byte // what the boot areas hold that the plan's head names
	// Memory is what may be taken beyond the usual buffers, bytes; 0 = little.
	Memory int64
	// Fuse opens /dev/fuse, for parts that become smaller; nil = none does.
	Fuse func() (*os.File, error)
}

// Execute does what the plan says. An error before the first write is returned
// as it is, one behind it as a *TouchedError.
func (r Runner) Execute(ctx context.Context, p *Plan, s Source, t *disk.Target) (*Report, error) {
	if t.Size() != p.Target.Size {
		return nil, fmt.Errorf("%s has %d bytes, the plan is for %d", t.Path(), t.Size(), p.Target.Size)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e := &execution{Runner: r, plan: p, source: s, target: t, fill: newFiller(p, t)}
	start := r.Clock()
	for _, step := range p.Steps {
		if err := e.do(ctx, step); err != nil {
			return nil, &TouchedError{fmt.Errorf("%s: %w", describe(step), p.whose(err)), p.Steps[0].Op != Wipe}
		}
	}
	e.report.Written, e.report.Same = e.fill.Written, e.fill.Same
	e.report.Elapsed = r.Clock().Sub(start)
	return &e.report, nil
}

func describe(s Step) string {
	if s.Part > 0 && s.Op != Move { // all of them are one pass
		return fmt.Sprintf("%s part %d", s.Op, s.Part)
	}
	if s.Area != "" {
		return fmt.Sprintf("%s %s", s.Op, s.Area)
	}
	return string(s.Op)
}

// An execution is one run of a plan.
type execution struct {
	Runner
	// config
	plan   *Plan
	source Source
	target *disk.Target

	// state
	fill   *filler
	copied bool
	report Report
}

func (e *execution) logf(format string, args ...any) {
	if e.Logf != nil {
		e.Logf(format, args...)
	}
}

func (e *execution) do(ctx context.Context, s Step) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch s.Op {
	case Wipe:
		if err := e.wipe(ctx); err != nil {
			return err
		}
		return e.squeeze(ctx)
	case Shrink:
		return e.shrink(ctx, s)
	case Move:
		return e.copyAll(ctx)
	case Swap:
		return e.makeSwap(s)
	case Verify:
		return e.verify(ctx)
	case Check:
		return e.check(ctx, s)
	case Resize:
		return e.resize(ctx, s)
	case Identity:
		return e.identify(ctx)
	case BootArea:
		return e.writeArea(ctx, s)
	case Table:
		return e.writeTable(ctx)
	}
	panic("BUG: plan with unknown step " + string(s.Op))
}

// copyAll does all copy steps at once: a source is read in one ascending pass.
func (e *execution) copyAll(ctx context.Context) error {
	if e.copied {
		return nil
	}
	e.copied = true
	e.Meter.Phase("copy", e.plan.Moved())
	tail, err := Copy(ctx, e.source, e.want(), e.fill, e.Meter)
	if err != nil {
		return err
	}
	e.tellLost(tail)
	if err := e.fill.layZeros(ctx, e.plan, e.Meter); err != nil {
		return err
	}
	e.report.Used = e.fill.data.Bytes() + e.fill.zeros.Bytes()
	e.logf("copied %d bytes, %d of them were there already", e.report.Used, e.fill.Same)
	return e.finishPlanned(ctx)
}

// tellLost notes what the source did not give.
func (e *execution) tellLost(t *manifest.Tail) {
	lost := e.plan.Head.Unreadable
	if t != nil {
		lost = lost.Union(t.Unreadable)
	}
	e.report.Unreadable = lost.Intersect(e.plan.Want())
	if words := LostWords(e.plan.Head, e.report.Unreadable); !words.IsZero() {
		e.reserve("%s", words)
	}
}

func (e *execution) verify(ctx context.Context) error {
	e.Meter.Phase("write out", -1)
	if err := errors.Join(e.target.Sync(ctx), e.target.DropCache()); err != nil {
		return err
	}
	e.Meter.Phase("verify", e.report.Used)
	if err := e.fill.verify(ctx, e.Meter); err != nil {
		return err
	}
	e.report.Verified = true
	return nil
}

// reserve notes a reservation.
func (e *execution) reserve(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	e.logf("%s", text)
	e.report.Reservations = append(e.report.Reservations, text)
}
