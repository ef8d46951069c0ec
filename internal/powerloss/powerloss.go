// Package powerloss is for tests: it answers what a disk may hold after its
// power was lost. A Disk is a file that remembers each write and each sync of
// whoever uses it, a loop device and what is mounted from it among them; a Medium
// shows what could be left of them at any instant. No shipped binary links it.
//
// It stands for a disk that keeps its promises: what was written before a sync
// is there, what was written after it may be there, in part, in any order. A
// sector is old or new.
package powerloss

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// sector is what a disk writes as a whole, bytes.
const sector = 512

// An op is a write, or a sync where data is nil.
type op struct {
	off  int64
	data []byte
}

// A Log is what happened to a disk, in order.
type Log struct {
	base string // the file that the disk began as
	ops  []op
}

// Len is how many writes and syncs there were.
func (l *Log) Len() int { return len(l.ops) }

// Syncs are the places of the syncs.
func (l *Log) Syncs() []int {
	var at []int
	for i, o := range l.ops {
		if o.data == nil {
			at = append(at, i)
		}
	}
	return at
}

// Written is the sum of the bytes of all writes.
func (l *Log) Written() int64 {
	var sum int64
	for _, o := range l.ops {
		sum += int64(len(o.data))
	}
	return sum
}

// A Medium is an image file with what is on the disk at one instant of a log.
type Medium struct {
	// config
	tb   testing.TB
	log  *Log
	file *os.File

	// state
	at      int  // as many ops have happened
	durable int  // as many of them must be there
	torn    []op // what the bytes were that Tear overwrote, in order
}

// Medium makes one at the log's start.
func (l *Log) Medium(tb testing.TB) *Medium {
	tb.Helper()
	f, err := os.Create(tb.TempDir() + "/medium")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	if err := copySparse(f, l.base); err != nil {
		tb.Fatal(err)
	}
	return &Medium{tb: tb, log: l, file: f}
}

// Path is the image file.
func (m *Medium) Path() string { return m.file.Name() }

// ReadAt reads the image.
func (m *Medium) ReadAt(p []byte, off int64) (int, error) { return m.file.ReadAt(p, off) }

// To goes on to the instant when n writes and syncs have happened: what the last
// sync among them made safe is on the medium, and nothing else.
func (m *Medium) To(n int) {
	m.tb.Helper()
	if n < m.at || len(m.torn) > 0 {
		m.tb.Fatalf("BUG: from %d back to %d, or not mended", m.at, n)
	}
	m.at = n
	for i := n - 1; i >= m.durable; i-- {
		if m.log.ops[i].data == nil {
			m.apply(m.log.ops[m.durable:i])
			m.durable = i + 1
			return
		}
	}
}

// Pending are the writes that are not safe at this instant.
func (m *Medium) Pending() int { return m.at - m.durable }

func (m *Medium) apply(ops []op) {
	m.tb.Helper()
	for _, o := range ops {
		if _, err := m.file.WriteAt(o.data, o.off); err != nil {
			m.tb.Fatal(err)
		}
	}
}

// Tear adds what may have come to the medium of the writes that are not safe:
// some, none or all of them, some of these only in part. Mend takes it back.
func (m *Medium) Tear(rnd *rand.Rand) {
	m.tb.Helper()
	chance := []float64{0, 0.1, 0.5, 0.9, 1}[rnd.IntN(5)]
	torn := rnd.Float64() * 0.5
	for _, o := range m.log.ops[m.durable:m.at] {
		switch {
		case rnd.Float64() >= chance:
		case rnd.Float64() < torn && len(o.data) > sector:
			for _, piece := range sectorsOf(o) {
				if rnd.IntN(2) == 0 {
					m.overwrite(piece)
				}
			}
		default:
			m.overwrite(o)
		}
	}
}

// sectorsOf cuts a write at the ends of sectors.
func sectorsOf(o op) []op {
	var pieces []op
	for len(o.data) > 0 {
		n := min(int64(len(o.data)), sector-o.off%sector)
		pieces = append(pieces, op{o.off, o.data[:n]})
		o.off, o.data = o.off+n, o.data[n:]
	}
	return pieces
}

// overwrite applies a write so that it can be taken back.
func (m *Medium) overwrite(o op) {
	m.tb.Helper()
	was := make([]byte, len(o.data))
	if _, err := m.file.ReadAt(was, o.off); err != nil {
		m.tb.Fatal(err)
	}
	m.torn = append(m.torn, op{o.off, was})
	m.apply([]op{o})
}

// Mend takes back what Tear added.
func (m *Medium) Mend() {
	m.tb.Helper()
	slices.Reverse(m.torn)
	m.apply(m.torn)
	m.torn = nil
}

// Copy copies the image to a sparse file of its own.
func (m *Medium) Copy(tb testing.TB) string {
	tb.Helper()
	f, err := os.Create(tb.TempDir() + "/copy")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	if err := copySparse(f, m.Path()); err != nil {
		tb.Fatal(err)
	}
	return f.Name()
}

// copySparse copies the file at path into f, which is empty, and leaves holes
// where it is zero.
func copySparse(f *os.File, path string) error {
	src, err := os.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	buf, zero := make([]byte, 256<<10), make([]byte, 256<<10)
	for off := int64(0); ; off += int64(len(buf)) {
		n, err := src.ReadAt(buf, off)
		if !bytes.Equal(buf[:n], zero[:n]) {
			if _, err := f.WriteAt(buf[:n], off); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return f.Truncate(off + int64(n))
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", path, err)
		}
	}
}
