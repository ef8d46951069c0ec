package image

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"

	"lifeboat/clone/extent"
)

// A Bmap says which blocks of an image hold something, and their digests.
type Bmap struct {
	Size   int64  // of the image, in bytes
	Block  int64  // bytes; the last block of an image may be short
	Type   string // of the digests: sha256, sha512, sha1; "" = there are none
	Ranges []Range
	// Unreadable are the blocks with bytes that could not be read of the disk: they
	// are zeros in the image. Only lifeboat writes and reads this.
	Unreadable extent.Set
}

// A Range is a run of blocks, in bytes, and the digest of its content.
type Range struct {
	extent.Extent
	Sum string // hex; "" = not known
}

// Limits of what a bmap may say. The largest that a 2 TB image of alternating
// blocks could have is larger; nobody writes such.
const (
	bmapMaxBytes  = 64 << 20
	bmapMaxBlock  = 64 << 20
	bmapMaxSize   = 1 << 60
	bmapBlockSize = 4096
)

// Set is what the map holds.
func (b *Bmap) Set() extent.Set {
	es := make([]extent.Extent, len(b.Ranges))
	for i, r := range b.Ranges {
		es[i] = r.Extent
	}
	return extent.Of(es...)
}

// hasher makes the digest that the ranges have; nil where they have none.
func (b *Bmap) hasher() hash.Hash { return hasherOf(b.Type) }

func hasherOf(kind string) hash.Hash {
	switch kind {
	case "sha256":
		return sha256.New()
	case "sha512":
		return sha512.New()
	case "sha1":
		return sha1.New()
	}
	return nil
}

// bmapXML is the file (bmap-tools, docs: bmap format 2.0; 1.3 had sha1= on
// ranges, BmapFileSHA1, and no ChecksumType).
type bmapXML struct {
	XMLName  xml.Name   `xml:"bmap"`
	Version  string     `xml:"version,attr"`
	Size     string     `xml:"ImageSize"`
	Block    string     `xml:"BlockSize"`
	Blocks   string     `xml:"BlocksCount"`
	Mapped   string     `xml:"MappedBlocksCount"`
	Type     string     `xml:"ChecksumType"`
	FileSum  string     `xml:"BmapFileChecksum"`
	FileSHA1 string     `xml:"BmapFileSHA1"`
	Ranges   []rangeXML `xml:"BlockMap>Range"`
	Lost     []rangeXML `xml:"Unreadable>Range"`
}

type rangeXML struct {
	Sum  string `xml:"chksum,attr"`
	SHA1 string `xml:"sha1,attr"`
	Text string `xml:",chardata"`
}

