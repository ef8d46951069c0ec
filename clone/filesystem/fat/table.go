package fat

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"lifeboat/clone/extent"
)

// pageSize is how much of a FAT is read at once: whole entries of each kind,
// whole sectors of each size.
const pageSize = 3 << 15

// maxPages bounds what is kept of a FAT: 6 MiB.
const maxPages = 64

// A table is one file system's FAT: read from FAT 0, written to all.
type table struct {
	g *geometry
	r io.ReaderAt
	w io.WriterAt // nil for a reader

	mu    sync.Mutex
	pages map[int64]*page
	last  *page
}

// A page is a piece of the FAT. Its bytes [lo, hi) are still to be written.
type page struct {
	off    int64 // in the FAT
	data   []byte
	lo, hi int64
}

// get is the entry of cluster c.
func (t *table) get(c uint32) (uint32, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, i, err := t.find(c)
	if err != nil {
		return 0, err
	}
	return t.g.entry(p.data, i, c), nil
}

// set changes the entry of cluster c. It is on the disk after flush at the
// latest, and may be there before.
func (t *table) set(c, v uint32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, i, err := t.find(c)
	if err != nil {
		return err
	}
	width := t.g.setEntry(p.data, i, c, v)
	lo := i / t.g.sector * t.g.sector
	hi := min((i+width+t.g.sector-1)/t.g.sector*t.g.sector, int64(len(p.data)))
	if p.lo == p.hi {
		p.lo, p.hi = lo, hi
	}
	p.lo, p.hi = min(p.lo, lo), max(p.hi, hi)
	return nil
}

// find is the page with the entry of cluster c, and where it begins in there.
func (t *table) find(c uint32) (*page, int64, error) {
	pos := int64(c) * int64(t.g.bits) / 8
	off := pos / pageSize * pageSize
	if t.last != nil && t.last.off == off {
		return t.last, pos - off, nil
	}
	p := t.pages[off]
	if p == nil {
		if len(t.pages) >= maxPages {
			if err := t.write(); err != nil {
				return nil, 0, err
			}
			clear(t.pages)
			t.last = nil
		}
		p = &page{off: off, data: make([]byte, min(pageSize, t.g.fatLen-off))}
		if err := readFull(t.r, p.data, t.g.fatOff+off); err != nil {
			return nil, 0, fmt.Errorf("FAT 0 at %d: %w", t.g.fatOff+off, err)
		}
		t.pages[off] = p
	}
	t.last = p
	return p, pos - off, nil
}

// flush writes all that set has changed to all FATs, FAT 0 last: it is the one
// that is read.
func (t *table) flush() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.write()
}

func (t *table) write() error {
	for n := t.g.fats - 1; n >= 0; n-- {
		for _, p := range t.pages {
			if p.lo == p.hi {
				continue
			}
			off := t.g.fatOff + n*t.g.fatLen + p.off + p.lo
			if _, err := t.w.WriteAt(p.data[p.lo:p.hi], off); err != nil {
				return fmt.Errorf("FAT %d at %d: %w", n, off, err)
			}
		}
	}
	for _, p := range t.pages {
		p.lo, p.hi = 0, 0
	}
	return nil
}

// entry is the entry of cluster c, which begins at byte i of b.
func (g *geometry) entry(b []byte, i int64, c uint32) uint32 {
	switch g.bits {
	case 32:
		return le.Uint32(b[i:]) & g.mask()
	case 16:
		return uint32(le.Uint16(b[i:]))
	}
	return uint32(le.Uint16(b[i:])) >> (4 * (c & 1)) & g.mask()
}

// setEntry mirrors entry, leaves the bits alone that are not its own, and
// returns how many bytes it touched.
func (g *geometry) setEntry(b []byte, i int64, c, v uint32) int64 {
	switch g.bits {
	case 32:
		le.PutUint32(b[i:], le.Uint32(b[i:])&^g.mask()|v&g.mask())
		return 4
	case 16:
		le.PutUint16(b[i:], uint16(v))
		return 2
	}
	shift := 4 * (c & 1)
	le.PutUint16(b[i:], le.Uint16(b[i:])&^uint16(0xfff<<shift)|uint16((v&0xfff)<<shift))
	return 2
}

// each calls f with all entries of FAT n, ascending, without those of clusters
// 0 and 1.
func (t *table) each(n int64, f func(c, v uint32)) error {
	buf := make([]byte, min(pageSize, t.g.fatLen))
	end := uint32(firstCluster + t.g.clusters)
	per := uint32(pageSize * 8 / t.g.bits)
	for first := uint32(0); first < end; first += per {
		count := min(per, end-first)
		pos := int64(first) * int64(t.g.bits) / 8
		b := buf[:min(pageSize, t.g.fatLen-pos)]
		if err := readFull(t.r, b, t.g.fatOff+n*t.g.fatLen+pos); err != nil {
			return fmt.Errorf("FAT %d at %d: %w", n, t.g.fatOff+n*t.g.fatLen+pos, err)
		}
		for k := range count {
			if c := first + k; c >= firstCluster {
				f(c, t.g.entry(b, int64(k)*int64(t.g.bits)/8, c))
			}
		}
	}
	return nil
}

// A piece is a run of a file's bytes: from At in the file, they lie at Off on
// the disk.
type piece struct {
	At int64
	extent.Extent
}

var errChain = errors.New("the chain of clusters is broken; fsck.vfat repairs it")

// chain follows a chain of clusters: want of them, or with a negative want all
// up to its end, but no more than limit. An error comes with what was found
// before it.
func (t *table) chain(start uint32, want, limit int64) ([]piece, error) {
	var ps []piece
	mark, power := start, int64(1) // Brent's: a chain that meets a mark is a ring
	c := start
	for n := int64(0); n != want; n++ {
		if n > 0 && c == mark {
			return ps, fmt.Errorf("cluster %d comes twice: %w", c, errChain)
		}
		if n == power {
			mark, power = c, power*2
		}
		if n == limit {
			return ps, fmt.Errorf("more than %d clusters: %w", limit, errChain)
		}
		if !t.g.valid(c) {
			return ps, fmt.Errorf("cluster %d: %w", c, errChain)
		}
		ps = addPiece(ps, t.g.off(c), t.g.cluster)
		next, err := t.get(c)
		switch {
		case err != nil:
			return ps, err
		case next >= t.g.end() && (want < 0 || n == want-1):
			return ps, nil
		case n == want-1:
			return ps, nil
		}
		c = next
	}
	return ps, nil
}

// addPiece adds n bytes at off to the pieces of a file.
func addPiece(ps []piece, off, n int64) []piece {
	at := int64(0)
	if k := len(ps); k > 0 {
		last := &ps[k-1]
		if last.End() == off {
			last.Len += n
			return ps
		}
		at = last.At + last.Len
	}
	return append(ps, piece{at, extent.Extent{Off: off, Len: n}})
}

// readFull fills b from off. That r may say io.EOF beside the last bytes is
// none of our business.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == io.EOF || err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}
