package store

import (
	"context"
	"fmt"
	"io"
)

// A ReaderAtCloser is a file that can be read anywhere. The caller closes it.
type ReaderAtCloser interface {
	io.ReaderAt
	io.Closer
}

// ReaderAt opens a file to be read anywhere, and returns its size in bytes. On
// a server each ReadAt is one request for that range, with the patience of o,
// and ErrChanged where the file became another one; a server that sends only
// whole files is ErrNoRange. The context is that of all later reads.
func ReaderAt(ctx context.Context, s Store, name string, o ResumeOptions) (ReaderAtCloser, int64, error) {
	if l, ok := s.(local); ok {
		file, info, err := l.openFile(name)
		return file, info.Size, err
	}
	r := newStream(ctx, s, name, 0, 1, Info{Size: -1}, o)
	defer r.Close()
	if err := r.connect(); err != nil {
		return nil, 0, err
	}
	if r.info.Size < 0 || r.info.Size > 0 && !r.ranges {
		return nil, 0, fmt.Errorf("%s: %w", name, ErrNoRange)
	}
	return &remote{ctx, s, name, r.info, o}, r.info.Size, nil
}

// remote is a file of a server.
type remote struct {
	ctx  context.Context
	s    Store
	name string
	info Info
	o    ResumeOptions
}

// ReadAt implements io.ReaderAt.
func (r *remote) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, behindEnd(r.name, off, r.info.Size)
	}
	want := p[:max(0, min(int64(len(p)), r.info.Size-off))]
	if len(want) > 0 {
		s := newStream(r.ctx, r.s, r.name, off, off+int64(len(want)), r.info, r.o)
		defer s.Close()
		if n, err := io.ReadFull(s, want); err != nil {
			return n, noEOF(err)
		}
	}
	if len(want) < len(p) {
		return len(want), io.EOF
	}
	return len(want), nil
}

// Close implements io.Closer.
func (r *remote) Close() error { return nil }
