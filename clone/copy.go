package clone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
)

// ahead is how many records may wait between source and sink: enough to keep
// both busy, and a few MiB at most.
const ahead = 4

// writers is how many records may be on their way to the target at once: a disk
// that is given the next bytes only when it has answered for the last ones waits
// half of its time.
const writers = 3

// A preparer is a sink that can split a Put: what must be done in order it does
// at once, and what it returns may run beside that of other records. The data
// must stay until that has run.
type preparer interface {
	prepare(ctx context.Context, r extent.Record) (rest func() error, err error)
}

// A parcel is a record on its way, with the buffer that holds its bytes.
type parcel struct {
	extent.Record
	buf *[extent.BufferSize]byte
}

// Copy brings what the source has in use of want into the sink. It is the one
// loop between all sources and sinks. The sink must have been started, and is
// neither committed nor aborted here. The tail is the pass's own.
func Copy(ctx context.Context, s Source, want extent.Set, k Sink, m *progress.Meter) (_ *manifest.Tail, err error) {
	pass, err := s.Open(ctx, want)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pass.Close()) }()

	parcels := make(chan parcel, ahead)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(parcels)
		return unreadable(readAll(ctx, pass, parcels), s.Head().Place)
	})
	group.Go(func() error { return writeAll(ctx, parcels, k, m) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return pass.Tail(), nil
}

// readAll takes each record of the pass into a buffer of its own, because the
// pass reuses what it yields.
func readAll(ctx context.Context, pass Pass, parcels chan<- parcel) error {
	for {
		rec, err := pass.Next(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		p := parcel{Record: rec}
		if rec.Kind == extent.Data {
			p.buf = extent.Buffer()
			p.Data = p.buf[:copy(p.buf[:], rec.Data)]
		}
		select {
		case parcels <- p:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// writeAll puts the records into the sink. What comes at or before the place of
// an earlier record is a patch, for which all records before it must lie.
func writeAll(ctx context.Context, parcels <-chan parcel, k Sink, m *progress.Meter) error {
	w := &writing{sink: k, meter: m}
	w.begin(ctx)
	end := int64(0)
	for p := range parcels {
		err := w.ctx.Err() // also where a write went wrong
		switch {
		case err != nil:
		case p.Off < end:
			err = w.patch(ctx, p)
		default:
			err = w.put(ctx, p)
		}
		if err != nil {
			return cmp.Or(w.group.Wait(), err)
		}
		end = max(end, p.End())
	}
	if err := w.group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// A writing is what is on its way into a sink.
type writing struct {
	sink  Sink
	meter *progress.Meter
	group *errgroup.Group
	ctx   context.Context // ends with the first error of the group
}

func (w *writing) begin(ctx context.Context) {
	w.group, w.ctx = errgroup.WithContext(ctx)
	w.group.SetLimit(writers)
}

func (w *writing) put(ctx context.Context, p parcel) error {
	split, ok := w.sink.(preparer)
	if !ok {
		return w.done(p, w.sink.Put(ctx, p.Record))
	}
	rest, err := split.prepare(ctx, p.Record)
	if err == nil && p.Kind == extent.Zero {
		return nil // counted when it is known to be in use, and written
	}
	if err != nil || rest == nil {
		return w.done(p, err)
	}
	w.group.Go(func() error { return w.done(p, rest()) })
	return nil
}

func (w *writing) patch(ctx context.Context, p parcel) error {
	patcher, ok := w.sink.(Patcher)
	if !ok {
		return fmt.Errorf("bytes at %d came a second time, and this output cannot be changed once written", p.Off)
	}
	if err := w.group.Wait(); err != nil {
		return err
	}
	w.begin(ctx)
	return w.done(p, patcher.Patch(ctx, p.Record))
}

// done ends the way of a parcel.
func (w *writing) done(p parcel, err error) error {
	if p.buf != nil {
		extent.Release(p.buf)
	}
	if err == nil {
		w.meter.Add(p.Len)
	}
	return err
}

// Save copies all that the source has in use into the sink and commits it: a
// backup. The sink holds nothing, or is whole.
func Save(ctx context.Context, s Source, h *manifest.Head, k Sink, m *progress.Meter) (*manifest.Tail, error) {
	if err := k.Start(ctx, h); err != nil {
		return nil, errors.Join(err, k.Abort(context.WithoutCancel(ctx)))
	}
	m.Phase("copy", h.Used())
	all := extent.Of(extent.Extent{Off: 0, Len: h.Size})
	tail, err := Copy(ctx, s, all, k, m)
	if err == nil {
		m.Phase("finish", -1)
		tail = withLost(tail, h)
		err = k.Commit(ctx, tail)
	}
	if err != nil {
		return nil, errors.Join(err, k.Abort(context.WithoutCancel(ctx)))
	}
	return tail, nil
}
