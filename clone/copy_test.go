package clone

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// shared is a memory that several may write at once.
type shared struct {
	mu sync.Mutex
	memory
}

func (m *shared) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.memory.WriteAt(p, off)
}

func (m *shared) ReadAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.memory.ReadAt(p, off)
}

// listed is a source that yields what it was given.
type listed []extent.Record

var _ Source = listed(nil)

func (l listed) Head() *manifest.Head                           { return &manifest.Head{} }
func (l listed) Open(context.Context, extent.Set) (Pass, error) { return &listedPass{l}, nil }
func (l listed) Close() error                                   { return nil }

type listedPass struct{ left listed }

func (p *listedPass) Tail() *manifest.Tail { return &manifest.Tail{} }
func (p *listedPass) Close() error         { return nil }

func (p *listedPass) Next(context.Context) (extent.Record, error) {
	if len(p.left) == 0 {
		return extent.Record{}, io.EOF
	}
	r := p.left[0]
	p.left = p.left[1:]
	return r, nil
}

// records cuts bytes into records of a quarter MiB.
func records(b []byte) listed {
	var l listed
	for off := 0; off < len(b); off += 256 << 10 {
		l = append(l, data(int64(off), b[off:off+256<<10]))
	}
	return l
}

// Records are laid side by side, but a patch comes when all before it lie.
func TestCopyLaysPatchesLast(t *testing.T) {
	t.Parallel()
	for range 20 {
		to := &shared{memory: memory{b: make([]byte, testDisk)}}
		f := newFiller(rawPlan(move(0, 0, testDisk)), to)
		want := random(testDisk)
		list := records(bytes.Clone(want))
		for _, off := range []int{testDisk - 512, 3 << 20, 0} {
			patch := bytes.Repeat([]byte{byte(off >> 20), 7}, 256)
			copy(want[off:], patch)
			list = append(list, data(int64(off), patch))
		}
		if _, err := Copy(t.Context(), list, extent.Of(extent.Extent{Len: testDisk}), f, nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(to.b, want) {
			t.Fatal("the target holds other bytes")
		}
		if err := f.verify(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
}

// Whichever write fails, it is what is told, and nothing is under way any more.
func TestCopyTellsTheWriteThatFailed(t *testing.T) {
	t.Parallel()
	for n := 1; n <= testDisk/(256<<10); n++ {
		to := &shared{memory: memory{b: make([]byte, testDisk), fail: n}}
		f := newFiller(rawPlan(move(0, 0, testDisk)), to)
		if _, err := Copy(t.Context(), records(random(testDisk)), extent.Of(extent.Extent{Len: testDisk}), f, nil); !errors.Is(err, errBroken) {
			t.Errorf("write %d fails: got %v", n, err)
		}
		to.b = nil // a write that is still under way would meet this
	}
}

// A chunk that cannot be read is told at its place, and what was read ahead
// behind it is waited for.
func TestBlocksTellTheReadThatFailed(t *testing.T) {
	t.Parallel()
	const bad = 2<<20 + 4096
	b := &Blocks{r: holed{bytes.NewReader(random(testDisk)), bad}, used: extent.Of(extent.Extent{Len: testDisk})}
	pass, err := b.Open(t.Context(), b.used)
	if err != nil {
		t.Fatal(err)
	}
	end := int64(0)
	for err == nil {
		var rec extent.Record
		if rec, err = pass.Next(t.Context()); err == nil {
			end = rec.End()
		}
	}
	if !errors.Is(err, errBroken) || end != 2<<20 {
		t.Errorf("got %v at byte %d, want an error at %d", err, end, 2<<20)
	}
	if err := pass.Close(); err != nil {
		t.Error(err)
	}
}

// holed cannot read the byte at bad.
type holed struct {
	io.ReaderAt
	bad int64
}

func (h holed) ReadAt(p []byte, off int64) (int, error) {
	if off <= h.bad && h.bad < off+int64(len(p)) {
		return 0, errBroken
	}
	return h.ReaderAt.ReadAt(p, off)
}
