package repo

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// casync's index: casync 2, src/caformat.h and caindex.c. All numbers are 64 bit,
// little-endian.
const (
	caIndexMagic   = 0x96824d9c7b129ff9
	caTableMagic   = 0xe75b9e112f17417d
	caTailMagic    = 0x4b4f050e5549ecd1
	caSHA512_256   = 0x2000000000000000
	caHeaderSize   = 48
	caTableHead    = 16
	caItemSize     = 40
	caTailSize     = 40
	caTableForever = 1<<64 - 1 // size of a table that is not known in advance
)

// maxItems bounds an index: 4 TB in chunks of 1 MiB.
const maxItems = 4 << 20

// indexSize is the size of the file for n chunks.
func indexSize(n int64) int64 { return caHeaderSize + caTableHead + n*caItemSize + caTailSize }

// maxIndexFile bounds an index file before anything is known of it.
const maxIndexFile = caHeaderSize + caTableHead + maxItems*caItemSize + caTailSize

// An index says which chunk lies where: chunk n at n times the chunk size.
type index struct {
	size  int64 // of the disk
	chunk int64
	ids   []ID
}

// encode makes the file.
func (x *index) encode() []byte {
	b := make([]byte, 0, indexSize(int64(len(x.ids))))
	put := func(values ...uint64) {
		for _, v := range values {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
	}
	c := uint64(x.chunk)
	put(caHeaderSize, caIndexMagic, caSHA512_256, c, c, c)
	put(caTableForever, caTableMagic)
	for n, id := range x.ids {
		put(uint64(span(int64(n), x.chunk, x.size).End()))
		b = append(b, id[:]...)
	}
	put(0, 0, caHeaderSize, uint64(caTableHead+len(x.ids)*caItemSize+caTailSize), caTailMagic)
	return b
}

// decodeIndex reads a file with chunks of one size: ours, or one of casync with
// --chunk-size=N:N:N. The IDs are copied.
func decodeIndex(b []byte) (*index, error) {
	n := (int64(len(b)) - indexSize(0)) / caItemSize
	if int64(len(b)) < indexSize(1) || int64(len(b)) != indexSize(n) || n > maxItems {
		return nil, fmt.Errorf("%d bytes are no index", len(b))
	}
	u := func(off int64) uint64 { return binary.LittleEndian.Uint64(b[off:]) }
	if u(0) != caHeaderSize || u(8) != caIndexMagic || u(48) != caTableForever || u(56) != caTableMagic {
		return nil, errors.New("it is no index of casync")
	}
	if u(16)&caSHA512_256 == 0 {
		return nil, errors.New("its chunks are named by SHA-256; only SHA-512/256 is read")
	}
	chunk := int64(u(32))
	if u(24) != u(32) || u(32) != u(40) || chunk < MinChunk || chunk > MaxChunk {
		return nil, fmt.Errorf("its chunks have %d to %d bytes; they must be of one size, from %d to %d", u(24), u(40), MinChunk, MaxChunk)
	}
	tail := int64(len(b)) - caTailSize
	if u(tail) != 0 || u(tail+8) != 0 || u(tail+16) != caHeaderSize || u(tail+24) != uint64(len(b)-caHeaderSize) || u(tail+32) != caTailMagic {
		return nil, errors.New("its end is missing or damaged")
	}
	size := int64(u(tail - caItemSize))
	if size <= (n-1)*chunk || size > n*chunk {
		return nil, fmt.Errorf("it ends at byte %d, and its %d chunks of %d do not", size, n, chunk)
	}
	x := &index{size, chunk, make([]ID, n)}
	for i := range x.ids {
		item := b[caHeaderSize+caTableHead+i*caItemSize:]
		if end := int64(binary.LittleEndian.Uint64(item)); end != span(int64(i), chunk, size).End() {
			return nil, fmt.Errorf("chunk %d ends at byte %d, which is not its place", i, end)
		}
		copy(x.ids[i][:], item[8:caItemSize])
	}
	return x, nil
}

// len is how many chunks it has.
func (x *index) len() int64 { return int64(len(x.ids)) }
