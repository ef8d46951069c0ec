package clone

import (
	"context"
	"io"
	"slices"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// Blocks is a source of used blocks: a disk that holds still, or a raw image.
type Blocks struct {
	r    io.ReaderAt
	head *manifest.Head
	used extent.Set
	void extent.Set
	open func(ctx context.Context, want extent.Set) (Pass, error) // nil: read r
}

var _ Readable = (*Blocks)(nil)

// NewBlocks surveys size bytes of r, which must not change. If r can be closed,
// Close does it.
func NewBlocks(r io.ReaderAt, size, sector int64) (*Blocks, error) {
	head, used, err := survey(r, size, sector)
	if err != nil {
		return nil, err
	}
	void, err := voidOf(r, head)
	if err != nil {
		return nil, err
	}
	return &Blocks{r: r, head: head, used: used, void: void}, nil
}

// NewNarrowed surveys a source that can be read anywhere, and narrows its passes
// to what is in use. Unlike those of NewBlocks they are the source's own, with
// the digests that it knows. Close closes it.
func NewNarrowed(s Readable, size, sector int64) (*Blocks, error) {
	b, err := NewBlocks(s, size, sector)
	if err != nil {
		return nil, err
	}
	b.open = s.Open
	if said := s.Head(); sameTable(said.Table, b.head.Table) {
		b.head.Areas = said.Areas // which are not in the image itself
	}
	b.head.Unreadable = b.head.Unreadable.Union(s.Head().Unreadable)
	return b, nil
}

// NewWhole surveys a disk whose free bytes are to be kept as well, as far as
// they are not zero: data says where those lie that are not.
func NewWhole(r io.ReaderAt, size, sector int64, data extent.Set) (*Blocks, error) {
	b, err := NewBlocks(r, size, sector)
	if err != nil {
		return nil, err
	}
	b.used, b.void = b.used.Union(data), nil
	return b, nil
}

// A narrowPass knows what is in use, which the pass within it does not.
type narrowPass struct {
	Pass
	used extent.Set
}

func (p narrowPass) Tail() *manifest.Tail {
	tail := *p.Pass.Tail()
	tail.Used = p.used
	return &tail
}

// Head is complete from the start.
func (b *Blocks) Head() *manifest.Head { return b.head }

// Used is what is in use on the disk: parts and the bytes outside of them.
func (b *Blocks) Used() extent.Set { return b.used }

// Void is what of it holds nothing: a pass has zeros there, and does not read them.
func (b *Blocks) Void() extent.Set { return b.void }

// ReadAt reads the disk's bytes, used or not, void or not.
func (b *Blocks) ReadAt(p []byte, off int64) (int, error) { return b.r.ReadAt(p, off) }

// Open begins a pass; there may be several.
func (b *Blocks) Open(ctx context.Context, want extent.Set) (Pass, error) {
	if b.open != nil {
		pass, err := b.open(ctx, want.Intersect(b.used))
		if err != nil {
			return nil, err
		}
		return narrowPass{pass, b.used}, nil
	}
	todo := want.Intersect(b.used)
	in := extent.NewReader(extent.Masked(b.r, b.void), todo, readers)
	return &blockPass{r: b.r, in: in, want: todo.Bounds(), used: b.used}, nil
}

// Close closes what NewBlocks was given, if that can be closed.
func (b *Blocks) Close() error {
	if c, ok := b.r.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// A blockPass yields each chunk in runs of data and of zeros.
type blockPass struct {
	// config
	r    io.ReaderAt // knows what of it could not be read
	in   *extent.Reader
	want extent.Extent
	used extent.Set

	// state
	now  *extent.Chunk
	todo extent.Set // of it
}

// Next implements Pass.
func (p *blockPass) Next(ctx context.Context) (extent.Record, error) {
	if err := ctx.Err(); err != nil {
		return extent.Record{}, err
	}
	if len(p.todo) == 0 {
		if err := p.turn(); err != nil {
			return extent.Record{}, err
		}
	}
	e := &p.todo[0]
	rec := extent.Front(e.Off, p.now.Bytes(*e))
	if *e = (extent.Extent{Off: rec.End(), Len: e.Len - rec.Len}); e.Len == 0 {
		p.todo = p.todo[1:]
	}
	return rec, nil
}

// turn takes the next chunk. From a disk that begins to fail nothing is read but
// what is in use: each try in vain takes it seconds.
func (p *blockPass) turn() (err error) {
	p.in.Exact = len(lostOf(p.r, p.want)) > 0
	if p.now, err = p.in.Next(); err == nil {
		p.todo = p.now.Want
	}
	return err
}

func (p *blockPass) Tail() *manifest.Tail {
	return &manifest.Tail{Used: p.used, Unreadable: lostOf(p.r, p.want).Intersect(p.used)}
}

// Close waits for what is being read.
func (p *blockPass) Close() error {
	p.in.Close()
	return nil
}

func sortByPlace(parts []manifest.Part) {
	slices.SortFunc(parts, func(a, b manifest.Part) int {
		if a.Extent.Off < b.Extent.Off {
			return -1
		}
		return 1
	})
}
