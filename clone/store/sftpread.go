package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/pkg/sftp"
)

// What is asked for at once: little at first, for who only looks at the begin of
// a file, then as much as keeps a long way to the server full.
const (
	firstPiece = 64 << 10
	mostPiece  = 1 << 20
)

// openRange implements ranger.
func (s *SFTP) openRange(ctx context.Context, name string, off, n int64, want Info) (opened, error) {
	type found struct {
		file *sftp.File
		st   fs.FileInfo
	}
	f, err := ask(ctx, s, name, func(c *sftp.Client, at string) (found, error) {
		file, err := c.Open(at)
		if err != nil {
			return found{}, err
		}
		st, err := file.Stat()
		if err == nil {
			err = ctx.Err() // nobody waits for it any more
		}
		if err != nil {
			file.Close()
		}
		return found{file, st}, err
	})
	if err != nil {
		return opened{}, err
	}
	b := &sftpBody{ctx: ctx, s: s, name: name, file: f.file, off: off, end: f.st.Size(), piece: firstPiece}
	info := infoOf(name, f.st)
	switch {
	case !f.st.Mode().IsRegular():
		err = &refusal{fmt.Errorf("%s is not a file", s.url(name))}
	case !want.same(info):
		err = &refusal{fmt.Errorf("%s: %w", s.url(name), ErrChanged)}
	case off < 0 || off > info.Size:
		err = &refusal{behindEnd(s.url(name), off, info.Size)}
	}
	if err != nil {
		b.Close()
		return opened{}, err
	}
	if n >= 0 {
		b.end = min(b.end, off+n)
	}
	return opened{b, info, off, true}, nil
}

// An sftpBody reads a file from off to end. While one piece is read by its user,
// the next is on its way.
type sftpBody struct {
	// config
	ctx  context.Context
	s    *SFTP
	name string
	file *sftp.File
	end  int64

	// state
	off   int64 // that is asked for next
	piece int64
	next  chan filled // a piece on its way; nil = none
	have  []byte
	err   error
}

type filled struct {
	data []byte
	err  error
}

// Read implements io.Reader.
func (b *sftpBody) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	for len(b.have) == 0 && b.err == nil {
		b.err = b.more()
	}
	if len(b.have) == 0 {
		return 0, b.err
	}
	n := copy(p, b.have)
	b.have = b.have[n:]
	return n, nil
}

// more waits for a piece.
func (b *sftpBody) more() error {
	if b.next == nil && !b.fetch() {
		return io.EOF
	}
	timer := time.NewTimer(b.s.o.Patience)
	defer timer.Stop()
	select {
	case f := <-b.next:
		b.next = nil
		b.have = f.data
		if f.err != nil {
			return f.err
		}
		b.fetch()
		return nil
	case <-b.ctx.Done():
		return b.ctx.Err()
	case <-timer.C:
		return fmt.Errorf("%s: the server has not answered for too long: %w", b.s.url(b.name), errStalled)
	}
}

// fetch asks for the next piece; false = there is none. The goroutine ends with
// the answer, or with the connection.
func (b *sftpBody) fetch() bool {
	off, n := b.off, min(b.piece, b.end-b.off)
	if n <= 0 {
		return false
	}
	next := make(chan filled, 1)
	b.next = next
	b.off += n
	b.piece = min(2*b.piece, mostPiece)
	go func() {
		data := make([]byte, n)
		got, err := b.file.ReadAt(data, off)
		switch {
		case int64(got) == n:
			err = nil
		case err == nil || errors.Is(err, io.EOF):
			err = fmt.Errorf("%s: it ended at byte %d: %w", b.s.url(b.name), off+int64(got), io.ErrUnexpectedEOF)
		default:
			err = fmt.Errorf("%s: read at %d: %w", b.s.url(b.name), off, noEOF(err))
		}
		next <- filled{data[:got], err}
	}()
	return true
}

// Close lets the file go. The server's answer is not waited for.
func (b *sftpBody) Close() error {
	if b.err == nil {
		b.err = fs.ErrClosed
	}
	b.have = nil
	go b.file.Close()
	return nil
}
