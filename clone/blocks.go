package clone

import (
	"context"
	"fmt"
	"io"
	"slices"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// zeroGranule is the length of the shortest run of zeros that becomes a record
// of its own: shorter ones would cost more in small writes than they save.
const zeroGranule = 64 << 10

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
	return &blockPass{r: b.r, read: extent.Masked(b.r, b.void), want: todo.Bounds(), todo: todo, used: b.used}, nil
}

// Close closes what NewBlocks was given, if that can be closed.
func (b *Blocks) Close() error {
	if c, ok := b.r.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// A blockPass has the next chunks read while one is being yielded.
type blockPass struct {
	// config
	r    io.ReaderAt // knows what of it could not be read
	read io.ReaderAt // r without what is void
	want extent.Extent
	used extent.Set

	// state
	todo  extent.Set
	under []*fetch // on their way, in order
	now   *fetch   // being yielded; nil = none
	at    int64    // the first byte of it that was not yielded yet
}

// A fetch is a chunk that is being read.
type fetch struct {
	extent.Extent
	buf  *[extent.BufferSize]byte
	done chan error // one
}

// Next takes one chunk after the other, and yields each in runs of data and of
// zeros.
func (p *blockPass) Next(ctx context.Context) (extent.Record, error) {
	if err := ctx.Err(); err != nil {
		return extent.Record{}, err
	}
	if p.now == nil || p.at == p.now.End() {
		if err := p.turn(); err != nil {
			return extent.Record{}, err
		}
	}
	data := p.now.buf[p.at-p.now.Off : p.now.Len]
	n, zero := run(data)
	rec := extent.Record{Extent: extent.Extent{Off: p.at, Len: int64(n)}, Data: data[:n]}
	if zero {
		rec.Kind, rec.Data = extent.Zero, nil
	}
	p.at += int64(n)
	return rec, nil
}

// turn waits for the next chunk, and sends for others.
func (p *blockPass) turn() error {
	p.drop()
	for len(p.under) < readers && len(p.todo) > 0 {
		p.under = append(p.under, p.send())
	}
	if len(p.under) == 0 {
		return io.EOF
	}
	next := p.under[0]
	p.under = p.under[1:]
	p.now, p.at = next, next.Off
	if err := <-next.done; err != nil {
		p.drop()
		return fmt.Errorf("read %d bytes at %d: %w", next.Len, next.Off, noEOF(err))
	}
	return nil
}

// send begins to read the next chunk. Chunks end at multiples of the buffer's
// size, so that all but the first and last of an extent are aligned.
func (p *blockPass) send() *fetch {
	next := &p.todo[0]
	end := min(next.End(), (next.Off/extent.BufferSize+1)*extent.BufferSize)
	f := &fetch{extent.Extent{Off: next.Off, Len: end - next.Off}, extent.Buffer(), make(chan error, 1)}
	next.Off, next.Len = f.End(), next.Len-f.Len
	if next.Len == 0 {
		p.todo = p.todo[1:]
	}
	go func() {
		_, err := p.read.ReadAt(f.buf[:f.Len], f.Off)
		f.done <- err
	}()
	return f
}

// drop gives the chunk back that was yielded.
func (p *blockPass) drop() {
	if p.now != nil {
		extent.Release(p.now.buf)
		p.now = nil
	}
}

// run is the length of what b begins with, and whether that is zeros.
func run(b []byte) (n int, zero bool) {
	zero = extent.IsZero(b[:min(zeroGranule, len(b))])
	for n < len(b) {
		piece := b[n:min(n+zeroGranule, len(b))]
		if extent.IsZero(piece) != zero {
			break
		}
		n += len(piece)
	}
	return n, zero
}

// noEOF turns an end of file where bytes were promised into an error that no
// loop takes for the end of its work.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (p *blockPass) Tail() *manifest.Tail {
	return &manifest.Tail{Used: p.used, Unreadable: lostOf(p.r, p.want).Intersect(p.used)}
}

// Close waits for what is being read.
func (p *blockPass) Close() error {
	p.drop()
	for _, f := range p.under {
		<-f.done
		extent.Release(f.buf)
	}
	p.under = nil
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
