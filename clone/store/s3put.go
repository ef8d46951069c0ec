package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

// Amazon S3 User Guide, "Multipart upload limits": 10,000 parts, each but the
// last of 5 MiB and more. All of one size, which some servers want (Cloudflare R2).
const (
	s3Parts     = 10_000
	s3Part      = 16 << 20 // bytes; what is not larger is one request
	s3PartBlind = 32 << 20 // of a file whose size is not known: 335 GB at most
)

// partSize is how a file is cut up.
func partSize(size int64) int64 {
	if size < 0 {
		return s3PartBlind
	}
	const round = 1 << 20
	return max(s3Part, (size/s3Parts+round)/round*round)
}

// Put implements Store: in one request, or in parts of which two are in memory.
// Each part is tried again where the server or the line fails. It wants no more
// than the right to put.
func (s *S3) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	key, err := s.key(name)
	if err != nil {
		return err
	}
	p := &s3Put{s: s, name: name, key: key, part: partSize(size)}
	p.r = bufio.NewReader(&announced{r: &cancelled{ctx, io.NopCloser(r)}, size: size, url: s.url(name)})
	room := p.part
	if size >= 0 {
		room = min(room, size)
	}
	first := make([]byte, room)
	n, more, err := p.read(first)
	switch {
	case err != nil:
	case !more:
		err = p.whole(ctx, first[:n])
	default:
		err = p.parts(ctx, first)
	}
	if err != nil {
		return fmt.Errorf("store %w", err)
	}
	return nil
}

// An s3Put is a file on its way.
type s3Put struct {
	// config
	s    *S3
	name string
	key  string
	part int64
	r    *bufio.Reader

	// state
	id   string // of the upload
	size int64
	done []*minio.CompletePart
}

// read fills buf as far as bytes come, and tells whether there are more.
func (p *s3Put) read(buf []byte) (n int, more bool, err error) {
	n, err = io.ReadFull(p.r, buf)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return n, false, nil
	}
	if err == nil {
		_, err = p.r.Peek(1)
	}
	if err == io.EOF {
		return n, false, nil
	}
	return n, true, err
}

// outgoing lets the watch see that bytes leave. It hides what else a
// bytes.Reader can, so that they pass by here.
type outgoing struct {
	r *bytes.Reader
	w *watch
}

func (b *outgoing) Read(p []byte) (int, error) {
	b.w.touch()
	return b.r.Read(p)
}

func (b *outgoing) Seek(off int64, whence int) (int64, error) { return b.r.Seek(off, whence) }

// whole puts all in one request.
func (p *s3Put) whole(ctx context.Context, data []byte) error {
	sum := hexSum(data)
	return p.s.try(ctx, p.name, p.s.patience, func(ctx context.Context, w *watch) error {
		opts := minio.PutObjectOptions{DisableContentSha256: true} // not chunk by chunk: sum is signed
		body := &outgoing{bytes.NewReader(data), w}
		_, err := p.s.client.PutObject(ctx, p.s.bucket, p.key, body, int64(len(data)), "", sum, opts)
		return err
	})
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// parts puts a file in pieces, of which one is read while one is sent.
func (p *s3Put) parts(ctx context.Context, first []byte) error {
	err := p.s.try(ctx, p.name, p.s.patience, func(ctx context.Context, _ *watch) (err error) {
		p.id, err = p.s.client.NewMultipartUpload(ctx, p.s.bucket, p.key, minio.PutObjectOptions{})
		return err
	})
	if err != nil {
		return err
	}
	if err = p.sendAll(ctx, first); err == nil {
		err = p.complete(ctx)
	}
	if err != nil {
		p.abort(ctx)
	}
	return err
}

func (p *s3Put) sendAll(ctx context.Context, buf []byte) error {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(1)
	spare := make([]byte, p.part)
	n, more := len(buf), true
	var err error
	for err == nil {
		if len(p.done) == s3Parts {
			err = fmt.Errorf("%s: it is larger than the %d bytes that can be put without knowing the size", p.s.url(p.name), s3Parts*p.part)
			break
		}
		data, done := buf[:n], &minio.CompletePart{PartNumber: len(p.done) + 1}
		p.size += int64(n)
		p.done = append(p.done, done)
		group.Go(func() error { return p.send(inner, data, done) }) // when the one before has gone
		if !more || inner.Err() != nil {
			break
		}
		buf, spare = spare, buf
		n, more, err = p.read(buf)
	}
	return errors.Join(err, group.Wait())
}

func (p *s3Put) send(ctx context.Context, data []byte, done *minio.CompletePart) error {
	sum := hexSum(data)
	return p.s.try(ctx, p.name, p.s.patience, func(ctx context.Context, w *watch) error {
		opts := minio.PutObjectPartOptions{Sha256Hex: sum, DisableContentSha256: true}
		body := &outgoing{bytes.NewReader(data), w}
		part, err := p.s.client.PutObjectPart(ctx, p.s.bucket, p.key, p.id, done.PartNumber, body, int64(len(data)), opts)
		done.ETag = part.ETag
		return err
	})
}

// complete has the server put the parts together, which may take as long as
// copying them. Where its answer is lost, the file itself tells.
func (p *s3Put) complete(ctx context.Context) error {
	err := p.s.try(ctx, p.name, p.s.assembly(p.size), func(ctx context.Context, _ *watch) error {
		var parts []minio.CompletePart
		for _, part := range p.done {
			parts = append(parts, *part)
		}
		_, err := p.s.client.CompleteMultipartUpload(ctx, p.s.bucket, p.key, p.id, parts, minio.PutObjectOptions{})
		return err
	})
	var no *S3Error
	if errors.As(err, &no) && no.Code == minio.NoSuchUpload {
		if info, serr := p.s.Stat(ctx, p.name); serr == nil && info.Size == p.size {
			return nil
		}
	}
	return err
}

// Move copies a file on the server, and removes the first one: the key must be
// allowed to read, put and delete.
func (s *S3) Move(ctx context.Context, from, to string) error {
	dst, err := s.key(to)
	if err != nil {
		return err
	}
	info, err := s.Stat(ctx, from)
	if err != nil {
		return err
	}
	err = s.try(ctx, to, s.assembly(info.Size), func(ctx context.Context, _ *watch) error {
		_, err := s.client.ComposeObject(ctx, minio.CopyDestOptions{Bucket: s.bucket, Object: dst}, minio.CopySrcOptions{
			Bucket: s.bucket, Object: s.prefix + from, MatchETag: info.Tag,
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("copy %s: %w", s.url(from), err)
	}
	return s.Remove(ctx, from)
}

// assembly is how long a server may be silent while it copies bytes.
func (s *S3) assembly(size int64) time.Duration {
	return s.patience + time.Duration(size/(10<<20))*time.Second
}

// abort has the server forget the parts. A key that may not, or a server that
// cannot be reached, leaves them to the bucket's own rule for such.
func (p *s3Put) abort(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	p.s.client.AbortMultipartUpload(ctx, p.s.bucket, p.key, p.id)
}
