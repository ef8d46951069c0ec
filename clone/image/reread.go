package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sync/errgroup"

	"lifeboat/clone/extent"
)

// rereaders is how many ranges are read back at once: one is hashed while the
// next comes from the disk.
const rereaders = 2

// settle makes sure that what is read of f next comes from the disk.
func settle(path string, f *os.File, size int64) error {
	if err := f.Sync(); err != nil {
		return explain(path, err)
	}
	forget(f, 0, size) // a hint: a file system that does not know it is read from memory
	return nil
}

// rereadRaw holds the ranges of an image that has no name yet against the
// digests that were made when they were written.
func (k *rawSink) rereadRaw(ctx context.Context, ranges []Range) error {
	if err := settle(k.path, k.file.File, k.head.Size); err != nil {
		return err
	}
	var all extent.Set
	for _, r := range ranges {
		all = all.Append(r.Extent)
	}
	k.o.Meter.Phase("verify", all.Bytes())
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(rereaders)
	for _, r := range ranges {
		if inner.Err() != nil {
			break
		}
		group.Go(func() error { return k.reread(inner, r) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

func (k *rawSink) reread(ctx context.Context, r Range) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	got, err := sumOf(k.file, r.Extent)
	if err != nil {
		return fmt.Errorf("%s: read back %d bytes at %d: %w", k.path, r.Len, r.Off, err)
	}
	if got != r.Sum {
		return &LostError{k.path, r.Extent}
	}
	k.o.Meter.Add(r.Len)
	return nil
}

// rereadPacked unpacks an image (one of this machine has no name yet), and holds
// its content against the digest of what went into it.
func (k *packedSink) rereadPacked(ctx context.Context, s *Sidecar) error {
	body, err := k.dest.back(ctx, k.out.size)
	if err != nil {
		return err
	}
	defer body.Close()
	p := &Packed{name: k.path, size: k.head.Size, h: hints{side: s}, once: body}
	k.o.Meter.Phase("verify", s.Content.Size)
	pass, err := p.Open(ctx, extent.Of(extent.Extent{Off: 0, Len: k.head.Size}))
	if err != nil {
		return err
	}
	at := int64(0)
	for err == nil {
		var rec extent.Record
		if rec, err = pass.Next(ctx); err == nil {
			k.o.Meter.Add(rec.End() - at)
			at = rec.End()
		}
	}
	var wrong *DigestError
	switch {
	case err == io.EOF:
		err = nil
	case errors.As(err, &wrong):
		err = &LostError{k.path, extent.Extent{Off: 0, Len: k.out.size}}
	default:
		err = fmt.Errorf("read back: %w", err)
	}
	return errors.Join(err, pass.Close())
}

// A LostError says that an image does not hold what was written to it.
type LostError struct {
	Path string
	extent.Extent
}

func (e *LostError) Error() string {
	return fmt.Sprintf("%s: bytes %d to %d read back differently than they were written: the disk that it lies on is faulty", e.Path, e.Off, e.End())
}
