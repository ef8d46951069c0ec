package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"aead.dev/minisign"
	"golang.org/x/sync/errgroup"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/internal/atomicfile"
)

// Commit implements clone.Sink. Once the record is in the store the snapshot
// exists; an error behind that says so.
func (k *Sink) Commit(ctx context.Context, t *manifest.Tail) error {
	if err := k.wait(ctx); err != nil {
		return err
	}
	tail, err := k.tail(t)
	if err != nil {
		return err
	}
	if err := k.relayAll(ctx); err != nil {
		return err
	}
	if err := k.nameZeros(ctx); err != nil {
		return err
	}
	if err := k.w.flush(ctx); err != nil {
		return err
	}
	if k.o.Verify {
		if err := k.reread(ctx); err != nil {
			return err
		}
	}
	if err := k.w.settle(ctx); err != nil {
		return err
	}
	if err := k.publish(ctx, tail); err != nil {
		return err
	}
	k.stop()
	k.stop = nil
	k.w.close()
	if k.base != nil {
		k.base.Close()
	}
	return k.r.writeCatalog(ctx) // the intents stay: docs/REPOSITORY.md, section 5
}

// tail is the pass's own, with what is in use. What came and is not in use in
// the end, because a live source found it so, becomes zero.
func (k *Sink) tail(t *manifest.Tail) (*manifest.Tail, error) {
	put := k.put.Union(extent.Of(k.again...))
	tail := manifest.Tail{Used: put}
	if t != nil {
		tail = *t
		tail.Digests = nil // the chunks have their own
		if len(t.Used) == 0 {
			tail.Used = put
		}
	}
	if err := tail.Used.Check(k.head.Size); err != nil {
		return nil, fmt.Errorf("what is in use: %w", err)
	}
	for _, e := range put.Subtract(tail.Used) {
		r := extent.Record{Extent: e, Kind: extent.Zero}
		for r.Len > 0 {
			n := r.Off / k.r.config.Chunk
			piece := cut(r, span(n, k.r.config.Chunk, k.head.Size).End())
			k.later.add(n, piece)
			r = behind(r, piece.Len)
		}
	}
	return &tail, nil
}

// relayAll lays on what came late.
func (k *Sink) relayAll(ctx context.Context) error {
	todo := slices.Sorted(maps.Keys(k.later.of))
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(k.r.o.Workers)
	for _, n := range todo {
		if inner.Err() != nil {
			break
		}
		pieces := k.later.remove(n)
		group.Go(func() error { return k.relayPieces(inner, n, pieces) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// nameZeros gives the chunks of zeros their ID, and stores one for casync.
func (k *Sink) nameZeros(ctx context.Context) error {
	buf := k.r.take()
	defer k.r.give(buf)
	clear(buf)
	known := map[int64]ID{}
	for n, id := range k.ids {
		if id != (ID{}) {
			continue
		}
		size := span(int64(n), k.r.config.Chunk, k.head.Size).Len
		if _, ok := known[size]; !ok {
			known[size] = k.r.idOf(buf[:size])
			if err := k.w.keep(ctx, known[size], buf[:size]); err != nil {
				return err
			}
		}
		k.ids[n] = known[size]
	}
	return nil
}

// A LostError says that the store does not hold what was put into it.
type LostError struct{ Err error }

func (e *LostError) Error() string {
	return fmt.Sprintf("read back differently than it was put: where the repository lies is faulty: %v", e.Err)
}
func (e *LostError) Unwrap() error { return e.Err }

// reread reads all chunks that were put.
func (k *Sink) reread(ctx context.Context) error {
	k.o.Meter.Phase("verify", int64(len(k.w.put))*k.r.config.Chunk)
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(k.r.o.Workers)
	for _, id := range k.w.put {
		if inner.Err() != nil {
			break
		}
		group.Go(func() error {
			err := k.r.check(inner, id)
			var damage *DamageError
			if errors.As(err, &damage) {
				return &LostError{err}
			}
			k.o.Meter.Add(k.r.config.Chunk)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// check reads a chunk past the cache, and holds it against its ID.
func (r *Repo) check(ctx context.Context, id ID) error {
	buf := r.take()
	defer r.give(buf)
	packed := packedBuffers.Get().(*bytes.Buffer)
	defer packedBuffers.Put(packed)
	r.uncache(r.chunkName(id))
	err := r.readInto(ctx, packed, r.chunkName(id), r.maxChunkFile())
	if err == nil {
		_, err = r.unpack(buf, id, packed.Bytes())
		return err
	}
	if ctx.Err() != nil {
		return err
	}
	return &DamageError{id, err}
}

// pathed is a store whose files are files of this machine.
type pathed interface {
	Path(name string) (string, error)
}

// Near tells whether the chunks lie on a disk of this machine.
func (r *Repo) Near() bool {
	s, ok := r.s.(pathed)
	if !ok {
		return false
	}
	path, err := s.Path(configName)
	return err == nil && !atomicfile.Shared(filepath.Dir(path))
}

// uncache makes what is read next come from the disk, as far as that can be
// asked for.
func (r *Repo) uncache(name string) {
	if s, ok := r.s.(pathed); ok {
		if path, err := s.Path(name); err == nil {
			dropCache(path)
		}
	}
}

// publish puts the files of the snapshot, the record last.
func (k *Sink) publish(ctx context.Context, tail *manifest.Tail) error {
	r, rec := k.r, &k.rec
	at := rec.stem()
	x := (&index{rec.Size, r.config.Chunk, k.ids}).encode()
	m, err := r.encodeFacts(facts{k.head, tail, k.o.Areas}, at+manifestExt)
	if err != nil {
		return err
	}
	rec.Index, rec.Manifest = boundOf(x), boundOf(m)
	rec.Used, rec.Added, rec.Chunks = tail.Used.Bytes(), k.w.grow, int64(len(k.w.put))
	data, err := r.encodeRecord(rec)
	if err != nil {
		return err
	}
	files := []struct {
		name string
		data []byte
	}{{at + indexExt, x}, {at + manifestExt, m}}
	if k.o.Sign != nil {
		files = append(files, struct {
			name string
			data []byte
		}{at + signatureExt, minisign.Sign(*k.o.Sign, data)})
	}
	for _, f := range files {
		if err := putBytes(ctx, r.s, f.name, f.data); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if err := k.w.check(); err != nil {
		return err
	}
	soon, stop := context.WithTimeout(ctx, r.o.delay) // it must not come into effect later
	defer stop()
	if err := putBytes(soon, r.s, at+recordExt, data); err != nil {
		return fmt.Errorf("%s: %w", at+recordExt, err)
	}
	if err := k.w.check(); err != nil { // it took too long: nothing was promised
		return errors.Join(err, ignoreForbidden(r.s.Remove(context.WithoutCancel(ctx), at+recordExt)))
	}
	k.done = &Snapshot{Record: *rec}
	return nil
}
