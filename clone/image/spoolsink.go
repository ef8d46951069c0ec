package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// A spoolSink takes patches for a packed image: it keeps the disk in a sparse
// file without a name, beside the image's place, and packs it in Commit.
type spoolSink struct {
	// config
	path string
	to   Sink
	o    SinkOptions

	// state
	head  *manifest.Head
	file  *os.File
	out   *sparse
	line  *line
	taken []extent.Extent
	end   int64
}

var _ Patcher = (*spoolSink)(nil)

// Start implements clone.Sink.
func (k *spoolSink) Start(ctx context.Context, h *manifest.Head) error {
	if err := begin(k.path, h, k.o); err != nil {
		return err
	}
	if err := free(k.path, k.o); err != nil {
		return err
	}
	if err := enough(k.path, h.Used()); err != nil {
		return err
	}
	file, err := nameless(k.path)
	if err != nil {
		return err
	}
	if err := file.Truncate(h.Size); err != nil {
		return errors.Join(explain(k.path, err), file.Close())
	}
	k.head, k.file = h, file
	k.out = &sparse{path: k.path, file: file}
	k.line = newLine(context.WithoutCancel(ctx), k.out.write)
	return nil
}

// Put implements clone.Sink.
func (k *spoolSink) Put(ctx context.Context, r extent.Record) error { return k.take(ctx, r, false) }

// Patch implements clone.Patcher.
func (k *spoolSink) Patch(ctx context.Context, r extent.Record) error { return k.take(ctx, r, true) }

func (k *spoolSink) take(ctx context.Context, r extent.Record, patch bool) error {
	if err := fits(k.path, k.head.Size, r); err != nil {
		return err
	}
	if len(k.taken) == cap(k.taken) {
		k.taken = extent.Of(k.taken...)
	}
	k.taken = append(k.taken, r.Extent)
	patch = patch || r.Off < k.end
	k.end = max(k.end, r.End())
	return k.line.put(ctx, r, patch)
}

// Commit implements clone.Sink.
func (k *spoolSink) Commit(ctx context.Context, t *manifest.Tail) error {
	if err := k.line.close(); err != nil {
		return err
	}
	if err := k.to.Start(ctx, k.head); err != nil {
		return err
	}
	for _, e := range extent.Of(k.taken...) {
		if err := k.copy(ctx, e); err != nil {
			return err
		}
	}
	if err := k.to.Commit(ctx, t); err != nil {
		return err
	}
	return k.file.Close()
}

// copy packs an extent.
func (k *spoolSink) copy(ctx context.Context, e extent.Extent) error {
	buf := extent.Buffer()
	defer extent.Release(buf)
	for e.Len > 0 {
		part := e.Piece()
		if _, err := io.ReadFull(io.NewSectionReader(k.file, part.Off, part.Len), buf[:part.Len]); err != nil {
			return fmt.Errorf("spool of %s: read at %d: %w", k.path, part.Off, err)
		}
		if err := k.to.Put(ctx, extent.Record{Extent: part, Data: buf[:part.Len]}); err != nil {
			return err
		}
		e = extent.Extent{Off: part.End(), Len: e.Len - part.Len}
	}
	return nil
}

// Abort implements clone.Sink.
func (k *spoolSink) Abort(ctx context.Context) error {
	err := k.to.Abort(ctx)
	if k.file == nil {
		return err
	}
	k.line.close()
	if cerr := k.file.Close(); !errors.Is(cerr, os.ErrClosed) {
		err = errors.Join(err, cerr)
	}
	return err
}
