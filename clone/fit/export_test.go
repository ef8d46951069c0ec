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

// PredictNothing makes all blocks park where they do not belong.
func (p *Parker) PredictNothing() { p.free = nil }

// Shape reads everything there is out of bytes.
func Shape(super, rest []byte, incompat uint32) {
	b := make([]byte, superSize)
	copy(b, super)
	le := binary.LittleEndian
	le.PutUint32(b[offIncompat:], le.Uint32(b[offIncompat:])|incompat)
	const size = 1 << 24
	r := paddedReader(append(make([]byte, superOff), append(b, rest...)...))
	g, err := parseGeometry(b, size)
	if err != nil || g.readGroups(r) != nil {
		return
	}
	g.tables()
	g.usable(g.blocks / 2)
	g.fileData(r, size/2)
	for i := range g.groups {
		g.bitmapRuns(int64(i), rest)
	}
}
