package clone

import (
	"context"
	"fmt"
	"io"

	"lifeboat/clone/extent"
	"lifeboat/clone/fit"
)

// A fitTarget is the place of a part that becomes smaller, as package fit writes
// it: through the filler, which remembers what it must read back.
type fitTarget struct {
	f    *filler
	dst  extent.Extent
	sync func(ctx context.Context) error
}

var _ fit.Target = fitTarget{}

func (t fitTarget) ReadAt(b []byte, off int64) (int, error) {
	return io.NewSectionReader(t.f.to, t.dst.Off, t.dst.Len).ReadAt(b, off)
}

func (t fitTarget) WriteAt(b []byte, off int64) (int, error) {
	if off < 0 || off > t.dst.Len-int64(len(b)) {
		return 0, fmt.Errorf("write %d bytes at %d of a part of %d: outside", len(b), off, t.dst.Len)
	}
	done := 0
	for done < len(b) {
		n := min(len(b)-done, extent.BufferSize)
		piece := extent.Record{Extent: extent.Extent{Off: t.dst.Off + off + int64(done), Len: int64(n)}, Data: b[done : done+n]}
		if err := t.f.rewrite(piece); err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

func (t fitTarget) WriteZeros(ctx context.Context, e extent.Extent) error {
	e.Off += t.dst.Off
	if err := t.f.forget(e); err != nil {
		return err
	}
	t.f.zeros = add(t.f.zeros, e)
	return t.f.zero(ctx, e)
}

func (t fitTarget) Sync(ctx context.Context) error { return t.sync(ctx) }

// A squeeze is a part on its way to a smaller place.
type squeeze struct {
	part   int
	dst    extent.Extent
	to     fit.Target
	parker *fit.Parker
	plan   bool // its blocks go to where the parker's plan says
	tried  bool // what the programs make is in the parker's memory
}

// squeeze begins to make a part smaller: its old superblock goes, where that is
// not left to what was tried.
func (e *execution) squeeze(ctx context.Context) (err error) {
	l := e.plan.shrinks()
	if l == nil {
		return nil
	}
	dst, _ := e.plan.place(l.Part)
	q := &squeeze{part: l.Part, dst: dst, to: fitTarget{e.fill, dst, e.target.Sync}, plan: l.from != nil}
	q.parker, q.tried, l.tried = l.tried, l.tried != nil, nil
	e.fill.squeeze = q
	if q.tried {
		return nil
	}
	if q.parker, err = fit.New(e.fitOptions(l, q.to, dst.Len)); err != nil {
		return err
	}
	return q.parker.Start(ctx)
}

// shrink lets the real programs make the file system smaller. By plan that is
// before its blocks come, from a stream behind them.
func (e *execution) shrink(ctx context.Context, s Step) error {
	e.Meter.Phase(describe(s), -1)
	q := e.fill.squeeze
	if err := q.shrink(ctx); err != nil {
		return err
	}
	if q.plan {
		q.parker.TakeOver()
		return nil
	}
	e.report.Used = e.fill.usedBytes(q)
	return q.parker.Finish(ctx)
}

func (q *squeeze) shrink(ctx context.Context) error {
	if q.tried {
		return q.parker.Carry(ctx, q.to)
	}
	if err := q.parker.Shrink(ctx); err != nil {
		return err
	}
	return q.parker.Settle(ctx)
}

// usedBytes are those that the target has in use: of a part that was parked, more
// places than those were written.
func (f *filler) usedBytes(q *squeeze) int64 {
	others := f.data.Union(f.zeros).Subtract(extent.Of(q.dst))
	return others.Bytes() + q.parker.Used()
}

// want is what is read of the source: of a part with a plan, what that wants.
func (e *execution) want() extent.Set {
	want := e.plan.Want()
	q := e.fill.squeeze
	if q == nil || !q.plan {
		return want
	}
	part, _ := e.plan.Head.Part(q.part)
	return want.Subtract(extent.Of(part.Extent)).Union(q.parker.Want().Shift(part.Extent.Off))
}

// finishPlanned makes a part whole whose blocks have come to their places.
func (e *execution) finishPlanned(ctx context.Context) error {
	if q := e.fill.squeeze; q != nil && q.plan {
		return q.parker.Finish(ctx)
	}
	return nil
}

// take sends a piece of the part, in the source's part's own offsets, on its way:
// to the places of the plan, or to the parker.
func (q *squeeze) take(piece extent.Record, lay, park func(extent.Record) error) error {
	if !q.plan {
		return park(piece)
	}
	for _, x := range q.parker.Place(piece.Extent) {
		cut := slice(piece, x.Src)
		cut.Off = q.dst.Off + x.Dst.Off
		if err := lay(cut); err != nil {
			return err
		}
	}
	return nil
}

// absent are the places of the plan at which no data lie: they are zero.
func (q *squeeze) absent(data extent.Set) extent.Set {
	if !q.plan {
		return nil
	}
	return q.parker.Places().Shift(q.dst.Off).Subtract(data)
}

// slice is the piece of a record that e cuts out.
func slice(r extent.Record, e extent.Extent) extent.Record {
	cut := extent.Record{Extent: e, Kind: r.Kind}
	if r.Kind == extent.Data {
		cut.Data = r.Data[e.Off-r.Off : e.End()-r.Off]
	}
	return cut
}
