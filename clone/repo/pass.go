package repo

import (
	"context"
	"io"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// A pass fetches the next chunks while one is being yielded.
type pass struct {
	// config
	s *Source

	// state
	todo  extent.Set // of want and used, behind what was sent for
	under []*fetch   // in order
	now   *fetch     // being yielded; nil = none
	rest  extent.Set // of now
	ctx   context.Context
	stop  context.CancelFunc
}

// A fetch is a chunk on its way.
type fetch struct {
	n    int64
	want extent.Set
	buf  []byte // nil = all zeros
	data []byte
	done chan error
}

// Open begins a pass over what is in use of want; there may be several.
func (s *Source) Open(ctx context.Context, want extent.Set) (Pass, error) {
	ctx, stop := context.WithCancel(ctx)
	return &pass{s: s, todo: want.Intersect(s.Used()), ctx: ctx, stop: stop}, nil
}

// Next implements clone.Pass.
func (p *pass) Next(ctx context.Context) (extent.Record, error) {
	if err := ctx.Err(); err != nil {
		return extent.Record{}, err
	}
	for len(p.rest) == 0 {
		if err := p.turn(ctx); err != nil {
			return extent.Record{}, err
		}
	}
	e := &p.rest[0]
	rec := extent.Record{Extent: *e, Kind: extent.Zero}
	if p.now.buf != nil {
		at := e.Off - p.now.n*p.s.index.chunk
		data := p.now.data[at : at+min(e.Len, extent.BufferSize)]
		rec = extent.Front(e.Off, data)
	}
	e.Off, e.Len = rec.End(), e.Len-rec.Len
	if e.Len == 0 {
		p.rest = p.rest[1:]
	}
	return rec, nil
}

// turn waits for the next chunk, and sends for others.
func (p *pass) turn(ctx context.Context) error {
	p.drop()
	for len(p.under) < p.s.r.o.Workers && len(p.todo) > 0 {
		p.under = append(p.under, p.send())
	}
	if len(p.under) == 0 {
		return io.EOF
	}
	next := p.under[0]
	select {
	case err := <-next.done:
		p.under = p.under[1:]
		p.now = next
		if err != nil {
			return err
		}
		p.rest = next.want
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send begins to fetch the chunk that holds the first wanted byte.
func (p *pass) send() *fetch {
	n := p.todo[0].Off / p.s.index.chunk
	place := span(n, p.s.index.chunk, p.s.index.size)
	f := &fetch{n: n, done: make(chan error, 1)}
	for len(p.todo) > 0 && p.todo[0].Off < place.End() {
		cut := p.todo[0].Intersect(place)
		f.want = f.want.Append(cut)
		p.todo[0].Off, p.todo[0].Len = cut.End(), p.todo[0].Len-cut.Len
		if p.todo[0].Len == 0 {
			p.todo = p.todo[1:]
		}
	}
	if p.s.isZero(n) {
		f.done <- nil
		return f
	}
	f.buf = p.s.r.take()
	go func() {
		var err error
		f.data, err = p.s.chunk(p.ctx, f.buf, n)
		f.done <- err
	}()
	return f
}

func (p *pass) drop() {
	if p.now != nil && p.now.buf != nil {
		p.s.r.give(p.now.buf)
	}
	p.now = nil
}

// Tail implements clone.Pass.
func (p *pass) Tail() *manifest.Tail { return p.s.facts.Tail }

// Close waits for what is on its way.
func (p *pass) Close() error {
	p.stop()
	p.drop()
	for _, f := range p.under {
		<-f.done
		if f.buf != nil {
			p.s.r.give(f.buf)
		}
	}
	p.under = nil
	return nil
}
