package live

import (
	"errors"
	"fmt"
	"os"

	"lifeboat/clone/extent"
)

// A fiemapRequest is struct fiemap of Linux, include/uapi/linux/fiemap.h, with
// room for some extents.
type fiemapRequest struct {
	Start, Length   uint64
	Flags, Mapped   uint32
	Count, Reserved uint32
	Extents         [fiemapCount]fiemapExtent
}

type fiemapExtent struct {
	Logical, Physical, Length uint64
	_                         [2]uint64
	Flags                     uint32
	_                         [3]uint32
}

const (
	fiemapCount = 64
	fiemapLast  = 1 // FIEMAP_EXTENT_LAST
)

// swapOn is where the kernel swaps to on the disk: parts, and files of its file
// systems. It writes there past the file system, frozen or not, and what lies
// there is lost with the memory it belongs to.
func (h host) swapOn(parts []part) (extent.Set, error) {
	set := in(parts, swapped)
	for _, name := range h.swaps() {
		st, err := stat(name)
		if err != nil {
			continue // deleted: it has no name to be found by
		}
		for _, p := range parts {
			if p.state != freezing || p.dev != numberOf(st.Dev) {
				continue
			}
			file, err := fileExtents(name)
			if err != nil {
				return nil, err
			}
			set = set.Union(file.Shift(p.extent.Off).Clip(p.extent))
		}
	}
	return set, nil
}

// fileExtents is where a file lies on its file system.
func fileExtents(name string) (extent.Set, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	var es []extent.Extent
	for start := uint64(0); ; {
		m := fiemapRequest{Start: start, Length: ^uint64(0) - start, Count: fiemapCount}
		if err := fiemap(f, &m); err != nil {
			return nil, errors.Join(fmt.Errorf("where %s lies: %w", name, err), f.Close())
		}
		for _, x := range m.Extents[:min(m.Mapped, fiemapCount)] {
			es = append(es, extent.Extent{Off: int64(x.Physical), Len: int64(x.Length)})
			start = x.Logical + x.Length
			if x.Flags&fiemapLast != 0 {
				return extent.Of(es...), f.Close()
			}
		}
		if m.Mapped == 0 {
			return extent.Of(es...), f.Close()
		}
	}
}
