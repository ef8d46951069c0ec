package fit

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"lifeboat/clone/extent"
)

// A Piece says where bytes of the source belong on the target.
type Piece struct{ Src, Dst extent.Extent }

// plan lists what is still in the source.
func (p *Parker) plan() {
	d, bs := p.dev, p.dev.block
	d.eachBlock(p.final.Used, func(r run) {
		if r.to.kind() == original {
			n := r.n * bs
			p.pieces = append(p.pieces, Piece{extent.Extent{Off: r.to.num() * bs, Len: n}, extent.Extent{Off: r.at * bs, Len: n}})
			p.missing += n
		}
	})
	slices.SortFunc(p.pieces, func(a, b Piece) int { return cmp.Compare(a.Src.Off, b.Src.Off) })
	// Two blocks of one content may come from the same bytes: pieces overlap.
	end := int64(0)
	for _, x := range p.pieces {
		end = max(end, x.Src.End())
		p.ends = append(p.ends, end)
	}
}

// TakeOver leaves it to the caller to bring what Want names to where Place says,
// all of it before Finish. What the source does not yield is zero.
func (p *Parker) TakeOver() { p.missing = 0 }

// Places are all places on the target that TakeOver makes the caller's.
func (p *Parker) Places() extent.Set {
	var places []extent.Extent
	for _, x := range p.pieces {
		places = append(places, x.Dst)
	}
	return extent.Of(places...)
}

// Want are the bytes of the source that Put wants once a plan is settled.
func (p *Parker) Want() extent.Set {
	var want extent.Set
	for _, piece := range p.pieces {
		want = want.Append(piece.Src)
	}
	return want
}

// Place tells where bytes of the source belong once a plan is settled: nowhere,
// or in one or more pieces.
func (p *Parker) Place(e extent.Extent) []Piece {
	var places []Piece
	first, _ := slices.BinarySearch(p.ends, e.Off+1)
	for _, x := range p.pieces[first:] {
		if x.Src.Off >= e.End() {
			break
		}
		if cut := x.Src.Intersect(e); cut.Len > 0 {
			places = append(places, Piece{cut, extent.Extent{Off: x.Dst.Off + cut.Off - x.Src.Off, Len: cut.Len}})
		}
	}
	return places
}

// putFinal writes bytes of the source where they belong.
func (p *Parker) putFinal(ctx context.Context, r extent.Record) error {
	d := p.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range p.Place(r.Extent) {
		if r.Kind == extent.Zero {
			if err := d.zero(ctx, x.Dst.Off, x.Dst.Len); err != nil {
				return err
			}
		} else {
			if _, err := p.o.To.WriteAt(r.Data[x.Src.Off-r.Off:][:x.Src.Len], x.Dst.Off); err != nil {
				return fmt.Errorf("write %d bytes at %d: %w", x.Dst.Len, x.Dst.Off, err)
			}
			d.stats.Home += x.Dst.Len
		}
		p.missing -= x.Dst.Len
	}
	p.o.Meter.Add(r.Len)
	return nil
}
