package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// ResumeOptions say how patient a stream is. The zero value is a good one.
type ResumeOptions struct {
	Stall   time.Duration // give a connection up that brings nothing for so long; 0 = 30 s
	Backoff time.Duration // wait before the second try, doubled before each further one up to 30 s; 0 = 1 s
	Tries   int           // without a byte of progress; 0 = 7, which is about a minute
	Logf    func(format string, args ...any)
}

const maxBackoff = 30 * time.Second

func (o ResumeOptions) defaults() ResumeOptions {
	if o.Stall <= 0 {
		o.Stall = 30 * time.Second
	}
	if o.Backoff <= 0 {
		o.Backoff = time.Second
	}
	if o.Tries <= 0 {
		o.Tries = 7
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	return o
}

// Resume reads a file as one stream. A connection that breaks or stalls is
// opened again where it ended; a file that is another one by then is
// ErrChanged. The stream ends with the context, and yields exactly Info.Size
// bytes where that is known. The caller closes it.
func Resume(ctx context.Context, s Store, name string, o ResumeOptions) (io.ReadCloser, Info, error) {
	return ResumeFrom(ctx, s, name, 0, o)
}

// ResumeFrom is Resume from byte off.
func ResumeFrom(ctx context.Context, s Store, name string, off int64, o ResumeOptions) (io.ReadCloser, Info, error) {
	if Local(s) {
		info, err := Stat(ctx, s, name)
		if err != nil {
			return nil, Info{}, err
		}
		body, err := s.Open(ctx, name, off)
		return body, info, err
	}
	r := newStream(ctx, s, name, off, -1, Info{Size: -1}, o)
	if err := r.connect(); err != nil {
		r.Close()
		return nil, Info{}, err
	}
	return r, r.info, nil
}

// A stream is a file from off to end over as many connections as it takes.
type stream struct {
	// config
	s    Store
	name string
	end  int64 // -1 = the file's
	o    ResumeOptions
	ctx  context.Context // of the caller

	// state of the connection
	conn   context.Context
	cancel context.CancelCauseFunc
	body   io.ReadCloser // nil between connections
	skip   int64         // bytes that come before off

	// state of the whole
	info   Info
	off    int64
	fails  int
	ranges bool
	err    error
}

func newStream(ctx context.Context, s Store, name string, off, end int64, info Info, o ResumeOptions) *stream {
	return &stream{s: s, name: name, end: end, o: o.defaults(), ctx: ctx, info: info, off: off, cancel: func(error) {}}
}

var errStalled = errors.New("nothing came for too long")

// Read implements io.Reader.
func (r *stream) Read(p []byte) (int, error) {
	for r.err == nil {
		if err := r.ctx.Err(); err != nil {
			return 0, r.stopped(err)
		}
		if err := r.connect(); err != nil {
			return 0, err
		}
		n, err := r.readSome(p)
		if limit := r.limit(); limit >= 0 && r.off > limit {
			r.err = fmt.Errorf("%s: more than its %d bytes come", r.name, limit)
			continue
		}
		if err != nil {
			r.ended(err)
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, r.err
}

// readSome reads once from the connection, under the eye of the clock.
func (r *stream) readSome(p []byte) (int, error) {
	defer r.watch().Stop()
	if r.skip > 0 {
		n, err := r.body.Read(p[:min(int64(len(p)), r.skip)])
		r.skip -= int64(n)
		return 0, err
	}
	if r.end >= 0 {
		p = p[:min(int64(len(p)), r.end-r.off)]
	}
	n, err := r.body.Read(p)
	if r.off += int64(n); n > 0 {
		r.fails = 0
	}
	if r.end >= 0 && r.off == r.end && err == nil {
		err = io.EOF
	}
	return n, err
}

// watch ends the connection unless it is stopped in time.
func (r *stream) watch() *time.Timer {
	cancel := r.cancel
	return time.AfterFunc(r.o.Stall, func() { cancel(errStalled) })
}

// limit is where the stream ends; -1 = not known.
func (r *stream) limit() int64 {
	if r.end >= 0 {
		return r.end
	}
	return r.info.Size
}

// ended minds how a connection ended: well, or to be opened again.
func (r *stream) ended(err error) {
	limit := r.limit()
	if err == io.EOF && r.skip == 0 && (limit < 0 || r.off == limit) {
		r.err = io.EOF
		return
	}
	if err == io.EOF {
		err = fmt.Errorf("the connection ended at byte %d of %d", r.off, limit)
	}
	if context.Cause(r.conn) == errStalled {
		err = errStalled
	}
	r.drop()
	r.err = r.again(err)
}

// connect opens the file at off, again and again, unless it is open.
func (r *stream) connect() error {
	for r.body == nil && r.err == nil {
		n := int64(-1)
		if r.end >= 0 {
			n = r.end - r.off
		}
		r.conn, r.cancel = context.WithCancelCause(r.ctx)
		timer := r.watch()
		o, err := openRange(r.conn, r.s, r.name, r.off, n, r.info)
		timer.Stop()
		if err != nil {
			if context.Cause(r.conn) == errStalled {
				err = errStalled
			}
			r.cancel(nil)
			r.err = r.again(err)
			continue
		}
		r.body, r.skip, r.ranges = o.body, r.off-o.at, o.ranges
		r.learn(o.info)
	}
	return r.err
}

// learn keeps what the first answer said, and a size that only a later one says.
func (r *stream) learn(now Info) {
	if r.info.Name == "" {
		r.info = now
	}
	if r.info.Size < 0 {
		r.info.Size = now.Size
	}
}

// again waits before the next try; an error ends the stream.
func (r *stream) again(err error) error {
	if ctxErr := r.ctx.Err(); ctxErr != nil {
		return r.stopped(ctxErr)
	}
	if final(err) {
		return err
	}
	if r.fails++; r.fails >= r.o.Tries {
		return fmt.Errorf("%s: given up at byte %d after %d tries: %w", r.name, r.off, r.fails, err)
	}
	wait := min(r.o.Backoff<<(r.fails-1), maxBackoff)
	wait = wait/2 + rand.N(wait/2+1) // a fleet must not come back in step
	r.o.Logf("%s: broken off at byte %d (%v), again in %v", r.name, r.off, err, wait.Round(time.Millisecond))
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-r.ctx.Done():
		return r.stopped(r.ctx.Err())
	case <-timer.C:
		return nil
	}
}

func (r *stream) stopped(err error) error {
	return fmt.Errorf("%s: stopped at byte %d: %w", r.name, r.off, err)
}

// final tells whether another try would give the same answer.
func final(err error) bool {
	var no *refusal
	var status *StatusError
	var dns *net.DNSError
	var s3 *S3Error
	switch {
	case errors.As(err, &s3):
		return !s3.passing()
	case errors.As(err, &status):
		return status.Code < 500 && status.Code != http.StatusRequestTimeout && status.Code != http.StatusTooManyRequests ||
			status.Code == http.StatusNotImplemented
	case errors.As(err, &dns):
		return dns.IsNotFound
	}
	return errors.As(err, &no) || errors.Is(err, ErrChanged) || errors.Is(err, ErrNoRange) ||
		errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported)
}

// drop ends the connection. What still comes is not waited for.
func (r *stream) drop() {
	r.cancel(nil)
	if r.body != nil {
		r.body.Close()
		r.body = nil
	}
}

// Close ends the stream.
func (r *stream) Close() error {
	r.drop()
	if r.err == nil {
		r.err = fs.ErrClosed
	}
	return nil
}
