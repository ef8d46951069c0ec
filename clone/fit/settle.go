package fit

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"lifeboat/clone/extent"
)

// Settle puts everything that is not in its final place there, in batches of
// bounded size, and writes the zeros that are in use.
//
// It cannot run out of places: of the blocks in use, which are not more than the
// target has, a batch of k is in memory, so that the others need at most all
// places but those k.
func (p *Parker) Settle(ctx context.Context) error {
	d := p.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	p.forgetUnused()
	if err := d.unshare(p.final.Used); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	if err := p.settleData(ctx); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	if err := p.settleZeros(ctx); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	p.plan()
	p.settled = true
	return nil
}

// forgetUnused drops all that the smaller file system does not use.
func (p *Parker) forgetUnused() {
	d := p.dev
	all := extent.Of(extent.Extent{Off: 0, Len: d.blocks * d.block})
	d.eachBlock(all.Subtract(p.final.Used), func(r run) {
		if r.to != hole {
			d.point(r.at, r.n, hole)
		}
	})
	d.dead, d.source, d.moves = nil, runs{}, newMoves(d.block)
}

// unshare gives each block of final a place of its own.
func (d *device) unshare(final extent.Set) error {
	b := make([]byte, d.block)
	for _, r := range d.homeless(final) {
		if r.to.kind() != physical {
			continue
		}
		for i := range r.n {
			v, to := r.at+i, r.to.plus(i)
			if d.usersOf(to.num()) == 1 {
				continue
			}
			if err := d.fetch(to, b); err != nil {
				return err
			}
			d.point(v, 1, hole)
			if err := d.store(v, b, &d.stats.Settled); err != nil {
				return err
			}
		}
	}
	return nil
}

// settleData moves content that lies elsewhere home.
func (p *Parker) settleData(ctx context.Context) error {
	d := p.dev
	var todo []run
	owners := runs{} // of places outside of home
	for _, r := range d.homeless(p.final.Used) {
		if r.to == hole {
			continue
		}
		todo = append(todo, r)
		if r.to.kind() == physical {
			owners.set(r.to.num(), r.n, physical+place(r.at))
		}
	}
	s := &settler{device: d, final: p.final.Used, owners: owners, mem: make([]byte, p.o.Memory/2/d.block*d.block)}
	for len(todo) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if todo, err = s.batch(todo); err != nil {
			return err
		}
	}
	return nil
}

// A settler brings blocks home, a batch at a time.
type settler struct {
	*device
	final  extent.Set
	owners runs // which block's content lies at a place
	mem    []byte
}

// batch takes from the beginning of todo, and returns the rest.
func (s *settler) batch(todo []run) ([]run, error) {
	var now []run
	room := int64(len(s.mem)) / s.block
	for len(todo) > 0 && room > 0 {
		r := todo[0].cut(todo[0].at, min(todo[0].end(), todo[0].at+room))
		if r.n == todo[0].n {
			todo = todo[1:]
		} else {
			todo[0] = todo[0].cut(r.end(), todo[0].end())
		}
		// Evictions may have moved it since.
		s.table.each(r.at, r.end(), func(r run) error {
			if r.to != physical+place(r.at) {
				now = append(now, r)
				room -= r.n
			}
			return nil
		})
	}
	if err := s.load(now); err != nil {
		return nil, err
	}
	var dests extent.Set
	for _, r := range now {
		dests = dests.Append(extent.Extent{Off: r.at * s.block, Len: r.n * s.block})
	}
	if err := s.clear(dests); err != nil {
		return nil, err
	}
	return todo, s.unload(dests)
}

// load reads the batch into memory, in the order in which it lies on the
// target, and frees its places.
func (s *settler) load(now []run) error {
	type loaded struct {
		run
		b []byte
	}
	var order []loaded
	b := s.mem
	for _, r := range now {
		order = append(order, loaded{r, b[:r.n*s.block]})
		b = b[r.n*s.block:]
	}
	slices.SortFunc(order, func(a, b loaded) int { return cmp.Compare(a.to, b.to) })
	for _, r := range order {
		if err := s.fetch(r.to, r.b); err != nil {
			return err
		}
		if r.to.kind() == physical {
			s.owners.set(r.to.num(), r.n, hole)
		}
		s.point(r.at, r.n, hole)
	}
	return nil
}

// clear moves away what lies where the batch belongs.
func (s *settler) clear(dests extent.Set) error {
	b := make([]byte, s.block)
	for _, e := range dests {
		for p := e.Off / s.block; p < e.End()/s.block; p++ {
			if s.usersOf(p) == 0 {
				continue
			}
			owner := s.owners.at(p, p+1).to
			if owner == hole {
				return fmt.Errorf("block %d lies where nothing belongs", p)
			}
			if err := s.evict(p, owner.num(), dests, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// evict moves the content of block v away from place p: home if it can be, else
// out of the way of all.
func (s *settler) evict(p, v int64, dests extent.Set, b []byte) error {
	if err := s.fetch(physical+place(p), b); err != nil {
		return err
	}
	inDests := func(q int64) bool { return len(overlapping(dests, extent.Extent{Off: q * s.block, Len: 1})) > 0 }
	inFinal := func(q int64) bool { return len(overlapping(s.final, extent.Extent{Off: q * s.block, Len: 1})) > 0 }
	to, ok := v, s.usersOf(v) == 0 && !inDests(v)
	if !ok {
		to, ok = s.emptyPlace(func(q int64) bool { return inDests(q) || inFinal(q) })
	}
	if !ok {
		to, ok = s.emptyPlace(inDests)
	}
	if !ok {
		return errNoRoom
	}
	if err := s.storeAt(v, to, b, &s.stats.Settled); err != nil {
		return err
	}
	s.owners.set(p, 1, hole)
	if to != v {
		s.owners.set(to, 1, physical+place(v))
	}
	return nil
}

// unload writes the batch home.
func (s *settler) unload(dests extent.Set) error {
	b := s.mem
	for _, e := range dests {
		at := e.Off / s.block
		if err := s.storeAt(at, at, b[:e.Len], &s.stats.Settled); err != nil {
			return err
		}
		b = b[e.Len:]
	}
	return nil
}

// settleZeros writes the zeros that are in use. All data are home: what lies
// there now is old. It looks first, because reading is faster.
func (p *Parker) settleZeros(ctx context.Context) error {
	d := p.dev
	for _, r := range d.homeless(p.final.Used) {
		if r.to != hole {
			return fmt.Errorf("block %d has no place", r.at)
		}
		if err := d.zero(ctx, r.at*d.block, r.n*d.block); err != nil {
			return err
		}
	}
	return nil
}

// zero makes size bytes of the target from off on read as zero.
func (d *device) zero(ctx context.Context, off, size int64) error {
	buf := extent.Buffer()
	defer extent.Release(buf)
	for end := off + size; off < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(extent.BufferSize, end-off)
		if got, _ := d.to.ReadAt(buf[:n], off); int64(got) < n || !extent.IsZero(buf[:n]) {
			if err := d.to.WriteZeros(ctx, extent.Extent{Off: off, Len: n}); err != nil {
				return fmt.Errorf("write %d zeros at %d: %w", n, off, err)
			}
			d.stats.Settled += n
		}
		off += n
	}
	return nil
}
