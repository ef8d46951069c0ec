package live

import (
	"errors"
	"fmt"
	"os"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/swap"
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

// swapOn is where the kernel swaps to on the disk: in parts, and files of its file
// systems, but for their headers. It writes there past the file system, frozen or
// not, and what lies there is lost with the memory it belongs to.
func (h host) swapOn(parts []part) (extent.Set, error) {
	var set extent.Set
	for _, p := range parts {
		if p.state == swapped {
			body := extent.Extent{Off: p.extent.Off + swap.MaxPage, Len: p.extent.Len - swap.MaxPage}
			set = set.Union(extent.Of(body))
		}
	}
	for _, name := range h.swaps() {
		st, err := stat(name)
		if err != nil {
			continue // deleted: it has no name to be found by
		}
		for _, p := range parts {
			if p.state != freezing || p.dev != numberOf(st.Dev) {
				continue
			}
			file, err := fileExtents(name, swap.MaxPage)
			if err != nil {
				return nil, err
			}
			set = set.Union(file.Shift(p.extent.Off).Clip(p.extent))
		}
	}
	return set, nil
}

// fileExtents is where a file lies on its file system, from byte from on.
func fileExtents(name string, from uint64) (extent.Set, error) {
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
			skip := min(x.Length, max(from, x.Logical)-x.Logical)
			es = append(es, extent.Extent{Off: int64(x.Physical + skip), Len: int64(x.Length - skip)})
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
