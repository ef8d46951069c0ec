package repo

import (
	"context"
	"errors"

	"lifeboat/clone/extent"
)

// patchRoom is how many bytes of patches wait in memory. A chunk with one
// changed block is read and stored whole: those of all rounds of a live source
// are laid on at once, in the end.
const patchRoom = 48 << 20

// patches wait for their chunks.
type patches struct {
	of    map[int64][]extent.Record // of each chunk, in the order in which they came
	bytes int64
}

// pieceCost is what a piece costs beside its bytes.
const pieceCost = 96

// add copies a patch. One that has the place of an earlier one takes that.
func (p *patches) add(n int64, r extent.Record) {
	if p.of == nil {
		p.of = map[int64][]extent.Record{}
	}
	pieces := p.of[n]
	for i := range pieces {
		if r.Contains(pieces[i].Extent) {
			p.bytes -= int64(len(pieces[i].Data)) + pieceCost
			pieces[i].Len = 0
		}
	}
	left := pieces[:0]
	for _, old := range pieces {
		if old.Len > 0 {
			left = append(left, old)
		}
	}
	r.Data = append([]byte(nil), r.Data...)
	p.of[n] = append(left, r)
	p.bytes += int64(len(r.Data)) + pieceCost
}

// fullest is the chunk with the most bytes waiting.
func (p *patches) fullest() int64 {
	best, most := int64(-1), int64(-1)
	for n, pieces := range p.of {
		sum := int64(0)
		for _, r := range pieces {
			sum += int64(len(r.Data)) + pieceCost
		}
		if sum > most || sum == most && n < best {
			best, most = n, sum
		}
	}
	return best
}

// remove takes the pieces of a chunk.
func (p *patches) remove(n int64) []extent.Record {
	pieces := p.of[n]
	delete(p.of, n)
	for _, r := range pieces {
		p.bytes -= int64(len(r.Data)) + pieceCost
	}
	return pieces
}

var errSamePatch = errors.New("bytes that come a second time are said to be the same as in the base")

// patch takes a piece that came late.
func (k *Sink) patch(ctx context.Context, n int64, r extent.Record) error {
	if r.Kind == extent.Same {
		return errSamePatch
	}
	k.again = append(k.again, r.Extent)
	k.later.add(n, r)
	for k.later.bytes > patchRoom {
		if err := k.wait(ctx); err != nil { // the chunk may still be on its way
			return err
		}
		if err := k.relay(ctx, k.later.fullest()); err != nil {
			return err
		}
	}
	return nil
}

// wait is for all chunks that are on their way: behind it they can be read.
func (k *Sink) wait(ctx context.Context) error {
	if err := k.finish(); err != nil {
		return err
	}
	if err := k.group.Wait(); err != nil {
		return err
	}
	k.renew()
	return k.w.flush(ctx)
}

// relay lays the patches of a chunk on it and stores it anew.
func (k *Sink) relay(ctx context.Context, n int64) error {
	return k.relayPieces(ctx, n, k.later.remove(n))
}

func (k *Sink) relayPieces(ctx context.Context, n int64, pieces []extent.Record) error {
	place := span(n, k.r.config.Chunk, k.head.Size)
	buf := k.r.take()
	defer k.r.give(buf)
	b := buf[:place.Len]
	if k.ids[n] == (ID{}) {
		clear(b)
	} else if _, err := k.r.fetch(ctx, buf, k.ids[n], place.Len, k.r.unpack); err != nil {
		return err
	}
	for _, r := range pieces {
		at := b[r.Off-place.Off : r.End()-place.Off]
		if r.Kind == extent.Zero {
			clear(at)
		} else {
			copy(at, r.Data)
		}
	}
	id, err := k.keep(ctx, b)
	k.ids[n] = id
	return err
}
