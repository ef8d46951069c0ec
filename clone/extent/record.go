package extent

import (
	"bytes"
	"sync"
	"unsafe"
)

// Kind says what a record brings.
type Kind uint8

const (
	Data Kind = iota // the bytes are in Data
	Zero             // in use and zero: zeros must be written, Data is nil
	Same             // as in the base that the receiver has, Data is nil
)

func (k Kind) String() string { return [...]string{"data", "zero", "same"}[k] }

// A Record is an extent and its bytes, at most BufferSize of them where Kind is
// Data. Data belongs to who made the record and is valid until its next call.
type Record struct {
	Extent
	Kind Kind
	Data []byte
}

// BufferSize is the size of every copy buffer: large enough for the full speed
// of cards and disks, small enough for a board with 256 MiB.
const BufferSize = 1 << 20

// Piece is what one buffer takes of the front of e. It ends at a multiple of the
// buffer's size, so that all but the first and last piece of an extent are aligned.
func (e Extent) Piece() Extent {
	end := min(e.End(), (e.Off/BufferSize+1)*BufferSize)
	return Extent{Off: e.Off, Len: end - e.Off}
}

// bufferAlign suits O_DIRECT on each disk with sectors up to 4096 bytes.
const bufferAlign = 4096

var buffers = sync.Pool{New: func() any {
	raw := make([]byte, BufferSize+bufferAlign)
	skip := -int(uintptr(unsafe.Pointer(&raw[0]))) & (bufferAlign - 1)
	return (*[BufferSize]byte)(raw[skip:])
}}

// Buffer takes a buffer, fit for O_DIRECT, out of the one pool there is. Who
// took it gives it back with Release, or leaves it to the garbage collector.
func Buffer() *[BufferSize]byte { return buffers.Get().(*[BufferSize]byte) }

// Release gives a buffer of Buffer back.
func Release(b *[BufferSize]byte) { buffers.Put(b) }

var zeros [64 << 10]byte

// IsZero tells whether all of b is zero.
func IsZero(b []byte) bool {
	for len(b) > len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}

// zeroRun is the length of the shortest run of zeros that becomes a record of
// its own: shorter ones would cost more in small writes than they save.
const zeroRun = 64 << 10

// Run is the length of what b begins with, and whether that is zeros.
func Run(b []byte) (n int, zero bool) {
	zero = IsZero(b[:min(zeroRun, len(b))])
	for n < len(b) {
		piece := b[n:min(n+zeroRun, len(b))]
		if IsZero(piece) != zero {
			break
		}
		n += len(piece)
	}
	return n, zero
}

// Front is the record that b, which lies at off, begins with: a run of data, or
// of zeros.
func Front(off int64, b []byte) Record {
	n, zero := Run(b)
	rec := Record{Extent: Extent{Off: off, Len: int64(n)}, Data: b[:n]}
	if zero {
		rec.Kind, rec.Data = Zero, nil
	}
	return rec
}
