package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"lifeboat/clone/codec"
	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/clone/store"
)

// A Packed is an image that can be read only from front to back.
type Packed struct {
	// config
	s    store.Store
	name string
	o    Options
	h    hints
	size int64 // of the disk; -1 = not known

	// state
	once io.ReadCloser // a stream; nil = a file of the store
	done bool          // the stream was given out
}

func openPacked(ctx context.Context, s store.Store, name string, f codec.Format, info store.Info, h hints, o Options) (*Packed, error) {
	p := &Packed{s: s, name: name, o: o, size: -1}
	size, err := p.unpackedSize(ctx, f, info)
	if err != nil {
		return nil, err
	}
	h.fit(name, size, o)
	p.h, p.size = h, max(size, h.size())
	return p, nil
}

// unpackedSize asks the file itself, and meets what cannot be unpacked early.
func (p *Packed) unpackedSize(ctx context.Context, f codec.Format, info store.Info) (int64, error) {
	z, closer, err := p.reader(ctx, f)
	if err != nil {
		return 0, err
	}
	defer closer.Close()
	defer z.Close()
	if z.Format == codec.Raw {
		return info.Size, nil
	}
	return z.Size, nil
}

// reader opens the file anywhere where it is near, or a zip file, whose
// directory lies at its end; else as a stream.
func (p *Packed) reader(ctx context.Context, f codec.Format) (*codec.Reader, io.Closer, error) {
	if store.Local(p.s) || f == codec.Zip {
		z, closer, err := p.readerAt(ctx)
		if !errors.Is(err, store.ErrNoRange) {
			return z, closer, err
		}
	}
	body, _, err := store.Resume(ctx, p.s, p.name, p.o.Resume)
	if err != nil {
		return nil, nil, err
	}
	z, err := codec.NewMemberReader(body, p.o.Member, p.o.Limits)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", p.name, err), body.Close())
	}
	return z, body, nil
}

func (p *Packed) readerAt(ctx context.Context) (*codec.Reader, io.Closer, error) {
	file, size, err := store.ReaderAt(ctx, p.s, p.name, p.o.Resume)
	if err != nil {
		return nil, nil, err
	}
	z, err := codec.OpenAt(file, size, p.o.Member, p.o.Limits)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", p.name, err), file.Close())
	}
	return z, file, nil
}

// Head implements Source.
func (p *Packed) Head() *manifest.Head { return p.h.head(p.size) }

// Size implements Source.
func (p *Packed) Size() int64 { return p.size }

// Used implements Source.
func (p *Packed) Used() (extent.Set, bool) { return p.h.used() }

// Close implements Source.
func (p *Packed) Close() error {
	if p.once != nil {
		return p.once.Close()
	}
	return nil
}

// Open implements Source. It unpacks all, up to the last byte, because only
// there the checksums stand; what is not wanted is not yielded.
func (p *Packed) Open(ctx context.Context, want extent.Set) (Pass, error) {
	if p.once != nil {
		if p.done {
			return nil, fmt.Errorf("%s: %w", p.name, ErrOnce)
		}
		p.done = true
	}
	content := ""
	if p.h.side != nil {
		content = p.h.side.Content.SHA256
	}
	ranges, kind := p.h.ranges()
	if content != "" {
		ranges = nil // one digest is enough
	}
	c := newChecker(p.name, ranges, kind, content != "" || p.o.SHA256 != "")
	u := &unpacking{p: p}
	if p.o.SHA256 != "" {
		u.file = sha256.New()
	}
	return newPass(ctx, want, &p.h, p.o, u.produce, c, func() error { return c.end(content, p.o.SHA256, u.sum) }), nil
}

// unpacking is one pass's way through the file.
type unpacking struct {
	p    *Packed
	file hash.Hash // of the file as it lies there; nil = not wanted
	sum  string    // of it, when all was read
}

func (u *unpacking) produce(ctx context.Context, to chan<- piece) error {
	in := newReadAhead(ctx, u.open, u.file)
	defer in.Close(u.p.once == nil)
	z, err := codec.NewMemberReader(in, u.p.o.Member, u.p.o.Limits)
	if err != nil {
		return fmt.Errorf("%s: %w", u.p.name, err)
	}
	defer z.Close()
	if z.Format == codec.Zip && u.p.once != nil && u.p.o.Member == "" {
		u.p.o.logf("%s: of the zip file its first image is taken, %s", u.p.name, z.Name)
	}
	size, err := u.unpack(ctx, z, to)
	if err != nil {
		return err
	}
	if u.p.size >= 0 && size != u.p.size {
		return fmt.Errorf("%s: unpacks to %d bytes, %d were announced", u.p.name, size, u.p.size)
	}
	if u.file != nil {
		if _, err := io.Copy(io.Discard, in); err != nil {
			return err
		}
		u.sum = hex.EncodeToString(u.file.Sum(nil))
	}
	return nil
}

func (u *unpacking) open(ctx context.Context) (io.ReadCloser, error) {
	if u.p.once != nil {
		return io.NopCloser(u.p.once), nil
	}
	body, _, err := store.Resume(ctx, u.p.s, u.p.name, u.p.o.Resume)
	return body, err
}

// unpack sends what the decoder gives, and returns how much that was.
func (u *unpacking) unpack(ctx context.Context, z io.Reader, to chan<- piece) (int64, error) {
	off := int64(0)
	for {
		p := piece{extent.Extent{Off: off}, extent.Buffer()}
		n, err := io.ReadFull(z, p.buf[:])
		p.Len = int64(n)
		off += p.Len
		end := err == io.EOF || err == io.ErrUnexpectedEOF
		switch {
		case err != nil && !end:
			p.release()
			return off, fmt.Errorf("%s: at byte %d of its content: %w", u.p.name, off, err)
		case n == 0:
			p.release()
			return off, nil
		case u.p.size >= 0 && off > u.p.size:
			p.release()
			return off, fmt.Errorf("%s: unpacks to more than the %d bytes that were announced", u.p.name, u.p.size)
		}
		if err := send(ctx, to, p); err != nil || end {
			return off, err
		}
	}
}
