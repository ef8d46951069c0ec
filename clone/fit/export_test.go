package fit

import "encoding/binary"

// WithFeature is f with one more incompatible feature in its superblock.
func (f *Facts) WithFeature(bit uint32) *Facts {
	g := *f
	g.super = append([]byte(nil), f.super...)
	le := binary.LittleEndian
	le.PutUint32(g.super[offIncompat:], le.Uint32(g.super[offIncompat:])|bit)
	const offCsum = 0x3fc
	le.PutUint32(g.super[offCsum:], crc32c(^uint32(0), g.super[:offCsum]))
	return &g
}