// ParseBmap reads a bmap of version 1.x or 2.0, at most 64 MiB of it, and checks
// it against its own digest.
func ParseBmap(r io.Reader) (*Bmap, error) {
	raw, err := io.ReadAll(io.LimitReader(r, bmapMaxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > bmapMaxBytes {
		return nil, fmt.Errorf("bmap: larger than %d bytes", bmapMaxBytes)
	}
	var x bmapXML
	if err := xml.Unmarshal(raw, &x); err != nil {
		return nil, fmt.Errorf("bmap: %w", err)
	}
	b, err := x.bmap()
	if err == nil {
		err = x.checkSelf(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("bmap: %w", err)
	}
	return b, nil
}

func (x *bmapXML) bmap() (*Bmap, error) {
	major, _, _ := strings.Cut(strings.TrimSpace(x.Version), ".")
	if major != "1" && major != "2" {
		return nil, fmt.Errorf("version %q is not known: 1 and 2 are", x.Version)
	}
	b := &Bmap{Type: strings.ToLower(strings.TrimSpace(x.Type))}
	if b.Type == "" && (x.FileSHA1 != "" || x.anySHA1()) {
		b.Type = "sha1"
	}
	if b.Type != "" && b.hasher() == nil {
		return nil, fmt.Errorf("digests of the type %q are not known", b.Type)
	}
	var blocks, mapped int64
	for _, f := range []struct {
		to   *int64
		text string
		name string
		max  int64
	}{
		{&b.Size, x.Size, "ImageSize", bmapMaxSize}, {&b.Block, x.Block, "BlockSize", bmapMaxBlock},
		{&blocks, x.Blocks, "BlocksCount", bmapMaxSize}, {&mapped, x.Mapped, "MappedBlocksCount", bmapMaxSize},
	} {
		v, err := number(f.text, f.max)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		*f.to = v
	}
	if b.Block == 0 || blocks != (b.Size+b.Block-1)/b.Block {
		return nil, fmt.Errorf("%d blocks of %d bytes are not the %d bytes of the image", blocks, b.Block, b.Size)
	}
	if err := b.take(x.Ranges, blocks, mapped); err != nil {
		return nil, err
	}
	return b, b.takeLost(x.Lost, blocks)
}

func (x *bmapXML) anySHA1() bool { return len(x.Ranges) > 0 && x.Ranges[0].SHA1 != "" }

func number(text string, limit int64) (int64, error) {
	v, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || v < 0 || v > limit {
		return 0, fmt.Errorf("%q is not a number from 0 to %d", text, limit)
	}
	return v, nil
}

// take turns blocks into bytes.
func (b *Bmap) take(ranges []rangeXML, blocks, mapped int64) error {
	next, sum := int64(0), int64(0)
	for _, x := range ranges {
		e, err := b.run(x.Text, next, blocks)
		if err != nil {
			return err
		}
		r := Range{e, strings.ToLower(strings.TrimSpace(x.Sum + x.SHA1))}
		if r.Sum != "" && (b.Type == "" || len(r.Sum) != 2*b.hasher().Size()) {
			return fmt.Errorf("range %q: %q is no digest of the type %q", x.Text, r.Sum, b.Type)
		}
		b.Ranges = append(b.Ranges, r)
		n := (e.Len + b.Block - 1) / b.Block
		next, sum = e.Off/b.Block+n, sum+n
	}
	if sum != mapped {
		return fmt.Errorf("the ranges hold %d blocks, MappedBlocksCount says %d", sum, mapped)
	}
	return nil
}

// run is a run of blocks, of which none lies before next, in bytes.
func (b *Bmap) run(text string, next, blocks int64) (extent.Extent, error) {
	from, to, isRun := strings.Cut(text, "-")
	first, err := number(from, blocks-1)
	last := first
	if err == nil && isRun {
		last, err = number(to, blocks-1)
	}
	if err == nil && (first < next || last < first) {
		err = errors.New("it lies before the one above it, or ends before it begins")
	}
	if err != nil {
		return extent.Extent{}, fmt.Errorf("range %q: %w", text, err)
	}
	off := first * b.Block
	return extent.Extent{Off: off, Len: min((last+1)*b.Block, b.Size) - off}, nil
}

// takeLost does the same for the blocks that could not be read.
func (b *Bmap) takeLost(ranges []rangeXML, blocks int64) error {
	for _, x := range ranges {
		e, err := b.run(x.Text, b.Unreadable.Bounds().End()/b.Block, blocks)
		if err != nil {
			return fmt.Errorf("unreadable: %w", err)
		}
		b.Unreadable = b.Unreadable.Append(e)
	}
	return nil
}

// checkSelf compares the digest of the file, which was made with zeros in the
// place of its own digits.
func (x *bmapXML) checkSelf(raw []byte) error {
	kind, want := strings.ToLower(strings.TrimSpace(x.Type)), strings.TrimSpace(x.FileSum)
	if want == "" {
		kind, want = "sha1", strings.TrimSpace(x.FileSHA1)
	}
	if want == "" {
		return nil
	}
	h := hasherOf(kind)
	if h == nil || len(want) != 2*h.Size() {
		return fmt.Errorf("%q is no digest of the type %q", want, kind)
	}
	h.Write(bytes.Replace(raw, []byte(want), bytes.Repeat([]byte("0"), len(want)), 1))
	if got := hex.EncodeToString(h.Sum(nil)); got != strings.ToLower(want) {
		return fmt.Errorf("its own digest is %s, it says %s", got, want)
	}
	return nil
}

// bmapHead is written as bmaptool does: its readers look at the comment too.
const bmapHead = `<?xml version="1.0" ?>
<!-- Which blocks of an image hold something, for bmaptool and others. -->
<bmap version="2.0">
    <ImageSize> %d </ImageSize>
    <BlockSize> %d </BlockSize>
    <BlocksCount> %d </BlocksCount>
    <MappedBlocksCount> %d </MappedBlocksCount>
    <ChecksumType> %s </ChecksumType>
    <BmapFileChecksum> %s </BmapFileChecksum>
    <BlockMap>
`

// Encode writes the map as version 2.0. Its ranges must begin at blocks, and
// end at blocks or at the end of the image.
func (b *Bmap) Encode() []byte {
	var body bytes.Buffer
	var mapped int64
	for _, r := range b.Ranges {
		mapped += (r.Len + b.Block - 1) / b.Block
		fmt.Fprintf(&body, "        <Range chksum=%q> %s </Range>\n", r.Sum, b.blocks(r.Extent))
	}
	body.WriteString("    </BlockMap>\n")
	if len(b.Unreadable) > 0 {
		body.WriteString("    <Unreadable>\n")
		for _, e := range b.Unreadable.Align(b.Block, b.Size) {
			fmt.Fprintf(&body, "        <Range> %s </Range>\n", b.blocks(e))
		}
		body.WriteString("    </Unreadable>\n")
	}
	body.WriteString("</bmap>\n")
	whole := func(sum string) []byte {
		head := fmt.Sprintf(bmapHead, b.Size, b.Block, (b.Size+b.Block-1)/b.Block, mapped, b.Type, sum)
		return append([]byte(head), body.Bytes()...)
	}
	h := b.hasher()
	h.Write(whole(strings.Repeat("0", 2*h.Size())))
	return whole(hex.EncodeToString(h.Sum(nil)))
}

// blocks writes a run of them.
func (b *Bmap) blocks(e extent.Extent) string {
	first, last := e.Off/b.Block, (e.End()-1)/b.Block
	if first == last {
		return strconv.FormatInt(first, 10)
	}
	return fmt.Sprintf("%d-%d", first, last)
}
