package store_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lifeboat/clone/store"
	"lifeboat/internal/fixture"
)

// s3Proxy stands before a server and lets a test have its way with requests.
func s3Proxy(t *testing.T, to string, wrap func(w http.ResponseWriter, r *http.Request, next http.Handler)) string {
	t.Helper()
	u, err := url.Parse("http://" + to)
	if err != nil {
		t.Fatal(err)
	}
	next := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { wrap(w, r, next) }))
	t.Cleanup(srv.Close)
	return srv.URL
}

// TestS3PutWantsOnlyPut: a key that may add and nothing else does for Put.
func TestS3PutWantsOnlyPut(t *testing.T) {
	t.Parallel()
	eachS3(t, func(t *testing.T, server *fixture.S3Server) {
		end := s3Proxy(t, server.Addr, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method == http.MethodPut || r.Method == http.MethodPost {
				next.ServeHTTP(w, r)
				return
			}
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
		})
		only, all := s3Store(t, "s3://cards", s3Options(end)), s3Store(t, "s3://cards", s3Options("http://"+server.Addr))
		for _, size := range []int{0, 100, 20 << 20} {
			data := strings.Repeat("x", size)
			if err := only.Put(t.Context(), "card.img", int64(size), strings.NewReader(data)); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			} else if got := readAll(t, all, "card.img"); got != data {
				t.Errorf("%d bytes: got %d", size, len(got))
			}
		}
		_, err := only.Open(t.Context(), "card.img", 0)
		if err == nil || !strings.Contains(err.Error(), "the key may not do this there") {
			t.Errorf("got %v", err)
		}
	})
}

// TestS3OutlivesCuts: lines break in uploads and downloads, and servers are busy.
func TestS3OutlivesCuts(t *testing.T) {
	t.Parallel()
	eachS3(t, func(t *testing.T, server *fixture.S3Server) {
		var count atomic.Int64
		end := s3Proxy(t, server.Addr, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if count.Add(1)%3 == 1 {
				http.Error(w, "later", http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
		line := fixture.NewLine(t, strings.TrimPrefix(end, "http://"))
		s := s3Store(t, "s3://cards", s3Options("http://"+line.Addr))
		line.CutAfter(7<<20, 3)
		if err := s.Put(t.Context(), "card.img", -1, strings.NewReader(strings.Repeat(big, 4))); err != nil {
			t.Fatal(err)
		}
		line.CutAfter(5<<20, 4)
		line.Cut()
		if got := readAll(t, s, "card.img"); got != strings.Repeat(big, 4) {
			t.Errorf("got %d bytes, want %d", len(got), 4*len(big))
		}
	})
}

// TestS3DeadServers: a line that carries nothing holds nobody.
func TestS3DeadServers(t *testing.T) {
	t.Parallel()
	eachS3(t, func(t *testing.T, server *fixture.S3Server) {
		line := fixture.NewLine(t, server.Addr)
		s := s3Store(t, "s3://cards", s3Options("http://"+line.Addr))
		putAll(t, s, map[string]string{"card.img": "old"})
		line.Hold(true)
		for name, op := range map[string]func(context.Context) error{
			"open": func(ctx context.Context) error { _, err := s.Open(ctx, "card.img", 0); return err },
			"stat": func(ctx context.Context) error { _, err := store.Stat(ctx, s, "card.img"); return err },
			"put":  func(ctx context.Context) error { return s.Put(ctx, "card.img", -1, strings.NewReader(big)) },
			"list": func(ctx context.Context) error {
				for _, err := range s.List(ctx, "") {
					return err
				}
				return nil
			},
			"remove": func(ctx context.Context) error { return s.Remove(ctx, "card.img") },
			"clock":  func(ctx context.Context) error { _, err := store.Now(ctx, s); return err },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			start := time.Now()
			if err := op(ctx); err == nil || !strings.Contains(err.Error(), "deadline") || time.Since(start) > 30*time.Second {
				t.Errorf("%s: got %v after %v", name, err, time.Since(start))
			}
			cancel()
		}
		o := s3Options("http://" + line.Addr)
		o.Patience = 50 * time.Millisecond
		_, err := s3Store(t, "s3://cards", o).Open(t.Context(), "card.img", 0)
		if err == nil || !strings.Contains(err.Error(), "not answered for too long") {
			t.Errorf("got %v", err)
		}
		line.Hold(false)
		if got := readAll(t, s, "card.img"); got != "old" {
			t.Errorf("got %q", got)
		}
	})
}

// TestS3MindsChanges: another file under the name is noticed in the middle.
func TestS3MindsChanges(t *testing.T) {
	t.Parallel()
	eachS3(t, func(t *testing.T, server *fixture.S3Server) {
		s := s3Store(t, "s3://cards", s3Options("http://"+server.Addr))
		putAll(t, s, map[string]string{"card.img": content})
		r, _, err := store.ReaderAt(t.Context(), s, "card.img", quick)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := r.ReadAt(make([]byte, 100), 5); err != nil {
			t.Error(err)
		}
		putAll(t, s, map[string]string{"card.img": content + "!"})
		_, err = r.ReadAt(make([]byte, 100), 5)
		wantIs(t, err, store.ErrChanged)
	})
}

// TestS3Sentences are answers that no server here gives.
func TestS3Sentences(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"<Error><Code>RequestTimeTooSkewed</Code></Error>":                                                        "a machine with a wrong clock: ours is ",
		"<Error><Code>AuthorizationHeaderMalformed</Code><Message>no</Message><Region>eu-west-2</Region></Error>": "the bucket lies in the region eu-west-2: say region=eu-west-2",
		"<Error><Code>ExpiredToken</Code></Error>":                                                                "the session token is not valid any more",
		"<Error><Code>InvalidObjectState</Code><Message>It is in a glacier</Message></Error>":                     "the server says 403 InvalidObjectState: It is in a glacier",
		"<html>Sign in</html>": "the key may not do this there",
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(-3*time.Hour).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, body)
		}))
		s := s3Store(t, "s3://cards", s3Options(srv.URL))
		_, err := s.Open(t.Context(), "card.img", 0)
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		srv.Close()
	}
}
