package fit

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/ext4"
)

// A memoryTarget is a target in memory.
type memoryTarget struct{ b []byte }

func (m *memoryTarget) ReadAt(p []byte, off int64) (int, error) {
	if n := copy(p, m.b[min(off, int64(len(m.b))):]); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}

func (m *memoryTarget) WriteAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > int64(len(m.b)) {
		return 0, io.ErrShortWrite
	}
	return copy(m.b[off:], p), nil
}

func (m *memoryTarget) WriteZeros(_ context.Context, e extent.Extent) error {
	clear(m.b[e.Off:e.End()])
	return nil
}

func (m *memoryTarget) Sync(context.Context) error { return nil }

// A model is a device as the plainest thing that can be one.
type model struct {
	t     *testing.T
	rnd   *rand.Rand
	p     *Parker
	to    *memoryTarget
	bytes []byte
	room  int64
}

const (
	modelBlock  = 1024
	modelBlocks = 96
	modelRoom   = 60
)

func newModel(t *testing.T, seed uint64, planned bool) *model {
	m := &model{t: t, rnd: rand.New(rand.NewPCG(seed, 9)), room: modelRoom, bytes: make([]byte, modelBlocks*modelBlock)}
	m.to = &memoryTarget{bytes.Repeat([]byte{0xa5}, modelRoom*modelBlock)}
	f := &Facts{Block: modelBlock, Size: modelBlocks * modelBlock, geo: ext4.Geometry{Block: modelBlock, Blocks: modelBlocks, First: 1, ClusterBlocks: 1, GroupBlocks: 8 * modelBlock}}
	for v := range int64(modelBlocks) {
		if m.rnd.IntN(2) == 0 { // about 48 of 60 are taken
			f.Used = f.Used.Append(extent.Extent{Off: v * modelBlock, Len: modelBlock})
			m.fill(m.bytes[v*modelBlock:][:modelBlock])
		}
	}
	o := Options{Facts: f, To: m.to, Size: modelRoom * modelBlock, Memory: 16 * modelBlock}
	if planned {
		o.From = bytes.NewReader(bytes.Clone(m.bytes))
	}
	var err error
	if m.p, err = New(o); err != nil {
		t.Fatal(err)
	}
	if planned {
		err = m.p.dev.showSource()
	}
	for _, e := range f.Used {
		if !planned && err == nil {
			err = m.p.Put(t.Context(), extent.Record{Extent: e, Data: m.bytes[e.Off:e.End()]})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *model) fill(b []byte) {
	for i := range b {
		b[i] = byte(m.rnd.Uint32())
	}
}

// step reads, writes or moves something, and compares.
func (m *model) step() {
	d := m.p.dev
	off := m.rnd.Int64N(modelBlocks * modelBlock)
	n := min(1+m.rnd.Int64N(3*modelBlock), modelBlocks*modelBlock-off)
	switch m.rnd.IntN(5) {
	case 0: // change what is there
		if extent.IsZero(m.bytes[off/modelBlock*modelBlock:][:modelBlock]) {
			return
		}
		n = min(n, (off/modelBlock+1)*modelBlock-off)
		m.fill(m.bytes[off:][:n])
	case 1: // clear
		clear(m.bytes[off:][:n])
	case 2: // move a block from behind the end, as resize2fs does, in two pieces
		src, dst := modelRoom+m.rnd.Int64N(modelBlocks-modelRoom), m.rnd.Int64N(modelRoom)
		b := make([]byte, modelBlock)
		if _, err := d.ReadAt(b, src*modelBlock); err != nil {
			m.t.Fatalf("read: %v", err)
		}
		cut := 1 + m.rnd.Int64N(modelBlock-1)
		for _, piece := range [][2]int64{{0, cut}, {cut, modelBlock}} {
			if _, err := d.WriteAt(b[piece[0]:piece[1]], dst*modelBlock+piece[0]); err != nil {
				m.t.Fatalf("move: %v", err)
			}
		}
		copy(m.bytes[dst*modelBlock:], m.bytes[src*modelBlock:][:modelBlock])
		return
	default:
		got := make([]byte, n)
		if _, err := d.ReadAt(got, off); err != nil || !bytes.Equal(got, m.bytes[off:][:n]) {
			m.t.Fatalf("read %d bytes at %d: they differ (%v)", n, off, err)
		}
		return
	}
	if _, err := d.WriteAt(m.bytes[off:][:n], off); err != nil {
		m.t.Fatalf("write %d bytes at %d: %v", n, off, err)
	}
}

// settle keeps the blocks below the end and holds that they lie there.
func (m *model) settle(source []byte) {
	ctx := m.t.Context()
	if err := m.p.dev.flush(); err != nil { // as Shrink does
		m.t.Fatal(err)
	}
	m.p.final = &Facts{Block: modelBlock, Size: modelRoom * modelBlock, Used: extent.Set{{Off: 0, Len: modelRoom * modelBlock}}}
	if err := m.p.Settle(ctx); err != nil {
		m.t.Fatal(err)
	}
	for _, e := range m.p.Want() {
		if err := m.p.Put(ctx, extent.Record{Extent: e, Data: source[e.Off:e.End()]}); err != nil {
			m.t.Fatal(err)
		}
	}
	if err := m.p.Finish(ctx); err != nil {
		m.t.Fatal(err)
	}
	for v := range modelRoom {
		got, want := m.to.b[v*modelBlock:][:modelBlock], m.bytes[v*modelBlock:][:modelBlock]
		if !bytes.Equal(got, want) {
			m.t.Errorf("block %d of the target: got %x..., want %x...", v, got[:8], want[:8])
		}
	}
}

// TestDevice holds the device against the model, and what settles.
func TestDevice(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		planned := seed%2 == 0
		m := newModel(t, seed, planned)
		source := bytes.Clone(m.bytes)
		for range 60 {
			m.step()
		}
		m.settle(source)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
