package clone

import (
	"bytes"
	"context"
	"fmt"
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
// places of r. Of a source that does not know what it has in use, zeros count
// where the maps of r say that they are in use. An error says that one of the
// two could not be read.
func Compare(ctx context.Context, s Source, h *manifest.Head, r io.ReaderAt, m *progress.Meter) (*Comparison, error) {
	c := &comparing{r: r}
	m.Phase("compare", h.Used())
	if err := c.Start(ctx, h); err != nil {
		return nil, err
	}
	// What could not be read when the backup was made need not be zero on the disk.
	all := extent.Of(extent.Extent{Off: 0, Len: h.Size}).Subtract(h.Unreadable)
	if _, err := Copy(ctx, s, all, c, m); err != nil {
		return nil, err
	}
	zeros := c.zeros
	if h.Used() < 0 {
		if _, used, err := surveyTable(r, h.Table, h.Size, h.Sector); err == nil {
			zeros = zeros.Intersect(used)
		}
	}
	c.Differing = c.Differing.Union(zeros)
	return &c.Comparison, nil
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
	r     io.ReaderAt
	zeros extent.Set // where the source has zeros, and r has not
}

var _ Sink = (*comparing)(nil)

func (c *comparing) Start(context.Context, *manifest.Head) error  { return nil }
func (c *comparing) Commit(context.Context, *manifest.Tail) error { return nil }
func (c *comparing) Abort(context.Context) error                  { return nil }

// compareGranule is the size of the pieces that are told to differ.
const compareGranule = 4096

func (c *comparing) Put(_ context.Context, r extent.Record) error {
	c.Compared += r.Len
	return eachChunk(extent.Of(r.Extent), func(e extent.Extent) error {
		var want []byte
		if r.Kind == extent.Data {
			want = r.Data[e.Off-r.Off : e.End()-r.Off]
		}
		return c.compare(e, want)
	})
}

// compare holds e against want; nil stands for zeros.
func (c *comparing) compare(e extent.Extent, want []byte) error {
	buf := extent.Buffer()
	defer extent.Release(buf)
	have := buf[:e.Len]
	if _, err := c.r.ReadAt(have, e.Off); err != nil {
		return fmt.Errorf("read %d bytes at %d: %w", e.Len, e.Off, noEOF(err))
	}
	for n := 0; n < len(have); n += compareGranule {
		end := min(n+compareGranule, len(have))
		here := extent.Extent{Off: e.Off + int64(n), Len: int64(end - n)}
		switch {
		case want == nil && !extent.IsZero(have[n:end]):
			c.zeros = add(c.zeros, here)
		case want != nil && !bytes.Equal(have[n:end], want[n:end]):
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
