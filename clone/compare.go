package clone

import (
	"bytes"
	"context"
	"io"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
)

// A Comparison says where a disk differs from a source.
type Comparison struct {
	Compared  int64      `json:"compared"` // bytes
	Differing extent.Set `json:"differing,omitempty"`
}

// Compare reads all that the source has in use and holds it against the same
// places of r, but for those where r holds nothing. Zeros count where the maps of r
// say that they are in use. An error says that one of the two could not be read.
func Compare(ctx context.Context, s Source, h *manifest.Head, r io.ReaderAt, m *progress.Meter) (*Comparison, error) {
	c := &comparing{r: r}
	c.survey(h)
	m.Phase("compare", h.Used())
	if err := c.Start(ctx, h); err != nil {
		return nil, err
	}
	// What could not be read when the backup was made need not be zero on the disk.
	all := extent.Of(extent.Extent{Off: 0, Len: h.Size}).Subtract(h.Unreadable)
	tail, err := Copy(ctx, s, all, c, m)
	if err != nil {
		return nil, err
	}
	zeros := c.zeros.Intersect(c.inUse(h, tail)).Subtract(c.void)
	c.Compared += zeros.Bytes()
	err = eachChunk(zeros, func(e extent.Extent) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return c.compare(e, nil)
	})
	return &c.Comparison, err
}

// survey reads the maps of r. Those that cannot be read are in doubt.
func (c *comparing) survey(h *manifest.Head) {
	c.doubt = extent.Of(extent.Extent{Off: 0, Len: h.Size})
	now, used, err := surveyTable(c.r, h.Table, h.Size, h.Sector)
	if err != nil {
		return
	}
	void, err := voidOf(c.r, now)
	if err != nil {
		return
	}
	c.used, c.void, c.doubt = used, void, nil
	for _, p := range now.Parts {
		if p.Why != "" {
			c.doubt = c.doubt.Union(extent.Of(p.Extent))
		}
	}
}

// inUse is what the maps of r say; where they are in doubt, the source's.
func (c *comparing) inUse(h *manifest.Head, tail *manifest.Tail) extent.Set {
	said := tail.Used
	if len(said) == 0 {
		said = extent.Of(extent.Extent{Off: 0, Len: h.Size})
	}
	return c.used.Subtract(c.doubt).Union(said.Intersect(c.doubt))
}

// CheckSource reads all that the source has in use, and so all of its digests and
// checksums.
func CheckSource(ctx context.Context, s Source, h *manifest.Head, m *progress.Meter) (int64, error) {
	sink := &discard{}
	m.Phase("read", h.Used())
	_, err := Copy(ctx, s, extent.Of(extent.Extent{Off: 0, Len: h.Size}), sink, m)
	return sink.bytes, err
}

// comparing is a sink that compares.
type comparing struct {
	Comparison
	// config
	r                 io.ReaderAt
	used, void, doubt extent.Set // of r

	// state
	zeros extent.Set // of the source: what of them is in use shows at the end
}

var _ Sink = (*comparing)(nil)

func (c *comparing) Start(context.Context, *manifest.Head) error  { return nil }
func (c *comparing) Commit(context.Context, *manifest.Tail) error { return nil }
func (c *comparing) Abort(context.Context) error                  { return nil }

// compareGranule is the size of the pieces that are told to differ.
const compareGranule = 4096

func (c *comparing) Put(_ context.Context, r extent.Record) error {
	if r.Kind != extent.Data {
		c.zeros = add(c.zeros, r.Extent)
		return nil
	}
	data := extent.Of(r.Extent).Subtract(c.void)
	c.Compared += data.Bytes()
	return eachChunk(data, func(e extent.Extent) error {
		return c.compare(e, r.Data[e.Off-r.Off:e.End()-r.Off])
	})
}

// compare holds e against want; nil stands for zeros.
func (c *comparing) compare(e extent.Extent, want []byte) error {
	buf := extent.Buffer()
	defer extent.Release(buf)
	have := buf[:e.Len]
	if err := extent.ReadFull(c.r, have, e.Off); err != nil {
		return err
	}
	for n := 0; n < len(have); n += compareGranule {
		end := min(n+compareGranule, len(have))
		here := extent.Extent{Off: e.Off + int64(n), Len: int64(end - n)}
		same := want == nil && extent.IsZero(have[n:end]) || want != nil && bytes.Equal(have[n:end], want[n:end])
		if !same {
			c.Differing = add(c.Differing, here)
		}
	}
	return nil
}

// discard is the sink of a flow to nothing.
type discard struct{ bytes int64 }

var _ Sink = (*discard)(nil)

func (d *discard) Start(context.Context, *manifest.Head) error { return nil }
func (d *discard) Put(_ context.Context, r extent.Record) error {
	d.bytes += r.Len
	return nil
}
func (d *discard) Commit(context.Context, *manifest.Tail) error { return nil }
func (d *discard) Abort(context.Context) error                  { return nil }
