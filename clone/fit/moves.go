package fit

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"slices"

	"lifeboat/clone/extent"
)

// recallSize is how much of what was read lately is remembered, bytes. resize2fs
// writes a few blocks behind what it reads.
const recallSize = 8 << 20

// Moves tell that what is written to one place is what was read at another.
//
// File data are told by tags: a read of them yields a block that names itself,
// and a write of such a block is a move. Their bytes are neither read nor
// written. Other blocks, which are looked at and sometimes changed, are told by
// their content.
type moves struct {
	// config
	block int64
	mark  [tagMark]byte // no other block begins with it
	seed  maphash.Seed

	// state
	data   extent.Set // bytes that are shown as tags
	lately map[uint64][]recent
	order  []uint64
}

type recent struct {
	v int64
	b []byte
}

// A tag is repeated through the whole block: the mark, the block, the block's
// complement.
const (
	tagMark = 16
	tagSize = 32
)

func newMoves(block int64) moves {
	m := moves{block: block, seed: maphash.MakeSeed(), lately: map[uint64][]recent{}}
	rand.Read(m.mark[:])
	return m
}

// tagged tells whether block v is shown as a tag, and how many up to end are the
// same.
func (m *moves) tagged(v, end int64) (n int64, yes bool) {
	off := v * m.block
	i, ok := slices.BinarySearchFunc(m.data, off, func(e extent.Extent, off int64) int {
		switch {
		case e.End() <= off:
			return -1
		case e.Off > off:
			return 1
		}
		return 0
	})
	next := end
	switch {
	case ok:
		next = m.data[i].End() / m.block
	case i < len(m.data):
		next = m.data[i].Off / m.block
	}
	return min(next, end) - v, ok
}

// untag shows n blocks from v on as they are.
func (m *moves) untag(v, n int64) {
	if k, yes := m.tagged(v, v+n); yes || k < n {
		m.data = m.data.Subtract(extent.Of(extent.Extent{Off: v * m.block, Len: n * m.block}))
	}
}

// tag fills b with the tags of blocks from v on.
func (m *moves) tag(v int64, b []byte) {
	for at := int64(0); at < int64(len(b)); at += tagSize {
		copy(b[at:], m.mark[:])
		n := uint64(v + at/m.block)
		binary.LittleEndian.PutUint64(b[at+tagMark:], n)
		binary.LittleEndian.PutUint64(b[at+tagMark+8:], ^n)
	}
}

// parse reads tags at the beginning of b: the blocks that they name follow each
// other, n is 0 where there is none.
func (m *moves) parse(b []byte) (v, n int64, err error) {
	if !bytes.Equal(b[:tagMark], m.mark[:]) {
		return 0, 0, nil
	}
	v = int64(binary.LittleEndian.Uint64(b[tagMark:]))
	want := make([]byte, m.block)
	for ; int64(len(b)) >= m.block; n++ {
		m.tag(v+n, want)
		if !bytes.Equal(b[:m.block], want) {
			break
		}
		b = b[m.block:]
	}
	if _, yes := m.tagged(v, v+1); n == 0 || !yes {
		return 0, 0, errors.New("a block that stands for file data was changed")
	}
	return v, n, nil
}

// remember notes what was read at block v.
func (m *moves) remember(v int64, b []byte) {
	if extent.IsZero(b) {
		return
	}
	h := maphash.Bytes(m.seed, b)
	m.lately[h] = append(m.lately[h], recent{v, bytes.Clone(b)})
	if m.order = append(m.order, h); int64(len(m.order))*m.block > recallSize {
		old := m.order[0]
		m.order = m.order[1:]
		if m.lately[old] = m.lately[old][1:]; len(m.lately[old]) == 0 {
			delete(m.lately, old)
		}
	}
}

// recall lists the blocks that were read lately with the content b, the oldest
// first.
func (m *moves) recall(b []byte) []int64 {
	var vs []int64
	for _, r := range m.lately[maphash.Bytes(m.seed, b)] {
		if bytes.Equal(r.b, b) {
			vs = append(vs, r.v)
		}
	}
	return vs
}
