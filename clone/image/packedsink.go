package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync/atomic"

	"lifeboat/clone/codec"
	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// A packedSink packs a whole disk, with zeros for what is not in use.
type packedSink struct {
	// config
	path   string
	format codec.Format
	o      SinkOptions
	dest   destination

	// state
	head *manifest.Head
	out  *summed
	pack io.WriteCloser
	sum  hash.Hash
	line *line
	at   int64
}

var _ Sink = (*packedSink)(nil)

// Start implements clone.Sink.
func (k *packedSink) Start(ctx context.Context, h *manifest.Head) error {
	if err := begin(k.path, h, k.o); err != nil {
		return err
	}
	if err := k.dest.free(ctx); err != nil {
		return err
	}
	file, err := k.dest.begin(ctx)
	if err != nil {
		return err
	}
	k.head, k.sum = h, sha256.New()
	k.out = &summed{path: k.path, w: file, sum: sha256.New()}
	if k.pack, err = k.packer(ctx, h.Size); err != nil {
		return errors.Join(err, k.dest.drop(ctx))
	}
	k.line = newLine(context.WithoutCancel(ctx), k.write, k.hash)
	return nil
}

func (k *packedSink) packer(ctx context.Context, size int64) (io.WriteCloser, error) {
	if k.format == codec.XZ {
		return k.o.XZ(context.WithoutCancel(ctx), k.out, k.o.Level)
	}
	return codec.NewWriter(k.out, k.format, codec.Options{Level: k.o.Level, Size: size, Workers: k.o.Workers})
}

// Put implements clone.Sink.
func (k *packedSink) Put(ctx context.Context, r extent.Record) error {
	if err := fits(k.path, k.head.Size, r); err != nil {
		return err
	}
	if r.Off < k.at {
		return fmt.Errorf("%s: bytes %v come behind byte %d: a packed image is written from front to back", k.path, r.Extent, k.at)
	}
	if err := k.fill(ctx, r.Off); err != nil {
		return err
	}
	if r.Kind == extent.Zero {
		return k.fill(ctx, r.End())
	}
	k.at = r.End()
	return k.line.put(ctx, r, false)
}

// fill puts zeros up to byte end, in pieces that a cancel can come between.
func (k *packedSink) fill(ctx context.Context, end int64) error {
	for k.at < end {
		e := extent.Extent{Off: k.at, Len: min(end-k.at, extent.BufferSize)}
		if err := k.line.put(ctx, extent.Record{Extent: e, Kind: extent.Zero}, false); err != nil {
			return err
		}
		k.at = e.End()
	}
	return nil
}

func (w work) bytes() []byte {
	if w.buf == nil {
		return zeros[:w.Len]
	}
	return w.buf[:w.Len]
}

// write and hash are the stages of the line.
func (k *packedSink) write(w work) error {
	_, err := k.pack.Write(w.bytes())
	return err
}

func (k *packedSink) hash(w work) error {
	k.sum.Write(w.bytes())
	return nil
}

// Commit implements clone.Sink.
func (k *packedSink) Commit(ctx context.Context, t *manifest.Tail) error {
	if err := k.fill(ctx, k.head.Size); err != nil {
		return err
	}
	if err := k.line.close(); err != nil {
		return err
	}
	err := k.pack.Close()
	k.pack = nil
	if err == nil {
		err = k.dest.whole()
	}
	if err != nil {
		return err
	}
	s := sidecar(k.head, t, k.o)
	s.File = Sum{k.out.size, hex.EncodeToString(k.out.sum.Sum(nil))}
	s.Content = Sum{k.head.Size, hex.EncodeToString(k.sum.Sum(nil))}
	if k.o.Verify {
		if err := k.rereadPacked(ctx, s); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return k.dest.publish(ctx, s)
}

// Abort implements clone.Sink.
func (k *packedSink) Abort(ctx context.Context) error {
	if k.line == nil {
		return nil
	}
	k.out.dead.Store(true) // the packer has goroutines that end only in Close
	k.dest.halt()
	k.line.close()
	if k.pack != nil {
		k.pack.Close()
	}
	return k.dest.drop(ctx)
}

// summed writes a file and makes its digest on the way.
type summed struct {
	path string
	w    io.Writer
	sum  hash.Hash
	size int64 // bytes
	dead atomic.Bool
}

func (s *summed) Write(p []byte) (int, error) {
	if s.dead.Load() {
		return len(p), nil
	}
	n, err := s.w.Write(p)
	s.sum.Write(p[:n])
	s.size += int64(n)
	if err != nil {
		err = explain(s.path, err)
	}
	return n, err
}
