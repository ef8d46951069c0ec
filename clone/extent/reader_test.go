package extent_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"

	"lifeboat/clone/extent"
)

// A broken disk cannot be read where it is bad, and remembers what was asked.
type broken struct {
	b   []byte
	bad extent.Set

	mu    sync.Mutex
	asked []extent.Extent
}

var errBad = errors.New("bad")

func (d *broken) ReadAt(p []byte, off int64) (int, error) {
	e := extent.Extent{Off: off, Len: int64(len(p))}
	d.mu.Lock()
	d.asked = append(d.asked, e)
	d.mu.Unlock()
	if len(d.bad.Clip(e)) > 0 {
		return 0, errBad
	}
	return bytes.NewReader(d.b).ReadAt(p, off)
}

// readSet reads a set by a Reader.
func readSet(d *broken, set extent.Set, most int, exact bool) (got []byte, err error) {
	r := extent.NewReader(d, set, most)
	defer r.Close()
	r.Exact = exact
	for {
		at := r.Off()
		c, err := r.Next()
		if err == io.EOF && at == math.MaxInt64 {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		if c.Off != at || c.Want[0].Off != c.Off || c.Want[len(c.Want)-1].End() != c.End() || c.Off/extent.BufferSize != (c.End()-1)/extent.BufferSize {
			return got, fmt.Errorf("the chunk %v at %d of %v", c.Extent, at, c.Want)
		}
		for _, e := range c.Want {
			got = append(got, c.Bytes(e)...)
		}
	}
}

func TestReader(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	d := &broken{b: make([]byte, 5<<20)}
	for i := range d.b {
		d.b[i] = byte(r.Uint32())
	}
	for range 25 {
		set := extent.Set{}
		var want []byte
		for at := r.IntN(100 << 10); at < len(d.b); {
			n := min(1+r.IntN(1<<r.IntN(22)), len(d.b)-at)
			set = set.Append(extent.Extent{Off: int64(at), Len: int64(n)})
			want = append(want, d.b[at:at+n]...)
			at += n + 1 + r.IntN(1<<r.IntN(19))
		}
		for _, exact := range []bool{false, true} {
			was := append(extent.Set(nil), set...)
			got, err := readSet(d, set, 1+r.IntN(4), exact)
			if err != nil || !bytes.Equal(got, want) || !reflect.DeepEqual(set, was) {
				t.Fatalf("%v: got %d bytes and %v, want %d", set, len(got), err, len(want))
			}
		}
	}
}

// TestReaderGaps holds what is read along, and that it may be unreadable.
func TestReaderGaps(t *testing.T) {
	t.Parallel()
	set := extent.Set{{Off: 0, Len: 4096}, {Off: 4096 + extent.Gap, Len: 4096}, {Off: 3*4096 + 2*extent.Gap, Len: 4096}}
	at := func(off, end int64) extent.Extent { return extent.Extent{Off: off, Len: end - off} }
	for name, c := range map[string]struct {
		exact bool
		bad   extent.Set
		asked []extent.Extent
		err   error
	}{
		"joined":         {asked: []extent.Extent{at(0, set[1].End()), set[2]}},
		"exact":          {exact: true, asked: set},
		"a bad gap":      {bad: extent.Of(at(8192, 8193)), asked: []extent.Extent{at(0, set[1].End()), set[0], set[1], set[2]}},
		"wanted and bad": {bad: extent.Of(at(set[1].Off, set[1].End())), asked: []extent.Extent{at(0, set[1].End()), set[0], set[1]}, err: errBad},
	} {
		d := &broken{b: make([]byte, 1<<20), bad: c.bad}
		got, err := readSet(d, set, 1, c.exact)
		if !errors.Is(err, c.err) || c.err == nil && len(got) != 3*4096 || !reflect.DeepEqual(d.asked, []extent.Extent(c.asked)) {
			t.Errorf("%s: got %d bytes and %v, asked %v, want %v", name, len(got), err, d.asked, c.asked)
		}
	}
	d := &broken{b: make([]byte, 100)}
	if _, err := readSet(d, extent.Of(extent.Extent{Off: 50, Len: 51}), 1, false); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("behind the end: got %v", err)
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	s := extent.Set{{Off: 0, Len: 2}, {Off: 5, Len: 2}, {Off: 11, Len: 1}}
	if got, want := s.Join(3), (extent.Set{{Off: 0, Len: 7}, {Off: 11, Len: 1}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
