package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"mime"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// An HTTP store reads files of a web server. It cannot write, and not list.
type HTTP struct {
	base   *url.URL
	client *http.Client
}

var _ Store = (*HTTP)(nil)

// NewHTTP is the store of the files below base, whose user, password and query
// go with every request and into no message. A nil client means that of
// NewClient.
func NewHTTP(base *url.URL, client *http.Client) *HTTP {
	if client == nil {
		client = NewClient()
	}
	return &HTTP{base, client}
}

// NewClient makes a client that waits for a dead server for seconds, not for
// ever. It has no limit for a whole download: Resume minds one that stalls.
func NewClient() *http.Client {
	only1 := new(http.Protocols)
	only1.SetHTTP1(true) // one long stream a connection gains nothing from HTTP/2
	dial := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           dial.DialContext,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			IdleConnTimeout:       30 * time.Second,
			MaxIdleConnsPerHost:   4,
			DisableCompression:    true,
			Protocols:             only1,
		},
		CheckRedirect: redirect,
	}
}

// redirect follows a server to another place, but not out of TLS.
func redirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("the server sends in circles: ten redirections")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("the server sends from https to a place without encryption")
	}
	return nil
}

// A StatusError is a server's refusal. It is fs.ErrNotExist for 404 and 410,
// fs.ErrPermission for 401 and 403.
type StatusError struct {
	URL  string // without user, password and query
	Code int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: the server says %d %s", e.URL, e.Code, http.StatusText(e.Code))
}

// Is implements the use with errors.Is.
func (e *StatusError) Is(target error) bool {
	switch e.Code {
	case http.StatusNotFound, http.StatusGone:
		return target == fs.ErrNotExist
	case http.StatusUnauthorized, http.StatusForbidden:
		return target == fs.ErrPermission
	}
	return false
}

// Open implements Store.
func (h *HTTP) Open(ctx context.Context, name string, off int64) (io.ReadCloser, error) {
	o, err := h.openRange(ctx, name, off, -1, Info{Size: -1})
	if err != nil {
		return nil, err
	}
	return &skipper{&cancelled{ctx, o.body}, off - o.at}, nil
}

// Put implements Store.
func (h *HTTP) Put(_ context.Context, name string, _ int64, _ io.Reader) error {
	return h.cannot("write", name)
}

// Remove implements Store.
func (h *HTTP) Remove(_ context.Context, name string) error { return h.cannot("remove", name) }

// List implements Store.
func (h *HTTP) List(_ context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) { yield(Info{}, h.cannot("list", prefix)) }
}

func (h *HTTP) cannot(verb, name string) error {
	return fmt.Errorf("%s %s: a web server is read only, file by file: %w", verb, printable(h.url(name)), errors.ErrUnsupported)
}

// Stat asks for the head of a file, or where a server does not know HEAD, for
// its first byte.
func (h *HTTP) Stat(ctx context.Context, name string) (Info, error) {
	resp, err := h.do(ctx, http.MethodHead, name, nil)
	if err != nil {
		return Info{}, err
	}
	resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return h.info(name, resp, resp.ContentLength), notPage(h.url(name), resp)
	case http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusForbidden:
		o, err := h.openRange(ctx, name, 0, 1, Info{Size: -1})
		if err == nil {
			o.body.Close()
		}
		return o.info, err
	}
	return Info{}, &StatusError{printable(h.url(name)), resp.StatusCode}
}

func (h *HTTP) do(ctx context.Context, method, name string, header http.Header) (*http.Response, error) {
	u := h.url(name)
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("the name %q leads out of %s: %w", name, printable(h.base), fs.ErrInvalid)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: not a URL", printable(u))
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := h.client.Do(req)
	if err != nil {
		var ue *url.Error // prints the URL with its query
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("%s: %w", printable(u), err)
	}
	return resp, nil
}

func (h *HTTP) info(name string, resp *http.Response, size int64) Info {
	t, _ := http.ParseTime(resp.Header.Get("Last-Modified"))
	return Info{Name: name, Size: size, Time: t, Tag: resp.Header.Get("ETag")}
}

// url is where a file lies.
func (h *HTTP) url(name string) *url.URL {
	u := *h.base
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	raw := strings.TrimSuffix(u.EscapedPath(), "/")
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + name
	u.RawPath = raw + "/" + strings.Join(parts, "/")
	return &u
}

// splitURL cuts the last element off.
func splitURL(u *url.URL) (base *url.URL, name string) {
	b := *u
	raw := u.EscapedPath()
	cut := strings.LastIndexByte(raw, '/') + 1
	name, _ = url.PathUnescape(raw[cut:])
	b.Path, _ = url.PathUnescape(raw[:cut])
	b.RawPath = raw[:cut]
	b.Fragment, b.RawFragment = "", ""
	return &b, name
}

// printable is a URL without its secrets: user, password, and a query, where
// signed links have theirs.
func printable(u *url.URL) string {
	p := *u
	p.User, p.Fragment, p.RawFragment = nil, "", ""
	query := p.RawQuery != ""
	p.RawQuery = ""
	if query {
		return p.String() + "?…"
	}
	return p.String()
}

// notPage refuses a page that says something to a person: the sign-in of a
// hotel, or a 404 that claims to be a 200.
func notPage(u *url.URL, resp *http.Response) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind == "text/html" && !pageName(u.Path) {
		return pageError(u, resp.StatusCode)
	}
	return nil
}

func pageName(name string) bool {
	ext := strings.ToLower(path.Ext(name))
	return ext == ".html" || ext == ".htm"
}

func pageError(u *url.URL, status int) error {
	return &refusal{fmt.Errorf("%s: the server says %d and sends a web page, not a file", printable(u), status)}
}

// A refusal is an answer that another try will not change.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }
