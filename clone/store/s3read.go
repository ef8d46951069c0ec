package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// openRange implements ranger.
func (s *S3) openRange(ctx context.Context, name string, off, n int64, want Info) (opened, error) {
	key, err := s.key(name)
	if err != nil {
		return opened{}, err
	}
	if off < 0 {
		return opened{}, behindEnd(s.url(name), off, want.Size)
	}
	opts := minio.GetObjectOptions{}
	for k, v := range rangeHeader(off, n, Info{}) {
		opts.Set(k, v[0])
	}
	if want.Tag != "" {
		opts.Set("If-Match", `"`+want.Tag+`"`)
	}
	inner, w := newWatch(ctx, s.patience)
	body, found, header, err := s.client.GetObject(inner, s.bucket, key, opts)
	w.rest()
	if err != nil {
		err = s.explain(inner, name, err)
		w.end()
		return s.refused(ctx, name, off, want, err)
	}
	o := opened{body: &watched{body, w}, info: Info{name, found.Size, found.LastModified, found.ETag}}
	if err := s.judge(&o, header.Get("Content-Range"), off, want); err != nil {
		o.body.Close()
		return opened{}, err
	}
	return o, nil
}

// judge tells where a body begins, and whether it is of the wanted file.
func (s *S3) judge(o *opened, span string, off int64, want Info) error {
	if span != "" {
		first, size, err := contentRange(span)
		if err != nil || first != off {
			return &refusal{fmt.Errorf("%s: bytes from %d were asked for, the server sends %q", s.url(o.info.Name), off, span)}
		}
		o.info.Size, o.at, o.ranges = size, first, true
	} else if off > o.info.Size {
		return &refusal{behindEnd(s.url(o.info.Name), off, o.info.Size)}
	}
	if !want.same(o.info) {
		return &refusal{fmt.Errorf("%s: %w", s.url(o.info.Name), ErrChanged)}
	}
	return nil
}

// refused minds that there is no range right at the end of a file, where reading
// is no error, and that a file which is not the wanted one is no answer.
func (s *S3) refused(ctx context.Context, name string, off int64, want Info, err error) (opened, error) {
	var no *S3Error
	if !errors.As(err, &no) {
		return opened{}, err
	}
	switch no.Status {
	case http.StatusPreconditionFailed:
		return opened{}, &refusal{fmt.Errorf("%s: %w", s.url(name), ErrChanged)}
	case http.StatusRequestedRangeNotSatisfiable:
	default:
		return opened{}, err
	}
	info, err := s.head(ctx, name)
	switch {
	case err != nil:
		return opened{}, err
	case !want.same(info):
		return opened{}, &refusal{fmt.Errorf("%s: %w", s.url(name), ErrChanged)}
	case off != info.Size:
		return opened{}, &refusal{behindEnd(s.url(name), off, info.Size)}
	}
	return opened{http.NoBody, info, off, true}, nil
}

// watched ends its request with the body.
type watched struct {
	io.ReadCloser
	w *watch
}

func (b *watched) Close() error {
	defer b.w.end()
	return b.ReadCloser.Close()
}
