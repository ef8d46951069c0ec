package fit

import (
	"slices"
	"sort"
)

// A place says where a block's content is: a kind, and a number of that kind.
type place int64

// Kinds. Of those from physical on the numbers of a run ascend with its blocks.
const (
	hole     = iota << kindShift // zeros; also: nothing is known
	lost                         // given up for room: reading it is an error, never wrong data
	users                        // in the count of users: so many
	physical                     // on the target, in the block of that number
	memory                       // in the slot of that number
	original                     // in the source, in the block of that number

	kindShift = 56
)

func (p place) kind() place { return p &^ (1<<kindShift - 1) }
func (p place) num() int64  { return int64(p & (1<<kindShift - 1)) }

// plus is the place n blocks on in the same run.
func (p place) plus(n int64) place {
	if p.kind() >= physical {
		return p + place(n)
	}
	return p
}

// A run says of n blocks from block at on where they are.
type run struct {
	at, n int64
	to    place
}

func (r run) end() int64 { return r.at + r.n }

// cut is the piece of the run that lies in [from, end).
func (r run) cut(from, end int64) run {
	from, end = max(from, r.at), min(end, r.end())
	return run{from, end - from, r.to.plus(from - r.at)}
}

// runsPage bounds what one insertion moves.
const runsPage = 512

// runs map blocks to places, in ascending pages of runs; what no run covers is
// a hole. They grow with the number of pieces, not with the disk.
type runs struct{ pages [][]run }

// find is the position of the first run that ends behind block v.
func (m *runs) find(v int64) (page, i int) {
	page = sort.Search(len(m.pages), func(p int) bool {
		last := m.pages[p]
		return last[len(last)-1].end() > v
	})
	if page == len(m.pages) {
		return page, 0
	}
	rs := m.pages[page]
	return page, sort.Search(len(rs), func(i int) bool { return rs[i].end() > v })
}

// at is the piece that begins at block v and is all in one place; a hole ends
// at end.
func (m *runs) at(v, end int64) run {
	page, i := m.find(v)
	if page == len(m.pages) {
		return run{v, end - v, hole}
	}
	if r := m.pages[page][i]; r.at <= v {
		return r.cut(v, end)
	} else {
		return run{v, min(r.at, end) - v, hole}
	}
}

// each yields the pieces of [from, end) in ascending order, holes among them.
// The map may change behind what was yielded.
func (m *runs) each(from, end int64, do func(run) error) error {
	for v := from; v < end; {
		r := m.at(v, end)
		if err := do(r); err != nil {
			return err
		}
		v = r.end()
	}
	return nil
}

// set puts n blocks from v on in the place to.
func (m *runs) set(v, n int64, to place) {
	m.split(v)
	m.split(v + n)
	m.remove(v, v+n)
	if to == hole {
		return
	}
	page, i := m.find(v)
	r := run{v, n, to}
	if page < len(m.pages) {
		if next := m.pages[page][i]; next.at == r.end() && next.to == to.plus(n) {
			r.n += next.n
			m.delete(page, i, i+1)
		}
	}
	if !m.extend(r) {
		m.insert(r)
	}
}

// extend joins r with the run before it, where that goes on in it.
func (m *runs) extend(r run) bool {
	if r.at == 0 {
		return false
	}
	page, i := m.find(r.at - 1)
	if page == len(m.pages) {
		return false
	}
	before := &m.pages[page][i]
	if before.end() != r.at || before.to.plus(before.n) != r.to {
		return false
	}
	before.n += r.n
	return true
}

// split makes block v the first of its run.
func (m *runs) split(v int64) {
	page, i := m.find(v)
	if page == len(m.pages) || m.pages[page][i].at >= v {
		return
	}
	r := m.pages[page][i]
	m.pages[page][i] = r.cut(r.at, v)
	m.insert(r.cut(v, r.end()))
}

// remove drops the runs that begin in [from, end).
func (m *runs) remove(from, end int64) {
	page, i := m.find(from)
	for page < len(m.pages) {
		rs := m.pages[page]
		j := i + sort.Search(len(rs)-i, func(k int) bool { return rs[i+k].at >= end })
		all := j == len(rs)
		if !m.delete(page, i, j) {
			page++
		}
		if !all {
			return
		}
		i = 0
	}
}

// delete drops runs i to j of a page; true where the page is gone with them.
func (m *runs) delete(page, i, j int) bool {
	m.pages[page] = slices.Delete(m.pages[page], i, j)
	if len(m.pages[page]) > 0 {
		return false
	}
	m.pages = slices.Delete(m.pages, page, page+1)
	return true
}

// insert adds a run where none is.
func (m *runs) insert(r run) {
	page, i := m.find(r.at)
	if page == len(m.pages) {
		if page == 0 {
			m.pages = [][]run{{r}}
			return
		}
		page--
		i = len(m.pages[page])
	}
	m.pages[page] = slices.Insert(m.pages[page], i, r)
	if rs := m.pages[page]; len(rs) > runsPage {
		half := len(rs) / 2
		m.pages = slices.Insert(m.pages, page+1, slices.Clone(rs[half:]))
		m.pages[page] = slices.Clone(rs[:half])
	}
}

// holeBelow is the highest block below v that lies in no run, -1 where there is
// none.
func (m *runs) holeBelow(v int64) int64 {
	for v > 0 {
		r := m.at(v-1, v)
		if r.to == hole {
			return v - 1
		}
		page, i := m.find(v - 1)
		v = m.pages[page][i].at
	}
	return -1
}

// count is the number of runs.
func (m *runs) count() int {
	n := 0
	for _, p := range m.pages {
		n += len(p)
	}
	return n
}
