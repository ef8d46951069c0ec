package codec

import (
	"encoding/binary"
	"math"
)

// xz: offsets of the stream header and the first block header. Source:
// xz-file-format.txt 1.2.1, sections 2.1.1 and 3.1.
const (
	xzBlockOff     = 12   // the stream header is as long
	xzBlockMax     = 1024 // the longest block header
	xzHeadLen      = xzBlockOff + xzBlockMax
	xzFilterMask   = 0x03 // of the block flags: filters less one
	xzHasPacked    = 0x40
	xzHasUnpacked  = 0x80
	xzIDLZMA2      = 0x21
	xzDictBitsMax  = 40
	xzDictBitsBase = 11
)

// xzWindow reads the size of the LZMA2 dictionary from the head of a stream,
// which may be cut. It does not know it of a stream without blocks.
func xzWindow(head []byte) (int64, bool) {
	if len(head) < xzBlockOff+2 || head[xzBlockOff] == 0 {
		return 0, false
	}
	b := head[xzBlockOff:]
	b = b[:min(len(b), (int(b[0])+1)*4)]
	flags, b := b[1], b[2:]
	for _, has := range []byte{xzHasPacked, xzHasUnpacked} {
		if flags&has != 0 {
			if _, b = xzVarint(b); b == nil {
				return 0, false
			}
		}
	}
	for range int(flags&xzFilterMask) + 1 {
		var id, size uint64
		if id, b = xzVarint(b); b == nil {
			return 0, false
		}
		if size, b = xzVarint(b); b == nil || size > uint64(len(b)) {
			return 0, false
		}
		if id == xzIDLZMA2 && size == 1 {
			return xzDict(b[0])
		}
		b = b[size:]
	}
	return 0, false
}

// xzDict decodes the one property of LZMA2: section 5.3.1.
func xzDict(bits byte) (int64, bool) {
	if bits > xzDictBitsMax {
		return 0, false
	}
	if bits == xzDictBitsMax {
		return math.MaxUint32, true
	}
	return int64(2|bits&1) << (bits/2 + xzDictBitsBase), true
}

// xzVarint takes a number of section 1.2 off b; the rest is nil where there is
// none.
func xzVarint(b []byte) (uint64, []byte) {
	v, n := binary.Uvarint(b)
	if n <= 0 || v > math.MaxInt64 {
		return 0, nil
	}
	return v, b[n:]
}
