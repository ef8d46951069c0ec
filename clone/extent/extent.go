// Package extent answers: which bytes? It holds ranges of a disk or a part,
// the arithmetic of sorted sets of them, and the records that carry their
// bytes from a source to a sink. It reads and writes nothing itself.
//
// All offsets and lengths are bytes.
package extent

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
)

// An Extent is the half-open range [Off, Off+Len) of bytes.
type Extent struct {
	Off int64 `json:"off"`
	Len int64 `json:"len"`
}

// End is the first byte behind the extent.
func (e Extent) End() int64 { return e.Off + e.Len }

// Intersect is what e and o have in common; its Len is 0 where that is nothing.
func (e Extent) Intersect(o Extent) Extent {
	off := max(e.Off, o.Off)
	return Extent{off, max(0, min(e.End(), o.End())-off)}
}

// Contains tells whether all of o lies in e.
func (e Extent) Contains(o Extent) bool { return e.Off <= o.Off && o.End() <= e.End() }

func (e Extent) String() string { return fmt.Sprintf("[%d+%d]", e.Off, e.Len) }

// A Set is sorted by Off; its extents are not empty, and neither overlap nor
// touch. Its methods return new sets and leave their operands alone.
type Set []Extent

// Of makes a set of extents in any order, overlapping or empty ones included.
func Of(es ...Extent) Set {
	sorted := slices.Clone(es)
	slices.SortFunc(sorted, func(a, b Extent) int { return cmp.Compare(a.Off, b.Off) })
	var s Set
	for _, e := range sorted {
		s = s.Append(e)
	}
	return s
}

// Append adds e, whose Off must not lie before the last extent's Off: the way
// to build a set in one ascending pass. Like the built-in append it may reuse
// the room of s, and is the only method that does.
func (s Set) Append(e Extent) Set {
	if e.Len <= 0 {
		return s
	}
	if n := len(s); n > 0 {
		last := &s[n-1]
		if e.Off < last.Off {
			panic(fmt.Sprintf("BUG: extent %v appended behind %v", e, *last))
		}
		if e.Off <= last.End() {
			last.Len = max(last.End(), e.End()) - last.Off
			return s
		}
	}
	return append(s, e)
}

// Bytes is the sum of all lengths.
func (s Set) Bytes() int64 {
	var n int64
	for _, e := range s {
		n += e.Len
	}
	return n
}

// Bounds is the smallest extent that holds the whole set.
func (s Set) Bounds() Extent {
	if len(s) == 0 {
		return Extent{}
	}
	return Extent{s[0].Off, s[len(s)-1].End() - s[0].Off}
}

// Join fills what is between two extents where that is gap bytes at most.
func (s Set) Join(gap int64) Set {
	var r Set
	for _, e := range s {
		if n := len(r); n > 0 && e.Off-r[n-1].End() <= gap {
			e = Extent{r[n-1].End(), e.End() - r[n-1].End()}
		}
		r = r.Append(e)
	}
	return r
}

// Shift moves all extents by d bytes.
func (s Set) Shift(d int64) Set {
	r := make(Set, len(s))
	for i, e := range s {
		r[i] = Extent{e.Off + d, e.Len}
	}
	return r
}

// Clip is the part of s that lies in e. It takes as long as that is long, whatever s
// has before it.
func (s Set) Clip(e Extent) Set {
	first := sort.Search(len(s), func(i int) bool { return s[i].End() > e.Off })
	return s[first:].Intersect(Of(e))
}

// Contains tells whether all of e lies in the set. An empty extent does.
func (s Set) Contains(e Extent) bool {
	if e.Len <= 0 {
		return true
	}
	i, found := slices.BinarySearchFunc(s, e.Off, func(x Extent, off int64) int { return cmp.Compare(x.Off, off) })
	if !found {
		i--
	}
	return i >= 0 && s[i].Contains(e)
}

// Union holds what lies in s or in o.
func (s Set) Union(o Set) Set {
	r := make(Set, 0, len(s)+len(o))
	for len(s) > 0 || len(o) > 0 {
		if len(o) == 0 || len(s) > 0 && s[0].Off <= o[0].Off {
			r, s = r.Append(s[0]), s[1:]
		} else {
			r, o = r.Append(o[0]), o[1:]
		}
	}
	return r
}

// Intersect holds what lies in both.
func (s Set) Intersect(o Set) Set {
	var r Set
	for len(s) > 0 && len(o) > 0 {
		r = r.Append(s[0].Intersect(o[0]))
		if s[0].End() < o[0].End() {
			s = s[1:]
		} else {
			o = o[1:]
		}
	}
	return r
}

// Subtract holds what lies in s and not in o.
func (s Set) Subtract(o Set) Set {
	var r Set
	for _, e := range s {
		for len(o) > 0 && o[0].End() <= e.Off {
			o = o[1:]
		}
		for i := 0; i < len(o) && o[i].Off < e.End(); i++ {
			r = r.Append(Extent{e.Off, o[i].Off - e.Off})
			rest := max(e.Off, o[i].End())
			e = Extent{rest, e.End() - rest}
		}
		r = r.Append(e)
	}
	return r
}

// Align widens each extent to multiples of granule, and cuts the result at
// limit: the blocks that hold a byte of s.
func (s Set) Align(granule, limit int64) Set {
	var r Set
	for _, e := range s {
		off := e.Off / granule * granule
		end := min((e.End()+granule-1)/granule*granule, limit)
		r = r.Append(Extent{off, end - off})
	}
	return r
}

// Check tells whether the set, which may have come from outside, is sorted,
// disjoint and within [0, limit).
func (s Set) Check(limit int64) error {
	end := int64(-1)
	for _, e := range s {
		switch {
		case e.Len <= 0 || e.Off < 0:
			return fmt.Errorf("extent %v is empty or negative", e)
		case e.Off <= end:
			return fmt.Errorf("extent %v overlaps or touches the one before it", e)
		case e.Len > limit || e.Off > limit-e.Len:
			return fmt.Errorf("extent %v ends behind byte %d", e, limit)
		}
		end = e.End()
	}
	return nil
}
