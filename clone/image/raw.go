package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/clone/store"
	"lifeboat/internal/atomicfile"
)

// A Raw is an image that is not packed and can be read anywhere.
type Raw struct {
	name string
	file store.ReaderAtCloser
	near store.ReaderAtCloser // file, as a local one is read; else nil
	read io.ReaderAt          // file
	lost *disk.Salvage        // read, where it is a local file; else nil
	size int64
	h    hints
	o    Options

	// of a server, passes are long streams and not many small requests
	s store.Store // nil = a local file
}

func openRaw(ctx context.Context, s store.Store, name string, h hints, o Options) (*Raw, error) {
	file, size, err := store.ReaderAt(context.WithoutCancel(ctx), s, name, o.Resume)
	if err != nil {
		return nil, err
	}
	h.fit(name, size, o)
	r := &Raw{name: name, file: file, read: file, size: size, h: h, o: o}
	if store.Local(s) {
		r.near = pastCache(file)
		r.lost = disk.NewSalvage(r.near, name, o.KeepGoing)
		r.read = r.lost
	} else {
		r.s = s
	}
	return r, nil
}

// pastCache is a file that is read past the page cache, where that can be. A
// file server's is not: the kernel reads ahead over the network.
func pastCache(file store.ReaderAtCloser) store.ReaderAtCloser {
	f, ok := file.(*os.File)
	if !ok || atomicfile.Shared(filepath.Dir(f.Name())) {
		return file
	}
	if r, err := disk.NewReader(f); err == nil {
		return r
	}
	return file
}

// Head implements Source.
func (r *Raw) Head() *manifest.Head { return r.h.head(r.size) }

// Size implements Source.
func (r *Raw) Size() int64 { return r.size }

// Used implements Source.
func (r *Raw) Used() (extent.Set, bool) { return r.h.used() }

// ReadAt reads the disk. It checks no digest: only a pass does.
func (r *Raw) ReadAt(p []byte, off int64) (int, error) { return r.read.ReadAt(p, off) }

// Unreadable is what of e could not be read so far, and was taken as zeros.
func (r *Raw) Unreadable(e extent.Extent) extent.Set {
	if r.lost == nil {
		return nil
	}
	return r.lost.Unreadable(e)
}

// Close implements Source.
func (r *Raw) Close() error {
	if r.near == nil || r.near == r.file {
		return r.file.Close()
	}
	return errors.Join(r.near.Close(), r.file.Close())
}

// Open implements Source. Where digests are known, it reads what they are of:
// the ranges of a bmap that want touches, or all for a digest of the whole.
func (r *Raw) Open(ctx context.Context, want extent.Set) (Pass, error) {
	want = want.Clip(extent.Extent{Off: 0, Len: r.size})
	ranges, kind := r.h.ranges()
	ranges = touched(ranges, want)
	content := ""
	if r.h.side != nil && len(ranges) == 0 {
		content = r.h.side.Content.SHA256
	}
	whole := content != "" || r.o.SHA256 != ""
	read := want
	for _, x := range ranges {
		read = read.Union(extent.Of(x.Extent))
	}
	if whole {
		read = extent.Of(extent.Extent{Off: 0, Len: r.size})
	}
	c := newChecker(r.name, ranges, kind, whole)
	c.lost = r.Unreadable
	p := newPass(ctx, want, &r.h, r.o, r.produce(read), c, func() error { return c.end(content, r.o.SHA256, "") })
	p.lost = func() extent.Set { return r.Unreadable(want.Bounds()).Intersect(want) }
	return p, nil
}

func (r *Raw) produce(read extent.Set) produce {
	if r.s != nil {
		return r.stream(read)
	}
	gap := int64(extent.Gap)
	if r.o.KeepGoing {
		gap = 0 // a medium that fails is asked for nothing that nobody wants
	}
	return func(ctx context.Context, to chan<- piece) error {
		for _, e := range read.Join(gap) {
			if err := r.readLocal(ctx, e, read, to); err != nil {
				return err
			}
		}
		return nil
	}
}

// holePiece is the longest piece of a hole: hashing it must not hold up a cancel.
const holePiece = 64 << 20

// readLocal sends one extent, of which the set is wanted.
func (r *Raw) readLocal(ctx context.Context, e extent.Extent, want extent.Set, to chan<- piece) error {
	for e.Len > 0 {
		data := r.nextData(e)
		for e.Off < data.Off {
			hole := extent.Extent{Off: e.Off, Len: min(data.Off-e.Off, holePiece)}
			if err := send(ctx, to, piece{Extent: hole}); err != nil {
				return err
			}
			e.Off, e.Len = hole.End(), e.Len-hole.Len
		}
		for data.Len > 0 {
			p := piece{data.Piece(), extent.Buffer()}
			if err := extent.ReadWanted(r.read, p.buf[:p.Len], p.Off, want); err != nil {
				p.release()
				return fmt.Errorf("%s: %w", r.name, err)
			}
			if err := send(ctx, to, p); err != nil {
				return err
			}
			data.Off, data.Len = p.End(), data.Len-p.Len
		}
		e = extent.Extent{Off: data.Off, Len: e.End() - data.Off}
	}
	return nil
}

// nextData finds the first run in e that is not a hole; at the end of e, and
// empty, where all is one. A file system that does not tell has no holes.
func (r *Raw) nextData(e extent.Extent) extent.Extent {
	f, ok := r.file.(*os.File)
	if !ok {
		return e
	}
	data, hole, err := seekData(f, e.Off)
	if err != nil {
		return e
	}
	data, hole = min(data, e.End()), min(hole, e.End())
	return extent.Extent{Off: data, Len: hole - data}
}

// worthAJump is how far a stream reads on over what nobody wants, rather than
// ask the server anew.
const worthAJump = 4 << 20

// stream reads from a server.
func (r *Raw) stream(read extent.Set) produce {
	return func(ctx context.Context, to chan<- piece) (err error) {
		var body io.ReadCloser
		at := int64(0)
		defer func() {
			if body != nil {
				body.Close()
			}
		}()
		for _, e := range read {
			if body != nil && e.Off-at > worthAJump {
				body.Close()
				body = nil
			}
			if body == nil {
				if body, _, err = store.ResumeFrom(ctx, r.s, r.name, e.Off, r.o.Resume); err != nil {
					return err
				}
				at = e.Off
			}
			if _, err := io.CopyN(io.Discard, body, e.Off-at); err != nil {
				return err
			}
			for at = e.Off; at < e.End(); {
				p := piece{extent.Extent{Off: at, Len: e.End() - at}.Piece(), extent.Buffer()}
				if _, err := io.ReadFull(body, p.buf[:p.Len]); err != nil {
					p.release()
					return err
				}
				if err := send(ctx, to, p); err != nil {
					return err
				}
				at = p.End()
			}
		}
		return nil
	}
}
