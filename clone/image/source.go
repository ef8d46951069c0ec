package image

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"lifeboat/clone/codec"
	"lifeboat/clone/store"
)

// Open opens an image in a store, by what its first bytes say, never by its
// name. One that is not packed and can be read anywhere is a *Raw, all others
// are *Packed. The caller closes it; the context is that of the opening only.
func Open(ctx context.Context, s store.Store, name string, o Options) (Source, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	info, err := store.Stat(ctx, s, name)
	if err != nil {
		return nil, err
	}
	if info.Size == 0 {
		return nil, fmt.Errorf("%s: an empty file is no image", name)
	}
	format, err := sniff(ctx, s, name, o)
	if err != nil {
		return nil, err
	}
	h, err := readHints(ctx, s, name, info.Size, o)
	if err != nil {
		return nil, err
	}
	if format == codec.Raw {
		r, err := openRaw(ctx, s, name, h, o)
		if !errors.Is(err, store.ErrNoRange) {
			return r, err
		}
	}
	return openPacked(ctx, s, name, format, info, h, o)
}

func (o Options) check() error {
	if b, err := hex.DecodeString(o.SHA256); err != nil || len(b) != 0 && len(b) != sha256Digits/2 {
		return fmt.Errorf("%q is not a SHA-256 in hex", o.SHA256)
	}
	return nil
}

// sniff looks at the first bytes.
func sniff(ctx context.Context, s store.Store, name string, o Options) (codec.Format, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, _, err := store.Resume(ctx, s, name, o.Resume)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	head := make([]byte, codec.SniffLen)
	n, err := io.ReadFull(body, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return 0, err
	}
	return codec.Sniff(head[:n]), nil
}

// FromStream is the image that comes out of r, plain or packed, once. The name
// is for messages. Close closes r.
func FromStream(r io.ReadCloser, name string, o Options) (*Packed, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return &Packed{name: name, o: o, size: -1, once: r}, nil
}
