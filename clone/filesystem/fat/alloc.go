package fat

import (
	"fmt"
	"math/bits"
	"syscall"
)

// Fields of the FSInfo sector: the document named in boot.go, page 21.
const (
	offInfoLead   = 0
	offInfoStruct = 484
	offInfoFree   = 488
	offInfoNext   = 492
	offInfoTrail  = 508

	infoLead    = 0x41615252
	infoStruct  = 0x61417272
	infoTrail   = 0xaa550000
	infoUnknown = 0xffffffff
)

// begin comes before the first write of a change that needs clusters. Where
// there are too few of them, nothing is written.
func (e *Editor) begin(clusters int64) error {
	if missing := (clusters - e.room) * e.v.cluster; missing > 0 {
		return fmt.Errorf("%d bytes are missing: %w", missing, syscall.ENOSPC)
	}
	if e.stale {
		return nil
	}
	if err := e.putInfo(infoUnknown, infoUnknown); err != nil {
		return err
	}
	e.stale = true
	return nil
}

// putInfo writes the FSInfo sector, if there is a sound one.
func (e *Editor) putInfo(free, next uint32) error {
	if e.v.infoOff == 0 {
		return nil
	}
	b := make([]byte, e.v.sector)
	if err := readFull(e.rw, b, e.v.infoOff); err != nil {
		return fmt.Errorf("FSInfo: %w", err)
	}
	if le.Uint32(b[offInfoLead:]) != infoLead || le.Uint32(b[offInfoStruct:]) != infoStruct || le.Uint32(b[offInfoTrail:]) != infoTrail {
		return nil
	}
	le.PutUint32(b[offInfoFree:], free)
	le.PutUint32(b[offInfoNext:], next)
	return e.writeAt(b, e.v.infoOff)
}

// Sync writes what was kept back, the FSInfo sector, and syncs what the editor
// works on, if it can.
func (e *Editor) Sync() error {
	if e.err != nil {
		return e.err
	}
	if e.stale {
		if err := e.putInfo(uint32(e.free), e.next); err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		e.stale = false
	}
	if err := e.barrier(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

// Close is a last Sync. It does not close what the editor worked on.
func (e *Editor) Close() error { return e.Sync() }

// alloc takes n clusters, of which there must be enough: in one run if there is
// one, else from wherever they are. Nothing is written yet.
func (e *Editor) alloc(n int64) []piece {
	if n == 0 {
		return nil
	}
	var pieces []piece
	c := e.hole(n)
	for n > 0 {
		start := e.taken.next(c, e.last()+1, false)
		if start > e.last() {
			c = firstCluster
			continue
		}
		limit := uint32(min(int64(start)+n, int64(e.last())+1))
		stop := e.taken.next(start, limit, true)
		for k := start; k < stop; k++ {
			e.taken.set(k)
		}
		run := int64(stop - start)
		pieces = addPiece(pieces, e.v.off(start), run*e.v.cluster)
		n, e.room, c = n-run, e.room-run, stop
	}
	e.next = c
	if e.next > e.last() {
		e.next = firstCluster
	}
	return pieces
}

// last is the last cluster's number.
func (e *Editor) last() uint32 { return uint32(e.v.clusters) + firstCluster - 1 }

// hole is where the first run of n free clusters begins, from the hint on and
// then from the beginning; the hint itself if there is none.
func (e *Editor) hole(n int64) uint32 {
	for _, from := range []uint32{e.next, firstCluster} {
		for c := from; c <= e.last(); {
			start := e.taken.next(c, e.last()+1, false)
			limit := uint32(min(int64(start)+n, int64(e.last())+1))
			stop := e.taken.next(start, limit, true)
			if int64(stop-start) >= n {
				return start
			}
			c = stop + 1
		}
	}
	return e.next
}

// giveBack returns clusters of which the FAT knows nothing yet.
func (e *Editor) giveBack(pieces []piece) {
	for _, p := range pieces {
		for k := range p.Len / e.v.cluster {
			e.taken.clear(e.v.at(p.Off) + uint32(k))
			e.room++
		}
	}
}

// link writes the chain through clusters that were taken, and returns the
// first; 0 for no clusters.
func (e *Editor) link(pieces []piece) (start uint32, err error) {
	before := uint32(0)
	for _, p := range pieces {
		for k := range p.Len / e.v.cluster {
			c := e.v.at(p.Off) + uint32(k)
			if before == 0 {
				start = c
			} else if err := e.v.table.set(before, c); err != nil {
				return 0, e.fail(err)
			}
			before = c
			e.free--
		}
	}
	if before == 0 {
		return 0, nil
	}
	if err := e.v.table.set(before, e.v.mask()); err != nil {
		return 0, e.fail(err)
	}
	return start, e.fail(e.v.table.flush())
}

// release frees a chain, once nothing on the disk names it any more. It stops
// where something is not as it should be: clusters that belong to nobody are a
// nuisance, clusters of two files are a loss.
func (e *Editor) release(start uint32) error {
	if start == 0 {
		return nil
	}
	if err := e.barrier(); err != nil {
		return err
	}
	for c := start; e.v.valid(c) && !e.shared.has(c); {
		next, err := e.v.table.get(c)
		if err != nil {
			return e.fail(err)
		}
		if next == 0 || next == e.v.bad() {
			break
		}
		if err := e.v.table.set(c, 0); err != nil {
			return e.fail(err)
		}
		e.taken.clear(c)
		e.free++
		e.room++
		c = next
	}
	return e.fail(e.v.table.flush())
}

// next is the first bit from c on that is set (or is not), end if there is
// none before it.
func (b bitset) next(c, end uint32, set bool) uint32 {
	for c < end {
		word := b[c/64]
		if !set {
			word = ^word
		}
		if word >>= c % 64; word != 0 {
			return min(c+uint32(bits.TrailingZeros64(word)), end)
		}
		c = (c/64 + 1) * 64
	}
	return end
}
