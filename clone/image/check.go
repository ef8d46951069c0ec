package image

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"

	"lifeboat/clone/extent"
)

// zeros stand for holes where bytes are wanted.
var zeros [extent.BufferSize]byte

// hashZeros adds n zero bytes to h.
func hashZeros(h hash.Hash, n int64) {
	for n > 0 {
		k := min(n, int64(len(zeros)))
		h.Write(zeros[:k])
		n -= k
	}
}

// A checker holds the bytes of an image, as they come by in ascending order,
// against the digests that are known of it.
type checker struct {
	// config
	name   string
	ranges []Range
	kind   string                         // of the ranges' digests
	lost   func(extent.Extent) extent.Set // what of an extent is zeros because it cannot be read; nil = nothing

	// state
	whole hash.Hash // nil = not wanted
	part  hash.Hash // of the range at the front of ranges
	fed   int64     // bytes of that
	at    int64
}

// newChecker checks ranges, and makes the digest of the whole where that is
// wanted. Then it must see every byte, else those of the ranges.
func newChecker(name string, ranges []Range, kind string, whole bool) *checker {
	c := &checker{name: name, ranges: ranges, kind: kind, part: hasherOf(kind)}
	if whole {
		c.whole = sha256.New()
	}
	if c.part == nil {
		c.ranges = nil
	}
	return c
}

// add takes the next piece.
func (c *checker) add(p piece) error {
	if c.whole != nil {
		c.hash(c.whole, p, p.Extent)
	}
	c.at = p.End()
	for len(c.ranges) > 0 {
		r := c.ranges[0]
		cut := r.Intersect(p.Extent)
		if cut.Len > 0 && r.Sum != "" {
			c.hash(c.part, p, cut)
			c.fed += cut.Len
		}
		if r.End() > p.End() {
			return nil
		}
		if err := c.endRange(r); err != nil {
			return err
		}
		c.ranges = c.ranges[1:]
	}
	return nil
}

func (c *checker) hash(h hash.Hash, p piece, e extent.Extent) {
	if p.buf == nil {
		hashZeros(h, e.Len)
		return
	}
	h.Write(p.buf[e.Off-p.Off : e.End()-p.Off])
}

// endRange compares a range that was seen whole.
func (c *checker) endRange(r Range) error {
	fed := c.fed
	got := hex.EncodeToString(c.part.Sum(nil))
	c.part.Reset()
	c.fed = 0
	if r.Sum == "" || fed == 0 || c.lostOf(r.Extent) {
		return nil // nothing of it is wanted, or can be said
	}
	if fed != r.Len {
		return fmt.Errorf("%s: only %d bytes of the range %v were read", c.name, fed, r.Extent)
	}
	if got != r.Sum {
		return &DigestError{c.name, fmt.Sprintf("bytes %d to %d", r.Off, r.End()-1), got, r.Sum}
	}
	return nil
}

func (c *checker) lostOf(e extent.Extent) bool { return c.lost != nil && len(c.lost(e)) > 0 }

// end compares what stands at the end: the content with its own digest, and
// what the caller expects with that of the content or of the file; either of
// these may be "".
func (c *checker) end(content, expect, file string) error {
	for _, r := range c.ranges {
		if c.fed > 0 || r.Off < c.at {
			return fmt.Errorf("%s: ends at byte %d, inside of a range that its bmap knows: %v", c.name, c.at, r.Extent)
		}
	}
	if c.whole == nil {
		return nil
	}
	if c.lostOf(extent.Extent{Len: c.at}) {
		if expect != "" {
			return fmt.Errorf("%s: bytes of it cannot be read, so that its digest cannot be made", c.name)
		}
		return nil
	}
	got := hex.EncodeToString(c.whole.Sum(nil))
	if content != "" && !strings.EqualFold(content, got) {
		return &DigestError{c.name, "content", got, strings.ToLower(content)}
	}
	if expect == "" || strings.EqualFold(expect, got) || strings.EqualFold(expect, file) {
		return nil
	}
	if file != "" {
		return &DigestError{c.name, "file", file, strings.ToLower(expect)}
	}
	return &DigestError{c.name, "content", got, strings.ToLower(expect)}
}

// touched keeps the ranges of which something is wanted.
func touched(ranges []Range, want extent.Set) []Range {
	var rs []Range
	for _, r := range ranges {
		for len(want) > 0 && want[0].End() <= r.Off {
			want = want[1:]
		}
		if len(want) > 0 && want[0].Off < r.End() {
			rs = append(rs, r)
		}
	}
	return rs
}
