package clone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
)

const (
	// tableFront holds an MBR, and a GPT with the largest array of entries that
	// layout takes.
	tableFront = 1 << 20
	// partFront holds the superblock of every file system that Probe knows;
	// btrfs has the farthest, at 64 KiB.
	partFront = 128 << 10
	// maxLogical is more than the kernel names: 256 minors a disk (Linux,
	// include/linux/genhd.h, DISK_MAX_PARTS).
	maxLogical = 256
	// streamSector is what a packed image counts in, as far as one can tell
	// before its table is read.
	streamSector = 512
)

// Probe completes what a source knows of itself. A source that can only be read
// from front to back is read up to the first bytes of its last part; what is in
// use of it stays unknown until it was copied.
func Probe(ctx context.Context, s Source) (*manifest.Head, error) {
	head := *s.Head()
	switch s.(type) {
	case *Blocks, *Merged, *mergedDisk:
		return &head, nil
	}
	if head.Sector == 0 {
		head.Sector = streamSector
	}
	table, err := peekTable(ctx, s, head.Sector)
	if err != nil {
		return nil, fmt.Errorf("partition table: %w", err)
	}
	if sameTable(table, head.Table) && sameParts(head.Parts, partsOf(table, head.Size)) {
		// What lies beside the image is of this image.
		return &head, confirmEmpty(ctx, s, &head)
	}
	head.Version, head.Table, head.Board, head.Areas = manifest.Version, table, "", nil
	head.Parts = partsOf(head.Table, head.Size)
	if stream, ok := s.(*Stream); ok {
		stream.need = endOf(head.Parts)
	}
	if head.Size <= 0 {
		// A GPT says by the place of its copy where the disk ends.
		head.Size = max(endOf(head.Parts), head.Table.Own.Bounds().End())
		if len(head.Parts) == 0 || endOf(head.Parts) == 0 {
			return nil, errors.New("it has no partition table, and does not say how large it is")
		}
	}
	return &head, probeParts(ctx, s, head.Parts)
}

// sameParts tells whether a head's parts are those of its table.
func sameParts(said, are []manifest.Part) bool {
	return slices.EqualFunc(said, are, func(a, b manifest.Part) bool { return a.Num == b.Num && a.Extent == b.Extent })
}

// confirmEmpty looks at the parts of which a head says that nothing is to be
// copied. All else that it says of a part costs no bytes, were it wrong.
func confirmEmpty(ctx context.Context, s Source, head *manifest.Head) error {
	head.Parts = slices.Clone(head.Parts)
	for i := range head.Parts {
		if p := &head.Parts[i]; p.Content != manifest.Blocks {
			p.Content, p.FS = manifest.Blocks, manifest.FS{}
			if err := probeParts(ctx, s, head.Parts[i:i+1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// peekTable reads the table from the front of a stream. Each logical part of an
// MBR may have the next one's record far behind, so the stream may be read
// several times.
func peekTable(ctx context.Context, s Source, sector int64) (manifest.Table, error) {
	want := extent.Of(extent.Extent{Off: 0, Len: tableFront})
	for range maxLogical {
		front, err := peek(ctx, s, want)
		if err != nil {
			return manifest.Table{}, err
		}
		table, err := layout.Read(strict{front}, 0, sector)
		var far *layout.FarError
		if !errors.As(err, &far) {
			return withParts(table), err
		}
		next := extent.Extent{Off: far.Off, Len: partFront}
		if want.Contains(next) {
			return table, &Refusal{err, "a stream is read once, and its table lies far inside of it: unpack it to a file first"}
		}
		want = want.Union(extent.Of(next))
	}
	return manifest.Table{}, fmt.Errorf("it has more than %d logical parts", maxLogical)
}

func endOf(parts []manifest.Part) int64 {
	var end int64
	for _, p := range parts {
		end = max(end, p.Extent.End())
	}
	return end
}

// probeParts looks at the first bytes of each part, in one pass.
func probeParts(ctx context.Context, s Source, parts []manifest.Part) error {
	var fronts extent.Set
	for _, p := range parts {
		fronts = fronts.Union(extent.Of(extent.Extent{Off: p.Extent.Off, Len: min(partFront, p.Extent.Len)}))
	}
	seen, err := peek(ctx, s, fronts)
	if err != nil {
		return err
	}
	for i := range parts {
		p := &parts[i]
		if !seen.have.Contains(extent.Extent{Off: p.Extent.Off, Len: min(partFront, p.Extent.Len)}) {
			continue // too far inside of a stream
		}
		fs, err := filesystem.Probe(io.NewSectionReader(seen, p.Extent.Off, p.Extent.Len), p.Extent.Len)
		if err != nil {
			return fmt.Errorf("part %d: %w", p.Num, err)
		}
		p.FS = fs
		if fs.Type == "swap" {
			p.Content = manifest.None
		}
	}
	return nil
}

// peeked holds some bytes of a disk; all others read as zero.
type peeked struct {
	have extent.Set
	data map[int64][]byte // by the Off of have
}

// peek reads the bytes in want from the front of a pass, and leaves the rest of
// the pass alone.
func peek(ctx context.Context, s Source, want extent.Set) (_ *peeked, err error) {
	if stream, ok := s.(*Stream); ok {
		return stream.look(ctx, want)
	}
	pass, err := s.Open(ctx, want)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pass.Close()) }()
	p := newPeeked(want)
	end := want.Bounds().End()
	for {
		rec, err := pass.Next(ctx)
		if err == io.EOF {
			return p, nil
		}
		if err != nil {
			return nil, err
		}
		p.put(rec)
		if rec.End() >= end {
			return p, nil
		}
	}
}

func newPeeked(want extent.Set) *peeked {
	p := &peeked{have: want, data: map[int64][]byte{}}
	for _, e := range want {
		p.data[e.Off] = make([]byte, e.Len)
	}
	return p
}

func (p *peeked) put(rec extent.Record) {
	if rec.Kind != extent.Data {
		return
	}
	for _, e := range overlapping(p.have, rec.Extent) {
		cut := e.Intersect(rec.Extent)
		copy(p.data[e.Off][cut.Off-e.Off:], rec.Data[cut.Off-rec.Off:cut.End()-rec.Off])
	}
}

// strict ends where nothing was read, instead of showing zeros.
type strict struct{ *peeked }

func (s strict) ReadAt(b []byte, off int64) (int, error) {
	if !s.have.Contains(extent.Extent{Off: off, Len: int64(len(b))}) {
		return 0, io.EOF
	}
	return s.peeked.ReadAt(b, off)
}

func (p *peeked) ReadAt(b []byte, off int64) (int, error) {
	clear(b)
	here := extent.Extent{Off: off, Len: int64(len(b))}
	for _, e := range overlapping(p.have, here) {
		cut := e.Intersect(here)
		copy(b[cut.Off-off:cut.End()-off], p.data[e.Off][cut.Off-e.Off:])
	}
	return len(b), nil
}
