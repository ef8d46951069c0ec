package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
)

// An S3Error is a server's refusal. It is fs.ErrNotExist for a file that is not
// there (not for a bucket), fs.ErrPermission where the key is wrong or may not.
type S3Error struct {
	URL    string // s3://bucket/…
	Code   string // S3's word
	Status int    // HTTP's
	Text   string // a sentence
}

func (e *S3Error) Error() string { return e.URL + ": " + e.Text }

// Is implements the use with errors.Is.
func (e *S3Error) Is(target error) bool {
	switch e.Code {
	case minio.NoSuchKey:
		return target == fs.ErrNotExist
	case minio.NoSuchBucket:
		return false
	case codeNoUser:
		return target == fs.ErrPermission
	}
	return target == fs.ErrPermission && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden)
}

// passing tells whether the server may give another answer in a moment.
func (e *S3Error) passing() bool {
	return e.Status >= 500 && e.Status != http.StatusNotImplemented || e.Status == http.StatusRequestTimeout ||
		e.Status == http.StatusTooManyRequests || e.Code == "RequestTimeout"
}

const (
	s3Tries    = 6
	codeNoUser = "XAdminUserNotFound" // versitygw 1.8, with status 404
)

// try does f, and again where the server or the line to it fails for a moment.
// A try is given up when it makes no progress for longer than patience.
func (s *S3) try(ctx context.Context, name string, patience time.Duration, f func(context.Context, *watch) error) error {
	wait := time.Second / 4
	for try := 1; ; try++ {
		inner, w := newWatch(ctx, patience)
		err := f(inner, w)
		if err != nil {
			err = s.explain(inner, name, err)
		}
		w.end()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", s.url(name), ctx.Err())
		case final(err):
			return err
		case w.progressed:
			try, wait = 1, time.Second/4
		case try == s3Tries:
			return fmt.Errorf("%w (given up after %d tries)", err, try)
		}
		timer := time.NewTimer(wait/2 + rand.N(wait/2+1))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		wait = min(2*wait, maxBackoff)
	}
}

// A watch ends a try that makes no progress.
type watch struct {
	patience   time.Duration
	timer      *time.Timer
	cancel     context.CancelCauseFunc
	progressed bool // of a listing
}

func newWatch(ctx context.Context, patience time.Duration) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &watch{patience: patience, cancel: cancel, timer: time.AfterFunc(patience, func() { cancel(errStalled) })}
}

// touch says that bytes move.
func (w *watch) touch() { w.timer.Reset(w.patience) }

// progress says that something was got that no further try has to get again.
func (w *watch) progress() {
	w.progressed = true
	w.touch()
}

// rest stops the clock: what is waited for is not the server.
func (w *watch) rest() { w.timer.Stop() }

func (w *watch) end() {
	w.timer.Stop()
	w.cancel(nil)
}

// explain makes a sentence of what the library says.
func (s *S3) explain(ctx context.Context, name string, err error) error {
	var said minio.ErrorResponse
	var request *url.Error // prints the whole URL
	switch {
	case context.Cause(ctx) == errStalled:
		return fmt.Errorf("%s: the server %s has not answered for too long: %w", s.url(name), s.endpoint, errStalled)
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", s.url(name), ctx.Err())
	case errors.As(err, &said):
		return &S3Error{URL: s.url(name), Code: said.Code, Status: said.StatusCode, Text: s.sentence(said)}
	case errors.As(err, &request):
		err = request.Err
	}
	return fmt.Errorf("%s at %s: %w", s.url(name), s.endpoint, noEOF(err))
}

func (s *S3) sentence(e minio.ErrorResponse) string {
	switch e.Code {
	case minio.NoSuchKey:
		return fs.ErrNotExist.Error()
	case minio.NoSuchBucket:
		return fmt.Sprintf("%s has no bucket %s", s.endpoint, s.bucket)
	case "InvalidAccessKeyId", codeNoUser:
		return "the server does not know the access key"
	case "SignatureDoesNotMatch":
		return "the secret key does not fit the access key"
	case "ExpiredToken", "InvalidToken", "ExpiredTokenException":
		return "the session token is not valid any more"
	case "RequestTimeTooSkewed":
		return "the server takes nothing from a machine with a wrong clock" + s.seen.apart()
	case minio.AuthorizationHeaderMalformed, minio.InvalidRegion, "PermanentRedirect":
		if e.Region != "" {
			return fmt.Sprintf("the bucket lies in the region %s: say region=%s", e.Region, e.Region)
		}
	case minio.AccessDenied:
		if s.keyless {
			return "the server wants a key, and none was given"
		}
		return "the key may not do this there"
	}
	text := e.Message
	if text == "" {
		text = http.StatusText(e.StatusCode)
	}
	return fmt.Sprintf("the server says %d %s: %s", e.StatusCode, e.Code, text)
}

// answers remembers of a server's answers its clock, and whether it knows us.
type answers struct {
	next http.RoundTripper
	good atomic.Bool // one was not a refusal

	mu   sync.Mutex
	date time.Time // of the server
	seen time.Time // when that was, by ours
}

// RoundTrip implements http.RoundTripper.
func (a *answers) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := a.next.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	if resp.StatusCode < http.StatusMultipleChoices {
		a.good.Store(true)
	}
	if t, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		a.mu.Lock()
		a.date, a.seen = t, time.Now()
		a.mu.Unlock()
	}
	return resp, nil
}

// since is the server's clock now, if it was seen after a moment.
func (a *answers) since(asked time.Time) (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.date.Add(time.Since(a.seen)), a.seen.After(asked)
}

// apart says how wrong our clock is.
func (a *answers) apart() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch gap := a.seen.Sub(a.date).Round(time.Second); {
	case a.date.IsZero():
		return ""
	case gap < 0:
		return fmt.Sprintf(": ours is %v behind", -gap)
	default:
		return fmt.Sprintf(": ours is %v ahead", gap)
	}
}
