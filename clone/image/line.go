package image

import (
	"context"

	"golang.org/x/sync/errgroup"

	"lifeboat/clone/extent"
)

// A work is a piece on its way into an image.
type work struct {
	piece
	patch bool
}

// A line hands records from stage to stage, each of which is a goroutine: one
// writes while the next hashes. It must be closed.
type line struct {
	ctx   context.Context
	group *errgroup.Group
	first chan work
	open  bool
}

// newLine starts the stages. The last of them gives the buffers back.
func newLine(ctx context.Context, stages ...func(work) error) *line {
	l := &line{first: make(chan work, ahead), open: true}
	l.group, l.ctx = errgroup.WithContext(ctx)
	next := l.first
	for i, stage := range stages {
		in, out := next, chan work(nil)
		if i < len(stages)-1 {
			out = make(chan work, ahead)
		}
		l.group.Go(func() error { return l.run(stage, in, out) })
		next = out
	}
	return l
}

func (l *line) run(stage func(work) error, in <-chan work, out chan<- work) error {
	if out != nil {
		defer close(out)
	}
	for w := range in {
		if err := stage(w); err != nil {
			w.release()
			return err
		}
		if out == nil {
			w.release()
			continue
		}
		select {
		case out <- w:
		case <-l.ctx.Done():
			w.release()
			return context.Cause(l.ctx)
		}
	}
	return nil
}

// put copies a record into the line.
func (l *line) put(ctx context.Context, r extent.Record, patch bool) error {
	w := work{piece{Extent: r.Extent}, patch}
	if r.Kind == extent.Data {
		w.buf = extent.Buffer()
		copy(w.buf[:], r.Data)
	}
	select {
	case <-ctx.Done(): // first: the line may have room nevertheless
		w.release()
		return context.Cause(ctx)
	default:
	}
	select {
	case l.first <- w:
		return nil
	case <-ctx.Done():
		w.release()
		return context.Cause(ctx)
	case <-l.ctx.Done():
		w.release()
		return context.Cause(l.ctx)
	}
}

// close lets the stages finish what is under way, and waits for them. A line
// that was never started has nothing to wait for.
func (l *line) close() error {
	if l == nil {
		return nil
	}
	if l.open {
		l.open = false
		close(l.first)
	}
	return l.group.Wait()
}
