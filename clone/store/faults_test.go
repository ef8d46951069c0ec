package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lifeboat/clone/store"
)

var (
	content = strings.Repeat("the quick brown fox jumps over the lazy dog\n", 20_000)
	quick   = store.ResumeOptions{Stall: 100 * time.Millisecond, Backoff: time.Millisecond, Tries: 4}
)

func wantIs(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

// A faulty server does what its handler says, with the number of the request;
// true means to serve the file well.
type faulty func(n int, w http.ResponseWriter, r *http.Request) bool

func (f faulty) store(t *testing.T) (store.Store, *atomic.Int64) {
	t.Helper()
	var count atomic.Int64
	return serve(t, "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if f(int(count.Add(1)), w, r) {
			http.ServeContent(w, r, "card.img", time.Time{}, strings.NewReader(content))
		}
	})), &count
}

// breaker lets n bytes through and cuts the connection.
type breaker struct {
	http.ResponseWriter
	left int
}

func (b *breaker) Write(p []byte) (int, error) {
	if len(p) > b.left {
		b.ResponseWriter.Write(p[:b.left])
		http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	b.left -= len(p)
	return b.ResponseWriter.Write(p)
}

func breaking(n int, w http.ResponseWriter, r *http.Request) {
	http.ServeContent(&breaker{w, n}, r, "card.img", time.Time{}, strings.NewReader(content))
}

// resume reads all of a stream.
func resume(t *testing.T, s store.Store, o store.ResumeOptions) (string, error) {
	t.Helper()
	body, _, err := store.Resume(t.Context(), s, "card.img", o)
	if err != nil {
		return "", err
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	return string(b), err
}

func TestResumeOutlives(t *testing.T) {
	t.Parallel()
	stall := func(w http.ResponseWriter, r *http.Request, head string) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		io.WriteString(w, head)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	for name, f := range map[string]faulty{
		"drops": func(n int, w http.ResponseWriter, r *http.Request) bool {
			breaking(100_000, w, r) // nine times
			return false
		},
		"drops of a server without ranges": func(n int, w http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Range")
			breaking(300_000*n, w, r)
			return false
		},
		"a stall before the head": func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				<-r.Context().Done()
			}
			return n > 1
		},
		"a stall in the middle": func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				stall(w, r, content[:70_000])
			}
			return n > 1
		},
		"busy servers": func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n < 4 {
				http.Error(w, "later", http.StatusServiceUnavailable)
			}
			return n >= 4
		},
		"shorter parts than asked for": func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 1 {
				var off int
				fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &off)
				end := min(off+200_000, len(content))
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", off, end-1, len(content)))
				w.WriteHeader(http.StatusPartialContent)
				io.WriteString(w, content[off:end])
				return false
			}
			breaking(100, w, r)
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := f.store(t)
			got, err := resume(t, s, quick)
			if err != nil || got != content {
				t.Errorf("got %d bytes and %v, want %d", len(got), err, len(content))
			}
		})
	}
}

type refusalCase struct {
	name  string
	f     faulty
	is    error
	says  string
	tries int64
}

// second breaks the first connection, and answers the next with f.
func second(f func(w http.ResponseWriter, r *http.Request) bool) faulty {
	return func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 1 {
			breaking(100_000, w, r)
			return false
		}
		return f(w, r)
	}
}

func refusals() []refusalCase {
	return []refusalCase{
		{"another ETag", second(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("ETag", `"2"`)
			return true
		}), store.ErrChanged, "changed", 2},
		{"another part", second(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 5-%d/%d", len(content)-1, len(content)))
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, content[5:])
			return false
		}), nil, "bytes from 100000 were asked for", 2},
		{"another size", second(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 100000-%d/%d", len(content), len(content)+1))
			w.WriteHeader(http.StatusPartialContent)
			return false
		}), store.ErrChanged, "changed", 2},
		{"gone", second(func(w http.ResponseWriter, r *http.Request) bool {
			http.NotFound(w, r)
			return false
		}), fs.ErrNotExist, "404", 2},
		{"no progress", func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				breaking(100_000, w, r)
			}
			panic(http.ErrAbortHandler)
		}, nil, "given up at byte 100000 after 4 tries", 5},
	}
}

func TestResumeRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range refusals() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, count := c.f.store(t)
			got, err := resume(t, s, quick)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want %q", err, c.says)
			}
			if c.is != nil {
				wantIs(t, err, c.is)
			}
			if !strings.HasPrefix(content, got) {
				t.Errorf("got %d other bytes", len(got))
			}
			if count.Load() > c.tries {
				t.Errorf("got %d requests, want %d", count.Load(), c.tries)
			}
		})
	}
}

