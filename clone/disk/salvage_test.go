package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
)

// failing is a medium that gives up at the first bad byte of a read, as a file
// on a failing disk does.
type failing struct {
	b     []byte
	bad   extent.Set
	err   error
	mu    sync.Mutex
	fails int
	gone  int // after so many failed reads nothing can be read; 0 = never
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	want := extent.Extent{Off: off, Len: int64(len(p))}
	cut := f.bad.Clip(want)
	if f.gone > 0 && f.fails >= f.gone {
		cut = extent.Of(want)
	}
	if len(cut) > 0 {
		f.fails++
		n := copy(p[:cut[0].Off-off], f.b[off:])
		return n, fmt.Errorf("medium: %w", f.err)
	}
	return bytes.NewReader(f.b).ReadAt(p, off)
}

// TestSalvage reads media with random bad places in pieces of many sizes: all
// that is good comes, all that is bad is zero and known, and no place is asked
// more often than it must be.
func TestSalvage(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	const size = 6 << 20
	for round := range 12 {
		good := noise(size, uint64(round))
		var bad extent.Set
		for range 1 + r.IntN(6) {
			bad = bad.Union(extent.Of(extent.Extent{Off: r.Int64N(size/4096-40) * 4096, Len: 4096 * (1 + r.Int64N(30))}))
		}
		f := &failing{b: good, bad: bad, err: unix.EIO}
		s := disk.NewSalvage(f, "card", true)
		want := bytes.Clone(good)
		for _, e := range bad {
			clear(want[e.Off:e.End()])
		}
		got := make([]byte, size)
		for off := 0; off < size; {
			n := min(1+r.IntN(1<<20), size-off)
			if c, err := s.ReadAt(got[off:off+n], int64(off)); c != n || err != nil {
				t.Fatalf("%d bytes at %d: got %d, %v", n, off, c, err)
			}
			off += n
		}
		if !bytes.Equal(got, want) {
			t.Fatal("bytes are not what the medium gave, or not zero where it gave none")
		}
		if lost := s.Unreadable(extent.Extent{Len: size}); fmt.Sprint(lost) != fmt.Sprint(bad) {
			t.Fatalf("unreadable: got %v, want %v", lost, bad)
		}
		fails := f.fails
		if limit := int(2*bad.Bytes()/4096) + 40*len(bad) + 40; fails > limit {
			t.Errorf("%v bad: %d reads failed, more than %d", bad, fails, limit)
		}
		if _, err := s.ReadAt(got, 0); err != nil || f.fails != fails {
			t.Errorf("read again: %v, and %d more reads failed", err, f.fails-fails)
		}
		if n, err := s.ReadAt(got[:4096], size-100); n != 100 || err != io.EOF {
			t.Errorf("across the end: got %d, %v", n, err)
		}
	}
}

// TestSalvageStops: without the wish, at another error, and where the disk is
// gone, a read ends.
func TestSalvageStops(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	bad := extent.Of(extent.Extent{Off: 1 << 20, Len: 8192})
	for name, c := range map[string]struct {
		f    *failing
		keep bool
		want string
	}{
		"no wish":         {&failing{bad: bad, err: unix.EIO}, false, "read card: 8192 bytes at 1048576: medium: input/output error"},
		"no bad place":    {&failing{bad: bad, err: unix.ENODEV}, true, "no such device"},
		"it is gone":      {&failing{bad: bad, err: unix.EIO, gone: 3}, true, "which could be read before, cannot be read now: the disk is gone"},
		"nothing is good": {&failing{bad: extent.Of(extent.Extent{Len: size}), err: unix.EIO}, true, "the disk is dead or gone"},
	} {
		c.f.b = noise(size, 1)
		got, err := io.ReadAll(io.NewSectionReader(disk.NewSalvage(c.f, "card", c.keep), 0, size))
		var rerr *disk.ReadError
		if !errors.As(err, &rerr) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v behind %d bytes, want %q", name, err, len(got), c.want)
		}
		if c.f.fails > 3000 {
			t.Errorf("%s: %d reads failed before it ended", name, c.f.fails)
		}
	}
}
