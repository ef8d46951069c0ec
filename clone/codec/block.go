package codec

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// ErrTooLarge is what a block gives that unpacks to more than is allowed.
var ErrTooLarge = errors.New("zstd: unpacks to more than is allowed")

// Blocks packs and unpacks short pieces, each as one zstd frame that knows its
// size. It may be used by many goroutines at once.
type Blocks struct {
	enc   *zstd.Encoder
	dec   *zstd.Decoder
	limit int64
}

// blockWindow is what foreign encoders may ask for beside the block itself:
// casync 2 and zstd -19 take up to 8 MiB for any input whose size they do not
// know. So much a hostile block can cost at most, where it is more than the limit.
const blockWindow = 8 << 20

// blockLevel is for nights, which are mostly packing, on slow CPUs. What it costs in
// room is little: docs/REPOSITORY.md, section 2.
const blockLevel = zstd.SpeedFastest

// NewBlocks makes the packer of blocks that have at most limit bytes. Workers
// bounds how many are packed, or unpacked, at once. Close frees it.
func NewBlocks(limit int64, workers int) (*Blocks, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(workers), zstd.WithEncoderCRC(true),
		zstd.WithEncoderLevel(blockLevel), zstd.WithWindowSize(int(windowFor(limit))))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(workers),
		zstd.WithDecoderMaxMemory(uint64(max(limit, blockWindow))), zstd.WithDecoderMaxWindow(blockWindow))
	if err != nil {
		enc.Close()
		return nil, err
	}
	return &Blocks{enc, dec, limit}, nil
}

// windowFor is the smallest window that holds limit bytes: a power of two.
func windowFor(limit int64) int64 {
	w := int64(zstd.MinWindowSize)
	for w < limit && w < zstdWindow {
		w *= 2
	}
	return w
}

// Close frees the buffers.
func (b *Blocks) Close() {
	b.enc.Close()
	b.dec.Close()
}

// Pack appends the packed block to dst.
func (b *Blocks) Pack(dst, block []byte) []byte { return b.enc.EncodeAll(block, dst) }

// Unpack appends the block to dst. It is an error where that would have more
// than the limit.
func (b *Blocks) Unpack(dst, packed []byte) ([]byte, error) {
	had := len(dst)
	out, err := b.dec.DecodeAll(packed, dst)
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), int64(len(out)-had) > b.limit:
		return dst, ErrTooLarge
	case err != nil:
		return dst, fmt.Errorf("zstd: %w", err)
	}
	return out, nil
}

// MaxPacked is the most that a packed block may have: what packing at worst
// adds (zstd 1.5, ZSTD_COMPRESSBOUND, and frame, block and skippable headers).
func (b *Blocks) MaxPacked() int64 { return b.limit + b.limit/128 + 4096 }
