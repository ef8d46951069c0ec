package codec

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/flate"
)

// OpenAt is NewMemberReader on a file of size bytes. It reads a zip file by its
// directory, and so any that archive/zip reads, and knows the unpacked size
// more often: an xz file's stands in its index. A zip file with several images
// is an *AmbiguousError where no member is named. r stays the caller's.
func OpenAt(r io.ReaderAt, size int64, member string, l Limits) (*Reader, error) {
	head := make([]byte, SniffLen)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if Sniff(head[:n]) == Zip {
		return openZip(r, size, member, l)
	}
	z, err := NewMemberReader(io.NewSectionReader(r, 0, size), member, l)
	if err != nil {
		return nil, err
	}
	switch z.Format {
	case Raw:
		z.Size = size
	case XZ:
		z.Size = xzSize(r, size)
	case Zstd:
		if seekable(r, size) {
			z.Size = -1 // the head's number is that of the first frame only
		}
	}
	return z, nil
}

func openZip(r io.ReaderAt, size int64, member string, l Limits) (*Reader, error) {
	d, err := zip.NewReader(r, size)
	if err != nil {
		if errors.Is(err, zip.ErrFormat) {
			return nil, fmt.Errorf("zip: its directory is missing: %w", ErrTruncated)
		}
		return nil, fmt.Errorf("zip: %w", err)
	}
	if images := imagesOf(d); member == "" && len(images) > 1 {
		return nil, &AmbiguousError{images}
	}
	d.RegisterDecompressor(zip.Deflate, func(r io.Reader) io.ReadCloser { return flate.NewReader(r) })
	for _, f := range d.File {
		if !wanted(f.Name, member) {
			continue
		}
		if f.Flags&(zipEncrypted|zipStrong|zipMasked) != 0 {
			return nil, fmt.Errorf("zip: member %q is encrypted", f.Name)
		}
		rc, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("zip: member %q, packed by method %d: %w", f.Name, f.Method, err)
		}
		z := &Reader{Format: Zip, Size: -1, Name: f.Name, dec: rc, limits: l, close: func() { rc.Close() }}
		if f.UncompressedSize64 <= math.MaxInt64 {
			z.Size = int64(f.UncompressedSize64)
		}
		return z, nil
	}
	return nil, fmt.Errorf("zip: %w", noMember(member))
}

// imagesOf lists the members that look like disk images.
func imagesOf(d *zip.Reader) []string {
	var names []string
	for _, f := range d.File {
		if isImage(f.Name) {
			names = append(names, f.Name)
		}
	}
	return names
}

// The seek table of many-frame zstd files ends in this magic. Source: zstd
// 1.5.6, contrib/seekable_format/zstd_seekable_compression_format.md.
const seekableMagic = 0x8F92EAB1

func seekable(r io.ReaderAt, size int64) bool {
	var b [4]byte
	_, err := r.ReadAt(b[:], max(0, size-4))
	return err == nil && binary.LittleEndian.Uint32(b[:]) == seekableMagic
}

// xz: footer and index. Source: xz-file-format.txt 1.2.1, sections 2.1.2 and 4.
const (
	xzFooterLen    = 12
	xzOffBackward  = 4
	xzIndexMax     = 64 << 20 // 1 TB in xz's default blocks takes less than 1 MiB
	xzStreamsMax   = 1 << 16
	xzFooterMagic  = "YZ"
	xzPaddingChunk = 4
)

// xzSize sums the unpacked sizes in the indices of all streams, from the last
// to the first; -1 where one of them is not as it should be.
func xzSize(r io.ReaderAt, size int64) int64 {
	var total int64
	for n := 0; size > 0; n++ {
		packed, unpacked, ok := xzStream(r, size)
		if !ok || n >= xzStreamsMax || unpacked > math.MaxInt64-total {
			return -1
		}
		size -= packed
		total += unpacked
	}
	return total
}

// xzStream reads the footer and the index of the stream that ends at end, or
// steps over four bytes of padding there.
func xzStream(r io.ReaderAt, end int64) (packed, unpacked int64, ok bool) {
	var f [xzFooterLen]byte
	if end < xzBlockOff+xzFooterLen {
		return 0, 0, false
	}
	if _, err := r.ReadAt(f[:], end-xzFooterLen); err != nil {
		return 0, 0, false
	}
	if binary.LittleEndian.Uint32(f[xzFooterLen-xzPaddingChunk:]) == 0 {
		return xzPaddingChunk, 0, true
	}
	index := (int64(binary.LittleEndian.Uint32(f[xzOffBackward:])) + 1) * 4
	if string(f[xzFooterLen-2:]) != xzFooterMagic || index > xzIndexMax || index > end-xzFooterLen-xzBlockOff {
		return 0, 0, false
	}
	b := make([]byte, index)
	if _, err := r.ReadAt(b, end-xzFooterLen-index); err != nil {
		return 0, 0, false
	}
	blocks, unpacked, ok := xzIndex(b)
	packed = xzBlockOff + blocks + index + xzFooterLen
	return packed, unpacked, ok && packed <= end
}

// xzIndex sums the records of an index: packed sizes are rounded up to 4.
func xzIndex(b []byte) (packed, unpacked int64, ok bool) {
	if b[0] != 0 {
		return 0, 0, false
	}
	count, b := xzVarint(b[1:])
	for ; b != nil && count > 0; count-- {
		var p, u uint64
		if p, b = xzVarint(b); b == nil {
			return 0, 0, false
		}
		if u, b = xzVarint(b); b == nil {
			return 0, 0, false
		}
		const most = math.MaxInt64 / 4
		if p > most || u > most || packed > most || unpacked > most {
			return 0, 0, false
		}
		packed += (int64(p) + 3) &^ 3
		unpacked += int64(u)
	}
	return packed, unpacked, b != nil
}
