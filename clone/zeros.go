package clone

import (
	"context"
	"fmt"
	"io"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
)

// layZeros writes the zeros that are in use. The maps that tell are those that
// now lie on the target, seen with the zeros that came in place; a part whose
// map cannot be read is all in use.
func (f *filler) layZeros(ctx context.Context, p *Plan, m *progress.Meter) error {
	var must, lie extent.Set
	for _, m := range f.moves {
		came := f.zeros.Clip(m.Dst)
		if f.squeezes(m) {
			lie = lie.Union(came) // written when they came, or where nobody looks
			must = must.Union(f.squeeze.absent(f.data))
			continue
		}
		if len(came) == 0 {
			continue
		}
		used, err := f.inUse(m, p.Head)
		if err != nil {
			return err
		}
		must = must.Union(came.Intersect(used))
	}
	f.zeros = must.Union(lie)
	for _, e := range must {
		if err := f.zero(ctx, e); err != nil {
			return err
		}
		m.Add(e.Len)
	}
	return nil
}

// inUse is what the target's own maps say of the part that m moved.
func (f *filler) inUse(m Step, h *manifest.Head) (extent.Set, error) {
	if m.Part == 0 && h.Table.Kind != manifest.NoTable {
		return extent.Of(m.Dst), nil // outside of parts all bytes count
	}
	if part, ok := h.Part(m.Part); ok && part.Why != "" {
		return extent.Of(m.Dst), nil // what its own maps say was not trusted before
	}
	part := manifest.Part{Num: m.Part, Extent: m.Dst}
	used, err := surveyPart(view{f}, &part)
	if err != nil {
		return nil, fmt.Errorf("part %d on the target: %w", m.Part, err)
	}
	return used, nil
}

// zero makes e read as zero. It looks first: reading a card is faster than
// writing it, and most places of a new one are zero.
func (f *filler) zero(ctx context.Context, e extent.Extent) error {
	buf := extent.Buffer()
	defer extent.Release(buf)
	for off := e.Off; off < e.End(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := extent.Extent{Off: off, Len: min(extent.BufferSize, e.End()-off)}
		off = piece.End()
		if _, err := f.to.ReadAt(buf[:piece.Len], piece.Off); err == nil && extent.IsZero(buf[:piece.Len]) {
			f.Same += piece.Len
			continue
		}
		if err := f.to.WriteZeros(ctx, piece); err != nil {
			return fmt.Errorf("write %d zeros at %d: %w", piece.Len, piece.Off, err)
		}
		f.Written += piece.Len
	}
	return nil
}

// A view is the target as it will be: zeros where zeros came, and the bytes
// that are still held back.
type view struct{ f *filler }

func (v view) ReadAt(p []byte, off int64) (int, error) {
	n, err := v.f.to.ReadAt(p, off)
	here := extent.Extent{Off: off, Len: int64(n)}
	for _, z := range overlapping(v.f.zeros, here) {
		cut := z.Intersect(here)
		clear(p[cut.Off-off : cut.End()-off])
	}
	if cut := v.f.hold.Intersect(here); cut.Len > 0 {
		copy(p[cut.Off-off:cut.End()-off], v.f.held[cut.Off-v.f.hold.Off:])
	}
	return n, err
}

// overlapping is the run of extents that touch e.
func overlapping(s extent.Set, e extent.Extent) extent.Set {
	first, last := 0, len(s)
	for first < last { // the first whose end lies behind e.Off
		mid := (first + last) / 2
		if s[mid].End() > e.Off {
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

var _ io.ReaderAt = view{}
