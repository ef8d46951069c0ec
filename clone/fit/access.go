package fit

import (
	"io"

	"lifeboat/clone/extent"
)

// A partial is the beginning of a block that is being written: the kernel cuts
// large writes where the writer's memory has a page's end, inside of blocks.
type partial struct {
	at int64
	n  int64
	b  []byte
}

// ReadAt reads the device as io.ReaderAt says.
func (d *device) ReadAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	want := max(0, min(int64(len(p)), d.blocks*d.block-off))
	if err := d.flush(); err != nil {
		return 0, d.failed(err)
	}
	if err := d.read(p[:want], off); err != nil {
		return 0, d.failed(err)
	}
	if want < int64(len(p)) {
		return int(want), io.EOF
	}
	return len(p), nil
}

// WriteAt writes to the device as io.WriterAt says.
func (d *device) WriteAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off < 0 || off > d.blocks*d.block-int64(len(p)) {
		return 0, io.ErrShortWrite
	}
	if err := d.put(p, off); err != nil {
		return 0, d.failed(err)
	}
	return len(p), nil
}

// failed remembers the first error.
func (d *device) failed(err error) error {
	if d.fault == nil {
		d.fault = err
	}
	return err
}

func (d *device) read(p []byte, off int64) error {
	for len(p) > 0 {
		in := off % d.block
		n := int64(len(p)) / d.block * d.block
		if in != 0 || n == 0 {
			b := make([]byte, d.block)
			if err := d.readBlocks(off/d.block, b); err != nil {
				return err
			}
			n = int64(copy(p, b[in:]))
		} else if err := d.readBlocks(off/d.block, p[:n]); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

// readBlocks fills b with whole blocks from v on.
func (d *device) readBlocks(v int64, b []byte) error {
	end := v + int64(len(b))/d.block
	return d.table.each(v, end, func(r run) error {
		for r.n > 0 {
			n, tagged := d.moves.tagged(r.at, r.end())
			p := b[(r.at-v)*d.block:][:n*d.block]
			if tagged {
				d.moves.tag(r.at, p)
			} else if err := d.readRun(r.cut(r.at, r.at+n), p); err != nil {
				return err
			}
			r = r.cut(r.at+n, r.end())
		}
		return nil
	})
}

func (d *device) readRun(r run, b []byte) error {
	if err := d.fetch(r.to, b); err != nil {
		return err
	}
	if i := d.headBlock - r.at; i >= 0 && i < r.n {
		copy(b[i*d.block:], d.head)
	}
	if r.end() > d.room && r.to != hole {
		for i := max(0, d.room-r.at); i < r.n; i++ {
			d.moves.remember(r.at+i, b[i*d.block:][:d.block])
		}
	}
	return nil
}

// put writes p, whose ends may lie inside of blocks.
func (d *device) put(p []byte, off int64) error {
	for len(p) > 0 {
		v, in := off/d.block, off%d.block
		if q := d.part; q != nil && (q.at != v || q.n != in) {
			if err := d.flush(); err != nil {
				return err
			}
		}
		n := int64(len(p)) / d.block * d.block
		if in == 0 && n > 0 {
			if err := d.writeBlocks(v, p[:n]); err != nil {
				return err
			}
		} else {
			n = min(int64(len(p)), d.block-in)
			if err := d.putPart(v, in, p[:n]); err != nil {
				return err
			}
		}
		p, off = p[n:], off+n
	}
	return nil
}

// putPart takes a piece of block v that begins in bytes into it. The beginning
// of a block waits for the rest; what comes without its beginning is written
// into the old content.
func (d *device) putPart(v, in int64, p []byte) error {
	if d.part == nil {
		d.part = &partial{at: v, b: make([]byte, d.block)}
		if in > 0 {
			if err := d.readBlocks(v, d.part.b); err != nil {
				d.part = nil
				return err
			}
			copy(d.part.b[in:], p)
			d.part.n = d.block
			return d.flush()
		}
	}
	copy(d.part.b[in:], p)
	if d.part.n = in + int64(len(p)); d.part.n == d.block {
		return d.flush()
	}
	return nil
}

// flush writes the block of which only the beginning may have come; its end is
// the old content's.
func (d *device) flush() error {
	q := d.part
	if q == nil {
		return nil
	}
	d.part = nil
	if q.n < d.block {
		b := make([]byte, d.block)
		if err := d.readBlocks(q.at, b); err != nil {
			return err
		}
		copy(q.b[q.n:], b[q.n:])
	}
	return d.writeBlocks(q.at, q.b)
}

// writeBlocks takes whole blocks from w on.
func (d *device) writeBlocks(w int64, b []byte) error {
	for len(b) > 0 {
		n, err := d.writeSome(w, b)
		if err != nil {
			return err
		}
		w, b = w+n, b[n*d.block:]
	}
	return nil
}

// writeSome writes at least one block and tells how many.
func (d *device) writeSome(w int64, b []byte) (int64, error) {
	one := b[:d.block]
	if w == d.headBlock {
		copy(d.head, one)
		return 1, nil
	}
	if w >= d.room {
		d.moves.untag(w, 1)
	}
	if extent.IsZero(one) {
		d.point(w, 1, hole)
		return 1, nil
	}
	src, n, err := d.moves.parse(b)
	if err != nil {
		return 0, err
	}
	if n > 0 {
		if d.headBlock > w { // the head is never moved over
			n = min(n, d.headBlock-w)
		}
		return n, d.move(w, src, n)
	}
	if src, ok := d.recall(w, one); ok {
		if to := d.table.at(src, src+1).to; to.kind() == physical || to.kind() == original {
			return 1, d.move(w, src, 1)
		}
	}
	return 1, d.overwrite(w, one)
}

// recall finds the block behind the end that was read lately with the content b;
// one that already lies at w is the best.
func (d *device) recall(w int64, b []byte) (int64, bool) {
	found := int64(-1)
	for _, src := range d.moves.recall(b) {
		found = src
		if d.table.at(src, src+1).to == physical+place(w) {
			break
		}
	}
	return found, found >= 0 && found != w
}

// move makes n blocks from w on the same as those from src on, without moving a
// byte.
func (d *device) move(w, src, n int64) error {
	if src == w {
		return nil
	}
	return d.table.each(src, src+n, func(r run) error {
		at := w + r.at - src
		switch r.to.kind() {
		case lost:
			return d.fetch(r.to, nil)
		case memory:
			for i := range r.n {
				if err := d.overwrite(at+i, d.slots[r.to.num()+i]); err != nil {
					return err
				}
			}
			return nil
		case physical:
			d.source.set(at, r.n, physical+place(r.at))
			if r.to.num() != at {
				d.stats.Missed += r.n * d.block
			}
		}
		d.point(at, r.n, r.to)
		d.stats.Moved += r.n * d.block
		return nil
	})
}

// overwrite gives block w new content.
func (d *device) overwrite(w int64, b []byte) error {
	to := d.table.at(w, w+1).to
	switch {
	case to.kind() == memory:
		copy(d.slots[to.num()], b)
		return nil
	case to.kind() == physical && d.usersOf(to.num()) == 1:
		return d.write(to.num(), b, &d.stats.Meta)
	case to.kind() == physical:
		// Where w was moved from, nobody will look again.
		if from := d.source.at(w, w+1).to; from != hole && d.table.at(from.num(), from.num()+1).to == to {
			if d.taken >= d.room-1 && d.usersOf(to.num()) == 2 {
				d.point(from.num(), 1, lost)
				d.stats.GivenUp += d.block
				return d.write(to.num(), b, &d.stats.Meta)
			}
			d.bury(from.num())
		}
	}
	return d.store(w, b, &d.stats.Meta)
}
