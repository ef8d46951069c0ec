package fit

import (
	"context"
	"errors"
	"fmt"

	"lifeboat/clone/extent"
)

// Put takes bytes of the file system, from its start on. From a stream they
// ascend, and are all that is in use; a zero that is not in use does no harm.
// Behind a plan they are those of Want, in any order.
func (p *Parker) Put(ctx context.Context, r extent.Record) error {
	if r.Kind == extent.Same {
		return errors.New("fit: a record refers to bytes that are not there")
	}
	if p.settled {
		return p.putFinal(ctx, r)
	}
	d := p.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	bs := d.block
	for off, end := r.Off, min(r.End(), d.blocks*bs); off < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		v, in := off/bs, off%bs
		n := (end - off) / bs * bs
		whole := in == 0 && n > 0
		if !whole {
			n = min(end-off, bs-in)
		}
		var b []byte
		if r.Kind == extent.Data {
			b = r.Data[off-r.Off:][:n]
		}
		if err := p.take(v, in, n, whole, b); err != nil {
			return err
		}
		off += n
	}
	p.o.Meter.Add(r.Len)
	return nil
}

// A fragment is a block that comes in more than one record.
type fragment struct {
	v int64
	b []byte
}

// take places n bytes that begin in bytes into block v; b is nil for zeros.
func (p *Parker) take(v, in, n int64, whole bool, b []byte) error {
	if p.frag.b != nil && (whole || p.frag.v != v) {
		if err := p.closeFragment(); err != nil {
			return err
		}
	}
	if whole {
		return p.takeBlocks(v, n/p.dev.block, b)
	}
	if p.frag.b == nil {
		p.frag = fragment{v, make([]byte, p.dev.block)}
	}
	copy(p.frag.b[in:], b)
	if in+n == p.dev.block {
		return p.closeFragment()
	}
	return nil
}

func (p *Parker) closeFragment() error {
	f := p.frag
	p.frag = fragment{}
	if f.b == nil {
		return nil
	}
	return p.takeBlocks(f.v, 1, f.b)
}

// takeBlocks places n blocks from v on; what is known not to be in use is left
// out.
func (p *Parker) takeBlocks(v, n int64, b []byte) error {
	g, bs := &p.o.Facts.geo, p.dev.block
	if p.o.Facts.Used != nil {
		return p.takeUsed(overlapping(p.o.Facts.Used, extent.Extent{Off: v * bs, Len: n * bs}), v, n, b)
	}
	for n > 0 {
		k := min(n, g.GroupBlocks-(v-g.First+g.GroupBlocks)%g.GroupBlocks)
		if v < p.dev.room {
			k = min(k, p.dev.room-v)
		} else if err := p.learnInside(v); err != nil {
			return err
		}
		set, err := p.learned(v, k, sub(b, 0, k*bs))
		if err == nil {
			err = p.takeUsed(set, v, k, sub(b, 0, k*bs))
		}
		if err != nil {
			return err
		}
		v, n, b = v+k, n-k, sub(b, k*bs, n*bs)
	}
	return nil
}

// sub is b[from:end], and nil where b is.
func sub(b []byte, from, end int64) []byte {
	if b == nil {
		return nil
	}
	return b[from:end]
}

