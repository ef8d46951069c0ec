package fit

import (
	"encoding/binary"
	"hash/crc32"
)

// WithFeature is f with one more incompatible feature in its superblock.
func (f *Facts) WithFeature(bit uint32) *Facts {
	g := *f
	g.super = append([]byte(nil), f.super...)
	const offIncompat, offCsum = 0x60, 0x3fc
	le := binary.LittleEndian
	le.PutUint32(g.super[offIncompat:], le.Uint32(g.super[offIncompat:])|bit)
	le.PutUint32(g.super[offCsum:], ^crc32.Checksum(g.super[:offCsum], crc32.MakeTable(crc32.Castagnoli)))
	return &g
}

// PredictNothing makes all blocks park where they do not belong.
func (p *Parker) PredictNothing() { p.free = nil }
