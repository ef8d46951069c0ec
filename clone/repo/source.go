package repo

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// A Pass yields the records of a snapshot, ascending, until io.EOF.
type Pass = interface {
	Next(ctx context.Context) (extent.Record, error)
	Tail() *manifest.Tail // after io.EOF
	Close() error
}

// A Source gives a snapshot back. It may be read again, and anywhere; each chunk
// is held against its ID.
type Source struct {
	// config
	r     *Repo
	snap  *Snapshot
	index *index
	facts facts
	zero  [2]ID // of a chunk of zeros, and of the last one
	seed  io.ReaderAt
	luck  atomic.Int64    // chunks found in the seed, less those that were not
	ctx   context.Context // of ReadAt

	// state of ReadAt: the chunk that was read last
	mu   sync.Mutex
	have int64 // -1 = none
	buf  []byte
}

// Source opens a snapshot. The context is also that of ReadAt. Close frees a
// buffer; the repository stays the caller's.
func (r *Repo) Source(ctx context.Context, s *Snapshot) (*Source, error) {
	src, err := r.open(ctx, s)
	if err != nil {
		return nil, &BadSnapshotError{s.Series, s.ID, err}
	}
	return src, nil
}

func (r *Repo) open(ctx context.Context, s *Snapshot) (*Source, error) {
	x, err := r.readIndex(ctx, &s.Record)
	if err != nil {
		return nil, err
	}
	name := s.stem() + manifestExt
	data, err := r.read(ctx, name, s.Manifest.Size)
	if err == nil {
		err = s.Manifest.check(data)
	}
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	f, err := r.decodeFacts(data, name, s.Size)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	src := &Source{r: r, snap: s, index: x, facts: f, ctx: ctx, have: -1}
	src.zero[0] = r.zeroID(x.chunk)
	src.zero[1] = r.zeroID(span(x.len()-1, x.chunk, x.size).Len)
	return src, nil
}

// readIndex reads the index of a record and holds it against that.
func (r *Repo) readIndex(ctx context.Context, rec *Record) (*index, error) {
	data, err := r.read(ctx, rec.stem()+indexExt, rec.Index.Size)
	if err == nil {
		err = rec.Index.check(data)
	}
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	x, err := decodeIndex(data)
	if err == nil && (x.chunk != r.config.Chunk || x.size != rec.Size) {
		err = fmt.Errorf("it is of %d bytes in chunks of %d", x.size, x.chunk)
	}
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	return x, nil
}

// Head is that of the disk when it was saved.
func (s *Source) Head() *manifest.Head { return s.facts.Head }

// Tail is what was known when the backup had ended.
func (s *Source) Tail() *manifest.Tail { return s.facts.Tail }

// Areas are what the boot areas hold that the head names.
func (s *Source) Areas() map[string][]byte { return s.facts.Areas }

// Snapshot is the record.
func (s *Source) Snapshot() *Snapshot { return s.snap }

// Used is what the disk had in use.
func (s *Source) Used() extent.Set { return s.facts.Tail.Used }

// Seed names a disk that may hold some of the bytes already, in place: a chunk
// that is found there is not fetched. What it holds is believed only when it
// fits the chunk's ID.
func (s *Source) Seed(r io.ReaderAt) { s.seed = r }

// seedPatience is how many chunks more may be missing in a seed than were found,
// before it is not asked any more.
const seedPatience = 64

// Close frees the buffer.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buf != nil {
		s.r.give(s.buf)
		s.buf, s.have = nil, -1
	}
	return nil
}

// isZero tells whether chunk n is all zeros.
func (s *Source) isZero(n int64) bool {
	if n == s.index.len()-1 {
		return s.index.ids[n] == s.zero[1]
	}
	return s.index.ids[n] == s.zero[0]
}

// chunk reads chunk n into a buffer of the size of a chunk.
func (s *Source) chunk(ctx context.Context, buf []byte, n int64) ([]byte, error) {
	if s.seed != nil && !s.isZero(n) && s.luck.Load() > -seedPatience {
		if b, ok := s.seeded(buf, n, span(n, s.index.chunk, s.index.size)); ok {
			s.luck.Add(1)
			return b, nil
		}
		s.luck.Add(-1)
	}
	return s.fetch(ctx, buf, n, s.r.unpack)
}

// fetch is chunk without the seed.
func (s *Source) fetch(ctx context.Context, buf []byte, n int64, with unpacker) ([]byte, error) {
	place := span(n, s.index.chunk, s.index.size)
	if s.isZero(n) {
		clear(buf[:place.Len])
		return buf[:place.Len], nil
	}
	b, err := s.r.fetch(ctx, buf, s.index.ids[n], place.Len, with)
	if err != nil {
		return nil, fmt.Errorf("bytes %d to %d: %w", place.Off, place.End(), err)
	}
	return b, nil
}

// seeded builds a chunk out of the seed: what is in use, and zeros.
func (s *Source) seeded(buf []byte, n int64, place extent.Extent) ([]byte, bool) {
	b := buf[:place.Len]
	clear(b)
	for _, e := range s.Used().Clip(place) {
		if _, err := s.seed.ReadAt(b[e.Off-place.Off:e.End()-place.Off], e.Off); err != nil {
			return nil, false
		}
	}
	return b, s.r.idOf(b) == s.index.ids[n]
}

// ReadAt reads the disk; what was not in use is zero.
func (s *Source) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d: before the disk", off)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	done := 0
	for done < len(p) && off < s.index.size {
		n := off / s.index.chunk
		place := span(n, s.index.chunk, s.index.size)
		b, err := s.cached(n, place)
		if err != nil {
			return done, err
		}
		c := copy(p[done:], b[off-place.Off:])
		done, off = done+c, off+int64(c)
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// cached is chunk n; the caller holds the lock.
func (s *Source) cached(n int64, place extent.Extent) ([]byte, error) {
	if s.buf == nil {
		s.buf, s.have = s.r.take(), -1
	}
	if s.have != n {
		s.have = -1
		if _, err := s.chunk(s.ctx, s.buf, n); err != nil {
			return nil, err
		}
		s.have = n
	}
	return s.buf[:place.Len], nil
}

// Granule is the size of a chunk: with ID, what an increment compares.
func (s *Source) Granule() int64 { return s.index.chunk }

// ID names the bytes of a chunk, given by its whole place; false for any other
// extent. Equal IDs of one repository are equal bytes.
func (s *Source) ID(e extent.Extent) (manifest.Digest, bool) {
	n := e.Off / s.index.chunk
	if e.Off < 0 || n >= s.index.len() || span(n, s.index.chunk, s.index.size) != e {
		return manifest.Digest{}, false
	}
	return manifest.Digest{Extent: e, Sum: s.index.ids[n].String()}, true
}
