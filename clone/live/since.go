package live

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// A Look is what a disk was when its writes began to be noticed.
type Look struct {
	Disk io.ReaderAt // now; what was written from At on is copied anyway
	Head *manifest.Head
	Used extent.Set
	// Parts are the numbers of those with an ext file system that is mounted for
	// writing.
	Parts []int
	At    time.Time // when it was frozen: all lay on the disk
	// Blind says why all has to be read, and News.Late will not be all; "" = it need
	// not.
	Blind string
}

// A Since finds out what of a disk is as it was in the snapshot that goes before:
// those bytes come as records of kind Same, and are not read. It returns nil to
// have all read.
type Since func(ctx context.Context, l Look) (extent.Set, error)

// Since has the next pass ask; passes behind it read all.
func (s *Source) Since(f Since) { s.since = f }

// News are what a pass found out for the next backup.
type News struct {
	Late  extent.Set // what was written after the look
	Signs extent.Set // sectors among those read that end with a swap signature
}

// News are of the last pass that ended; nil = there was none.
func (s *Source) News() *News { return s.news }

// unchanged asks, once: what was written since the look is told to one pass only.
func (s *Source) unchanged(ctx context.Context, lost error) (extent.Set, error) {
	f := s.since
	s.since = nil
	if f == nil {
		return nil, nil
	}
	l := Look{Disk: s.disk, Head: s.head, Used: s.used, At: s.looked}
	switch {
	case s.method != Traced:
		l.Blind = "the kernel does not tell what is written"
	case lost != nil:
		l.Blind = lost.Error()
	}
	for _, p := range s.parts {
		if p.state == freezing && p.rw && !p.dax() {
			l.Parts = append(l.Parts, p.num)
		}
	}
	same, err := f(ctx, l)
	if err != nil || l.Blind != "" {
		return nil, err
	}
	return same, same.Check(s.disk.Size())
}

// dax tells whether files may be written without a request to the disk.
func (p part) dax() bool {
	return slices.ContainsFunc(p.mounts, func(m disk.Mount) bool {
		return slices.ContainsFunc(m.Options, func(o string) bool { return strings.HasPrefix(o, "dax") && o != "dax=never" })
	})
}

// counted counts what is read from a disk.
type counted struct {
	*disk.Source
	n atomic.Int64 // bytes
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Source.ReadAt(p, off)
	c.n.Add(int64(n))
	return n, err
}

// swapWords end the first page of what can be swapped to (Linux v6.12,
// include/linux/swap.h, union swap_header; mkswap(8) wrote the second one of old).
var swapWords = [...]string{"SWAPSPACE2", "SWAP-SPACE"}

// swapSigns are the sectors of b, which lies at off, that end with one.
func swapSigns(off int64, b []byte) extent.Set {
	var set extent.Set
	for end := disk512; end <= len(b); end += disk512 {
		for _, word := range swapWords {
			if b[end-len(word)] == 'S' && bytes.HasSuffix(b[:end], []byte(word)) {
				set = set.Append(extent.Extent{Off: off + int64(end-disk512), Len: disk512})
			}
		}
	}
	return set
}
