package image

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"

	"lifeboat/clone/extent"
)

// rangeMax is where ranges of a bmap are cut: a patch or a partial restore then
// costs no more than so much reading.
const rangeMax = 16 << 20

// A mapper makes the bmap of an image from the records that go into it.
type mapper struct {
	// config
	size int64

	// state
	ranges  []Range
	now     extent.Extent // the range in the making, in whole blocks but for its last byte
	sum     hash.Hash
	patched []extent.Extent
	end     int64 // of the last record
}

func newMapper(size int64) *mapper { return &mapper{size: size, sum: sha256.New()} }

// add takes the next record. What comes a second time is looked at in the end.
func (m *mapper) add(w work) {
	if w.patch || w.Off < m.end {
		m.patched = append(m.patched, w.Extent)
		if len(m.patched) == cap(m.patched) {
			m.patched = extent.Of(m.patched...)
		}
		return
	}
	m.end = w.End()
	for e := w.Extent; e.Len > 0; {
		if m.now.Len > 0 && (e.Off/blockSize*blockSize > alignUp(m.now.End()) || e.Off >= m.limit()) {
			m.finish()
		}
		if m.now.Len == 0 {
			m.now.Off = e.Off / blockSize * blockSize
		}
		hashZeros(m.sum, e.Off-m.now.End())
		part := extent.Extent{Off: e.Off, Len: min(e.End(), m.limit()) - e.Off}
		if w.buf == nil {
			hashZeros(m.sum, part.Len)
		} else {
			m.sum.Write(w.buf[part.Off-w.Off : part.End()-w.Off])
		}
		m.now.Len = part.End() - m.now.Off
		e = extent.Extent{Off: part.End(), Len: e.Len - part.Len}
	}
}

// limit is where the range in the making ends at the latest.
func (m *mapper) limit() int64 { return m.now.Off/rangeMax*rangeMax + rangeMax }

func alignUp(n int64) int64 { return (n + blockSize - 1) / blockSize * blockSize }

// finish fills the last block with the zeros that lie there, and takes the range
// down.
func (m *mapper) finish() {
	if m.now.Len > 0 {
		end := min(alignUp(m.now.End()), m.size)
		hashZeros(m.sum, end-m.now.End())
		m.now.Len = end - m.now.Off
		m.ranges = append(m.ranges, Range{m.now, hex.EncodeToString(m.sum.Sum(nil))})
	}
	m.sum.Reset()
	m.now = extent.Extent{}
}

// bmap ends the map. Ranges that were patched are read again from the image.
func (m *mapper) bmap(image io.ReaderAt) (*Bmap, error) {
	m.finish()
	b := &Bmap{Size: m.size, Block: blockSize, Type: "sha256", Ranges: m.ranges}
	if len(m.patched) == 0 {
		return b, nil
	}
	patched := extent.Of(m.patched...).Align(blockSize, m.size)
	var keep, again []Range
	var kept extent.Set
	for _, r := range m.ranges {
		if len(patched.Clip(r.Extent)) == 0 {
			keep = append(keep, r)
			kept = kept.Append(r.Extent)
		}
	}
	for _, e := range b.Set().Union(patched).Subtract(kept) {
		for e.Len > 0 {
			part := e.Intersect(extent.Extent{Off: e.Off / rangeMax * rangeMax, Len: rangeMax})
			sum, err := sumOf(image, part)
			if err != nil {
				return nil, err
			}
			again = append(again, Range{part, sum})
			e = extent.Extent{Off: part.End(), Len: e.Len - part.Len}
		}
	}
	b.Ranges = mergeRanges(keep, again)
	return b, nil
}

func mergeRanges(a, b []Range) []Range {
	r := make([]Range, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0].Off < b[0].Off {
			r, a = append(r, a[0]), a[1:]
		} else {
			r, b = append(r, b[0]), b[1:]
		}
	}
	return append(append(r, a...), b...)
}

// sumOf reads an extent and hashes it.
func sumOf(r io.ReaderAt, e extent.Extent) (string, error) {
	buf := extent.Buffer()
	defer extent.Release(buf)
	h := sha256.New()
	_, err := io.CopyBuffer(onlyWriter{h}, io.NewSectionReader(r, e.Off, e.Len), buf[:])
	return hex.EncodeToString(h.Sum(nil)), err
}

// onlyWriter hides io.ReaderFrom, so that a copy uses its buffer.
type onlyWriter struct{ io.Writer }
