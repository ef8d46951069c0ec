package extent

import "io"

// Masked is r with zeros where void is: there nothing is read from it.
func Masked(r io.ReaderAt, void Set) io.ReaderAt {
	if len(void) == 0 {
		return r
	}
	return &masked{r, void}
}

type masked struct {
	r    io.ReaderAt
	void Set
}

func (m *masked) ReadAt(p []byte, off int64) (int, error) {
	all := Extent{Off: off, Len: int64(len(p))}
	zeros := m.void.Clip(all)
	if len(zeros) == 0 {
		return m.r.ReadAt(p, off)
	}
	for _, e := range zeros {
		clear(p[e.Off-off : e.End()-off])
	}
	for _, e := range Of(all).Subtract(zeros) {
		if n, err := m.r.ReadAt(p[e.Off-off:e.End()-off], e.Off); int64(n) < e.Len {
			return int(e.Off-off) + n, err
		}
	}
	return len(p), nil
}
