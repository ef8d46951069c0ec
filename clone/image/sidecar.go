package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/clone/store"
)

// A Sidecar is the JSON file beside an image.
type Sidecar struct {
	Version int            `json:"version"`
	File    Sum            `json:"file"`    // as it lies there
	Content Sum            `json:"content"` // unpacked: the disk
	Head    manifest.Head  `json:"head"`
	Tail    manifest.Tail  `json:"tail"`
	Pair    *manifest.Pair `json:"pair,omitempty"` // nil = the system lies on this disk alone
}

// A Sum binds a side file to what it lies beside.
type Sum struct {
	Size   int64  `json:"size"`             // bytes
	SHA256 string `json:"sha256,omitempty"` // hex; "" = the tail's digests speak for it
}

const (
	headMaxBytes = 64 << 20
	sha256Digits = 64
)

// ParseSidecar reads the JSON file beside an image, at most 64 MiB of it, and
// checks that what it says is possible.
func ParseSidecar(r io.Reader) (*Sidecar, error) {
	raw, err := io.ReadAll(io.LimitReader(r, headMaxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > headMaxBytes {
		return nil, fmt.Errorf("head: larger than %d bytes", headMaxBytes)
	}
	var s Sidecar
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	return &s, nil
}

func (s *Sidecar) check() error {
	size := s.Content.Size
	switch {
	case s.Version < 1 || s.Version > manifest.Version || s.Head.Version > manifest.Version:
		return fmt.Errorf("version %d is not known: up to %d is", s.Version, manifest.Version)
	case size <= 0 || s.File.Size <= 0 || s.Head.Size != size:
		return fmt.Errorf("sizes of %d, %d and %d bytes do not make sense", s.File.Size, size, s.Head.Size)
	case s.Head.Sector < 0 || s.Head.Sector&(s.Head.Sector-1) != 0:
		return fmt.Errorf("sectors of %d bytes do not make sense", s.Head.Sector)
	}
	for _, p := range s.Head.Parts {
		if err := (extent.Set{p.Extent}).Check(size); err != nil {
			return fmt.Errorf("part %d: %w", p.Num, err)
		}
	}
	if p := s.Pair; p != nil && (p.Size <= 0 || path.Base(p.File) != p.File || p.File == "." || p.File == "/" || p.File == "..") {
		return fmt.Errorf("pair %q of %d bytes: not possible", p.File, p.Size)
	}
	if err := checkAreas(s.Head.Areas); err != nil {
		return err
	}
	if err := s.Head.Table.Own.Check(size); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	if err := s.Tail.Used.Check(size); err != nil {
		return fmt.Errorf("used: %w", err)
	}
	if err := errors.Join(s.Tail.Unreadable.Check(size), s.Head.Unreadable.Check(size)); err != nil {
		return fmt.Errorf("unreadable: %w", err)
	}
	end := int64(0)
	for _, d := range s.Tail.Digests {
		if err := (extent.Set{d.Extent}).Check(size); err != nil || d.Extent.Off < end || len(d.Sum) != sha256Digits {
			return fmt.Errorf("digest of %v: not possible, or out of order", d.Extent)
		}
		end = d.Extent.End()
	}
	return nil
}

func (s *Sidecar) encode() ([]byte, error) {
	b, err := json.MarshalIndent(s, "", "\t")
	return append(b, '\n'), err
}

// hints are what the side files say, as far as they fit.
type hints struct {
	side *Sidecar
	bmap *Bmap
}

// readHints reads the side files of an image of size bytes. None of them is
// needed, so none of their faults is an error, except that of the context.
func readHints(ctx context.Context, s store.Store, name string, size int64, o Options) (hints, error) {
	var h hints
	raw, err := slurp(ctx, s, name+headExt, o)
	if err == nil {
		h.side, err = ParseSidecar(bytes.NewReader(raw))
	}
	if err == nil && size >= 0 && h.side.File.Size != size {
		err = fmt.Errorf("it is of a file of %d bytes, this one has %d", h.side.File.Size, size)
	}
	if err != nil {
		h.side = nil
		o.ignored(name+headExt, err)
	}
	for _, bmap := range bmapNames(name) {
		if raw, err = slurp(ctx, s, bmap, o); err == nil {
			h.bmap, err = ParseBmap(bytes.NewReader(raw))
		}
		if err == nil {
			break
		}
		o.ignored(bmap, err)
	}
	return h, ctx.Err()
}

func (o Options) ignored(name string, err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		o.logf("%s is ignored: %v", name, err)
	}
}

func slurp(ctx context.Context, s store.Store, name string, o Options) ([]byte, error) {
	o.Resume.Tries = 2
	body, _, err := store.Resume(ctx, s, name, o.Resume)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, headMaxBytes+1))
}

// fit drops what is of an image of another size; a negative size fits all.
func (h *hints) fit(name string, size int64, o Options) {
	if size < 0 && h.side != nil {
		size = h.side.Content.Size
	}
	if h.side != nil && h.side.Content.Size != size {
		o.ignored(name+headExt, fmt.Errorf("it is of a disk of %d bytes, this one has %d", h.side.Content.Size, size))
		h.side = nil
	}
	if h.bmap != nil && size >= 0 && h.bmap.Size != size {
		o.ignored("the bmap of "+name, fmt.Errorf("it is of an image of %d bytes, this one has %d", h.bmap.Size, size))
		h.bmap = nil
	}
}

// size is that of the disk; -1 = they do not say.
func (h *hints) size() int64 {
	switch {
	case h.side != nil:
		return h.side.Content.Size
	case h.bmap != nil:
		return h.bmap.Size
	}
	return -1
}

func (h *hints) used() (extent.Set, bool) {
	switch {
	case h.bmap != nil:
		return h.bmap.Set(), true
	case h.side != nil && len(h.side.Tail.Used) > 0:
		return h.side.Tail.Used, true
	}
	return nil, false
}

// ranges are the digests of ranges, and what makes them.
func (h *hints) ranges() ([]Range, string) {
	if h.bmap != nil && h.bmap.Type != "" {
		return h.bmap.Ranges, h.bmap.Type
	}
	if h.side == nil {
		return nil, ""
	}
	var rs []Range
	for _, d := range h.side.Tail.Digests {
		rs = append(rs, Range{d.Extent, d.Sum})
	}
	return rs, "sha256"
}

func (h *hints) head(size int64) *manifest.Head {
	head := manifest.Head{Version: manifest.Version, Size: max(0, size)}
	if h.side != nil {
		head = h.side.Head
	}
	head.Unreadable = head.Unreadable.Union(h.unreadable())
	return &head
}

func (h *hints) tail() *manifest.Tail {
	if h.side != nil {
		tail := h.side.Tail
		return &tail
	}
	used, _ := h.used()
	return &manifest.Tail{Used: used, Unreadable: h.unreadable()}
}

// unreadable are the bytes that could not be read when the image was made.
func (h *hints) unreadable() extent.Set {
	switch {
	case h.side != nil:
		return h.side.Tail.Unreadable
	case h.bmap != nil:
		return h.bmap.Unreadable
	}
	return nil
}

// PairOf is what the head beside an image says of the other disk of the same
// system; nil = nothing.
func PairOf(src Source) *manifest.Pair {
	var side *Sidecar
	switch img := src.(type) {
	case *Raw:
		side = img.h.side
	case *Packed:
		side = img.h.side
	}
	if side == nil {
		return nil
	}
	return side.Pair
}
