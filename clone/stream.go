package clone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/internal/speech"
)

// keepLittle is what a Stream keeps of its front, bytes: enough for a table and
// the head of the first part, and little for a board with 256 MiB.
const keepLittle = 16 << 20

// A Stream is a source that can be read only once, such as a pipe. What Probe
// looks at of its front is kept, and given again in the one pass. Parts that lie
// behind what can be kept stay unknown until they were copied.
type Stream struct {
	// config
	s Source

	// state
	most  int64 // bytes of data that may be kept
	pass  Pass  // over all of it; nil = not begun
	kept  []extent.Record
	held  int64 // bytes of data in kept
	seen  int64 // where what was read ends
	need  int64 // where the last part ends
	ended error
	given bool
}

var _ Source = (*Stream)(nil)

// NewStream takes over s, of which one pass is opened at most. Close closes it.
func NewStream(s Source) *Stream { return &Stream{s: s, most: keepLittle} }

// Head is what the stream says of itself: mostly nothing.
func (s *Stream) Head() *manifest.Head { return s.s.Head() }

// Close ends the reading.
func (s *Stream) Close() error {
	var err error
	if s.pass != nil && !s.given {
		err = s.pass.Close()
	}
	return errors.Join(err, s.s.Close())
}

func (s *Stream) begin(ctx context.Context) (err error) {
	if s.given {
		return ErrOnce
	}
	if s.pass == nil {
		s.pass, err = s.s.Open(ctx, extent.Of(extent.Extent{Off: 0, Len: math.MaxInt64}))
	}
	return err
}

// look reads on up to the end of want, as far as that can be kept.
func (s *Stream) look(ctx context.Context, want extent.Set) (*peeked, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	for s.seen < want.Bounds().End() && s.held < s.most && s.ended == nil {
		rec, err := s.next(ctx)
		if err != nil {
			s.ended = err
			break
		}
		s.keep(rec)
	}
	if s.ended == nil {
		want = want.Clip(extent.Extent{Off: 0, Len: s.seen})
	} else if s.ended != io.EOF {
		return nil, s.ended
	}
	p := newPeeked(want)
	for _, rec := range s.kept {
		p.put(rec)
	}
	return p, nil
}

// reach lets more of the front be kept, and completes the head with the parts
// that this brings into view.
func (s *Stream) reach(ctx context.Context, h *manifest.Head, most int64) error {
	if most <= s.most {
		return nil
	}
	s.most = most
	return probeParts(ctx, s, h.Parts)
}

// next reads a record.
func (s *Stream) next(ctx context.Context) (extent.Record, error) {
	if s.ended != nil {
		return extent.Record{}, s.ended
	}
	rec, err := s.pass.Next(ctx)
	if err == nil {
		s.seen = rec.End()
	}
	return rec, err
}

// whole says of a stream that ends before the disk does that it was cut off:
// most have no checksum that would tell.
func (s *Stream) whole(err error) error {
	if err == io.EOF && s.seen < s.need {
		return fmt.Errorf("it ends at byte %d, and its last part at byte %d: it is not whole", s.seen, s.need)
	}
	return err
}

// keep copies a record. Zeros cost nothing.
func (s *Stream) keep(rec extent.Record) {
	if n := len(s.kept); n > 0 && rec.Kind == extent.Zero && s.kept[n-1].Kind == extent.Zero && s.kept[n-1].End() == rec.Off {
		s.kept[n-1].Len += rec.Len
		return
	}
	rec.Data = append([]byte(nil), rec.Data...)
	s.held += int64(len(rec.Data))
	s.kept = append(s.kept, rec)
}

// Open begins the one pass. It reads the stream to its end, where its checksums
// stand.
func (s *Stream) Open(ctx context.Context, want extent.Set) (Pass, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	s.given = true
	return &streamPass{s: s, want: want}, nil
}

// A streamPass gives what was kept, and then the rest.
type streamPass struct {
	s    *Stream
	want extent.Set
	now  extent.Record // being cut
	todo extent.Set    // of now
}

func (p *streamPass) Next(ctx context.Context) (extent.Record, error) {
	for len(p.todo) == 0 {
		rec, err := p.read(ctx)
		if err != nil {
			return extent.Record{}, err
		}
		p.now, p.todo = rec, overlapping(p.want, rec.Extent).Clip(rec.Extent)
	}
	cut := extent.Record{Extent: p.todo[0], Kind: p.now.Kind}
	if p.now.Kind == extent.Data {
		cut.Data = p.now.Data[cut.Off-p.now.Off : cut.End()-p.now.Off]
	}
	p.todo = p.todo[1:]
	return cut, nil
}

func (p *streamPass) read(ctx context.Context) (extent.Record, error) {
	s := p.s
	if len(s.kept) > 0 {
		rec := s.kept[0]
		s.kept[0].Data = nil // its memory is free behind this record
		s.kept = s.kept[1:]
		return rec, ctx.Err()
	}
	rec, err := s.next(ctx)
	return rec, s.whole(err)
}

func (p *streamPass) Tail() *manifest.Tail { return p.s.pass.Tail() }

func (p *streamPass) Close() error { return p.s.pass.Close() }

// ifExt is what happens to a part that is not known yet, should it be ext.
func (p *Plan) ifExt(part manifest.Part) speech.Text {
	if dst, ok := p.place(part.Num); ok && dst.Len > part.Extent.Len {
		return speech.New("it is checked, and grows")
	}
	return speech.New("it is checked")
}