// takeUsed places what of n blocks from v on lies in set.
func (p *Parker) takeUsed(set extent.Set, v, n int64, b []byte) error {
	bs := p.dev.block
	for _, e := range set {
		from, end := max(v, e.Off/bs), min(v+n, (e.End()+bs-1)/bs)
		if home := min(end, p.dev.room); from < home {
			if err := p.takeHome(from, home-from, sub(b, (from-v)*bs, (home-v)*bs)); err != nil {
				return err
			}
			from = home
		}
		if from < end {
			if err := p.park(from, end-from, sub(b, (from-v)*bs, (end-v)*bs)); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeHome writes blocks at their own place. Zeros are left out: they take no
// room until the end.
func (p *Parker) takeHome(v, n int64, b []byte) error {
	d := p.dev
	if b == nil {
		return nil
	}
	if i := d.headBlock - v; i >= 0 && i < n {
		copy(d.head, b[i*d.block:])
		if err := p.takeHome(v, i, b[:i*d.block]); err != nil {
			return err
		}
		return p.takeHome(v+i+1, n-i-1, b[(i+1)*d.block:])
	}
	return d.eachData(v, b, func(v int64, b []byte) error {
		return d.storeAt(v, v, b, &d.stats.Home)
	})
}

// eachData yields the runs of blocks in b that are not all zero.
func (d *device) eachData(v int64, b []byte, do func(v int64, b []byte) error) error {
	n := int64(len(b)) / d.block
	zero := func(i int64) bool { return extent.IsZero(b[i*d.block : (i+1)*d.block]) }
	for i := int64(0); i < n; {
		if zero(i) {
			i++
			continue
		}
		j := i + 1
		for j < n && !zero(j) {
			j++
		}
		if err := do(v+i, b[i*d.block:j*d.block]); err != nil {
			return err
		}
		i = j + 1
	}
	return nil
}

// park places blocks that lie behind the end where resize2fs will move them: it
// takes them in ascending order, and for each the lowest block that is free.
// That is how resize2fs.c of e2fsprogs 1.47.0 does it (block_mover,
// get_new_block); another order costs writes, not bytes. It moves its own tables
// by other rules.
func (p *Parker) park(v, n int64, b []byte) error {
	for n > 0 {
		k, table := p.tableRun(v, n)
		piece := b
		if b != nil {
			piece = b[:k*p.dev.block]
		}
		var err error
		if table {
			err = p.parkTable(v, piece)
		} else {
			k, err = p.parkData(v, k, piece)
		}
		if err != nil {
			return fmt.Errorf("park block %d: %w", v, err)
		}
		v, n = v+k, n-k
		if b != nil {
			b = b[k*p.dev.block:]
		}
	}
	return nil
}

// tableRun tells whether block v belongs to a table, and how many of n do as it
// does.
func (p *Parker) tableRun(v, n int64) (int64, bool) {
	bs := p.dev.block
	off, end := v*bs, (v+n)*bs
	hit := overlapping(p.tables, extent.Extent{Off: off, Len: end - off})
	switch {
	case len(hit) == 0:
		return n, false
	case hit[0].Off > off:
		return (hit[0].Off - off) / bs, false
	}
	return (min(hit[0].End(), end) - off) / bs, true
}

// parkTable keeps blocks of a table in memory as long as there is room.
func (p *Parker) parkTable(v int64, b []byte) error {
	d := p.dev
	return d.eachData(v, b, func(v int64, b []byte) error {
		for ; len(b) > 0; v, b = v+1, b[d.block:] {
			if err := d.store(v, b[:d.block], &d.stats.Parked); err != nil {
				return err
			}
		}
		return nil
	})
}

// parkData parks up to n blocks at the next predicted places, and tells how
// many. Zeros take a place too, but are not written.
func (p *Parker) parkData(v, n int64, b []byte) (int64, error) {
	d := p.dev
	if len(p.free) == 0 {
		return n, p.parkTable(v, b)
	}
	next := &p.free[0]
	n = min(n, next.Len/d.block)
	place := next.Off / d.block
	next.Off, next.Len = next.Off+n*d.block, next.Len-n*d.block
	if next.Len < d.block {
		p.free = p.free[1:]
	}
	if b == nil {
		return n, nil
	}
	return n, d.eachData(v, b[:n*d.block], func(at int64, b []byte) error {
		to := place + at - v
		if d.users.at(to, to+int64(len(b))/d.block) != (run{to, int64(len(b)) / d.block, hole}) {
			return p.parkTable(at, b)
		}
		return d.storeAt(at, to, b, &d.stats.Parked)
	})
}

// Patch takes bytes that came before once more: the last ones count. It is for
// streams, between the last Put and Shrink.
func (p *Parker) Patch(_ context.Context, r extent.Record) error {
	p.dev.mu.Lock()
	err := p.closeFragment()
	p.dev.mu.Unlock()
	if err != nil {
		return err
	}
	b := r.Data
	if r.Kind == extent.Zero {
		b = make([]byte, r.Len)
	}
	if _, err := p.dev.WriteAt(b, r.Off); err != nil {
		return fmt.Errorf("patch %d bytes at %d: %w", r.Len, r.Off, err)
	}
	return nil
}

// overlapping are the extents of s that touch e.
func overlapping(s extent.Set, e extent.Extent) extent.Set {
	first, last := 0, len(s)
	for first < last { // the first whose end lies behind e.Off
		if mid := (first + last) / 2; s[mid].End() > e.Off {
			last = mid
		} else {
			first = mid + 1
		}
	}
	end := first
	for end < len(s) && s[end].Off < e.End() {
		end++
	}
	return s[first:end]
}
