package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/internal/atomicfile"
)

// A rawSink writes a sparse .img.
type rawSink struct {
	// config
	path string
	o    SinkOptions

	// state
	head *manifest.Head
	file *atomicfile.File
	line *line
	out  *sparse
	m    *mapper
	all  *wholeSum // nil = not wanted
	end  int64
}

var _ Patcher = (*rawSink)(nil)

// Start implements clone.Sink. It refuses to begin where the room cannot be
// enough.
func (k *rawSink) Start(ctx context.Context, h *manifest.Head) error {
	if err := begin(k.path, h, k.o); err != nil {
		return err
	}
	if err := free(k.path, k.o); err != nil {
		return err
	}
	if err := enough(k.path, h.Used()); err != nil {
		return err
	}
	file, err := atomicfile.Create(k.path, filePerm)
	if err != nil {
		return err
	}
	k.head, k.file = h, file
	if err := file.Truncate(h.Size); err != nil {
		return errors.Join(explain(k.path, err), file.Cleanup())
	}
	k.out = &sparse{path: k.path, file: file.File}
	k.m = newMapper(h.Size)
	stages := []func(work) error{k.out.write, func(w work) error { k.m.add(w); return nil }}
	if k.o.Sum {
		k.all = &wholeSum{sum: sha256.New(), size: h.Size}
		stages = append(stages, k.all.add)
	}
	k.line = newLine(context.WithoutCancel(ctx), stages...)
	return nil
}

// enough compares what will come with the room there is; a negative need is not
// known.
func enough(path string, need int64) error {
	have, err := room(filepath.Dir(path))
	if err != nil || need <= have {
		return nil // a file system that does not tell is asked by writing
	}
	return fmt.Errorf("%s: %d bytes are needed, %d are free on its file system: %d are missing", path, need, have, need-have)
}

// Put implements clone.Sink.
func (k *rawSink) Put(ctx context.Context, r extent.Record) error { return k.take(ctx, r, false) }

// Patch implements clone.Patcher.
func (k *rawSink) Patch(ctx context.Context, r extent.Record) error { return k.take(ctx, r, true) }

func (k *rawSink) take(ctx context.Context, r extent.Record, patch bool) error {
	if err := fits(k.path, k.head.Size, r); err != nil {
		return err
	}
	patch = patch || r.Off < k.end
	k.end = max(k.end, r.End())
	return k.line.put(ctx, r, patch)
}

// Commit implements clone.Sink.
func (k *rawSink) Commit(ctx context.Context, t *manifest.Tail) error {
	if err := k.line.close(); err != nil {
		return err
	}
	b, err := k.m.bmap(k.file)
	if err != nil {
		return fmt.Errorf("%s: read what was patched: %w", k.path, err)
	}
	s := sidecar(k.head, t, k.o)
	b.Unreadable = s.Tail.Unreadable
	s.File.Size, s.Content.Size = k.head.Size, k.head.Size
	s.Tail.Digests = nil
	for _, r := range b.Ranges {
		s.Tail.Digests = append(s.Tail.Digests, manifest.Digest{Extent: r.Extent, Sum: r.Sum})
	}
	if len(s.Tail.Used) == 0 {
		s.Tail.Used = b.Set()
	}
	if k.all != nil {
		sum, err := k.all.end(k.file.File)
		if err != nil {
			return fmt.Errorf("%s: read it again: %w", k.path, err)
		}
		s.File.SHA256, s.Content.SHA256 = sum, sum
	}
	if k.o.Verify {
		if err := k.rereadRaw(ctx, b.Ranges); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return publish(k.path, k.file, k.o, s, b)
}

// Abort implements clone.Sink.
func (k *rawSink) Abort(context.Context) error {
	if k.file == nil {
		return nil
	}
	k.line.close()
	return k.file.Cleanup()
}

// writeWindow is how much is handed to the kernel before the window before it
// must be on the disk: unbounded caching is three times slower, and makes the
// last sync last for minutes.
const writeWindow = 32 << 20

// sparse writes records into a file that is all holes.
type sparse struct {
	path string
	file *os.File
	now  extent.Extent // window being filled
	old  extent.Extent // window being written out
}

// write is a stage of a line.
func (s *sparse) write(w work) error {
	if w.buf == nil {
		if !w.patch {
			return nil
		}
		return s.clear(w.Extent)
	}
	if _, err := s.file.WriteAt(w.buf[:w.Len], w.Off); err != nil {
		return explain(s.path, err)
	}
	if w.patch {
		return nil
	}
	if s.now.Len == 0 {
		s.now.Off = w.Off
	}
	s.now.Len = w.End() - s.now.Off
	if s.now.Len >= writeWindow {
		s.turn()
	}
	return nil
}

// turn hands a window over. These are hints: a file system that does not know
// them is synced in the end all the same, and says there what went wrong.
func (s *sparse) turn() {
	startWriting(s.file, s.now.Off, s.now.Len)
	if s.old.Len > 0 {
		waitWritten(s.file, s.old.Off, s.old.Len)
		forget(s.file, s.old.Off, s.old.Len)
	}
	s.old, s.now = s.now, extent.Extent{}
}

// clear makes bytes zero that were written before.
func (s *sparse) clear(e extent.Extent) error {
	if punch(s.file, e.Off, e.Len) == nil {
		return nil
	}
	for e.Len > 0 {
		n := min(e.Len, int64(len(zeros)))
		if _, err := s.file.WriteAt(zeros[:n], e.Off); err != nil {
			return explain(s.path, err)
		}
		e = extent.Extent{Off: e.Off + n, Len: e.Len - n}
	}
	return nil
}

// A wholeSum is the SHA-256 of an image with all its holes.
type wholeSum struct {
	sum   hash.Hash
	size  int64
	at    int64
	stale bool // something came a second time
}

// add is a stage of a line.
func (s *wholeSum) add(w work) error {
	if s.stale = s.stale || w.patch || w.Off < s.at; s.stale {
		return nil
	}
	hashZeros(s.sum, w.Off-s.at)
	if w.buf == nil {
		hashZeros(s.sum, w.Len)
	} else {
		s.sum.Write(w.buf[:w.Len])
	}
	s.at = w.End()
	return nil
}

func (s *wholeSum) end(f *os.File) (string, error) {
	if s.stale {
		return sumOf(f, extent.Extent{Off: 0, Len: s.size})
	}
	hashZeros(s.sum, s.size-s.at)
	return hex.EncodeToString(s.sum.Sum(nil)), nil
}