func TestPagesAreNotImages(t *testing.T) {
	t.Parallel()
	page := "<!DOCTYPE html><html><body>Sign in to use this network</body></html>"
	for name, kind := range map[string]string{"labelled": "text/html; charset=utf-8", "not labelled": "application/octet-stream"} {
		s, count := faulty(func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", kind)
			io.WriteString(w, page)
			return false
		}).store(t)
		_, err := resume(t, s, quick)
		if err == nil || !strings.Contains(err.Error(), "/card.img: the server says 200 and sends a web page") {
			t.Errorf("%s: got %v", name, err)
		}
		if count.Load() != 1 {
			t.Errorf("%s: got %d requests, want 1", name, count.Load())
		}
		if body, err := s.Open(t.Context(), "index.html", 0); err != nil {
			t.Errorf("%s: a page that is wanted: %v", name, err)
		} else {
			body.Close()
		}
	}
}

func TestStatusesAreSentences(t *testing.T) {
	t.Parallel()
	for code, is := range map[int]error{404: fs.ErrNotExist, 410: fs.ErrNotExist, 401: fs.ErrPermission, 403: fs.ErrPermission, 500: nil} {
		s, _ := faulty(func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, "<html>no</html>", code)
			return false
		}).store(t)
		_, err := s.Open(t.Context(), "card.img", 0)
		var status *store.StatusError
		if !errors.As(err, &status) || status.Code != code || !strings.Contains(err.Error(), "/card.img: the server says "+fmt.Sprint(code)) {
			t.Errorf("got %v, want the status %d", err, code)
		}
		if is != nil {
			wantIs(t, err, is)
		}
	}
}

func TestNoCredentialsInMessages(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there now
	s, name, err := store.Open("http://pi:secret@"+l.Addr().String()+"/card.img?sig=secret", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	o := quick
	o.Logf = func(format string, args ...any) { fmt.Fprintf(&log, format+"\n", args...) }
	_, _, rerr := store.Resume(t.Context(), s, name, o)
	_, serr := store.Stat(t.Context(), s, name)
	perr := s.Put(t.Context(), name, 0, strings.NewReader(""))
	all := fmt.Sprint(rerr, serr, perr, log.String())
	if strings.Contains(all, "secret") || strings.Contains(all, "pi:") || !strings.Contains(all, l.Addr().String()+"/card.img") {
		t.Errorf("got %s", all)
	}
}

// A server that accepts and says nothing must not hold anybody.
func TestDeadServersDoNotHang(t *testing.T) {
	t.Parallel()
	s, _ := faulty(func(_ int, _ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return false
	}).store(t)
	if _, err := resume(t, s, quick); err == nil || !strings.Contains(err.Error(), "nothing came") {
		t.Errorf("stalled: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, _, err := store.Resume(ctx, s, "card.img", store.ResumeOptions{})
	wantIs(t, err, context.Canceled)
}

func TestReaderAtOutlivesDropsAndMindsChanges(t *testing.T) {
	t.Parallel()
	var tag atomic.Int64
	s, _ := faulty(func(n int, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, tag.Load()))
		if n%2 == 0 {
			breaking(1000, w, r)
		}
		return n%2 == 1
	}).store(t)
	r, size, err := store.ReaderAt(t.Context(), s, "card.img", quick)
	if err != nil || size != int64(len(content)) {
		t.Fatalf("got size %d and %v", size, err)
	}
	defer r.Close()
	p := make([]byte, 200_000)
	for _, off := range []int64{500_000, 3, 0} {
		if n, err := r.ReadAt(p, off); err != nil || string(p[:n]) != content[off:off+int64(n)] || n != len(p) {
			t.Errorf("at %d: got %d bytes and %v", off, n, err)
		}
	}
	tag.Store(2)
	_, err = r.ReadAt(p, 0)
	wantIs(t, err, store.ErrChanged)
}

func TestClientStaysInTLS(t *testing.T) {
	t.Parallel()
	c := store.NewClient()
	req := func(u string) *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if err := c.CheckRedirect(req("http://b/"), []*http.Request{req("https://a/")}); err == nil {
		t.Error("from https to http: got no error")
	}
	if err := c.CheckRedirect(req("https://b/"), []*http.Request{req("http://a/")}); err != nil {
		t.Errorf("from http to https: %v", err)
	}
}
