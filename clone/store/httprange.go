package store

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// openRange implements ranger. A server that does not know ranges sends all.
func (h *HTTP) openRange(ctx context.Context, name string, off, n int64, want Info) (opened, error) {
	u := h.url(name)
	if off < 0 {
		return opened{}, behindEnd(printable(u), off, want.Size)
	}
	resp, err := h.do(ctx, http.MethodGet, name, rangeHeader(off, n, want))
	if err != nil {
		return opened{}, err
	}
	a := &answer{u: u, resp: resp, want: want, o: opened{body: resp.Body, info: h.info(name, resp, resp.ContentLength)}}
	if err := a.judge(off); err != nil {
		resp.Body.Close()
		return opened{}, err
	}
	return a.o, nil
}

// rangeHeader asks for the bytes only if the file is still the one in want:
// else the server sends all of the new one, which is noticed.
func rangeHeader(off, n int64, want Info) http.Header {
	header := http.Header{}
	if off == 0 && n < 0 {
		return header
	}
	last := ""
	if n >= 0 {
		last = strconv.FormatInt(off+max(n, 1)-1, 10)
	}
	header.Set("Range", fmt.Sprintf("bytes=%d-%s", off, last))
	switch {
	case want.Tag != "" && !strings.HasPrefix(want.Tag, "W/"):
		header.Set("If-Range", want.Tag)
	case want.Tag == "" && !want.Time.IsZero():
		header.Set("If-Range", want.Time.UTC().Format(http.TimeFormat))
	}
	return header
}

// An answer is what a server said to a request for a range.
type answer struct {
	u    *url.URL
	resp *http.Response
	want Info
	o    opened
}

// judge tells what the answer is worth, and where its body begins.
func (a *answer) judge(off int64) error {
	switch a.resp.StatusCode {
	case http.StatusOK:
		if a.want.same(a.o.info) && a.o.info.Size >= 0 && off > a.o.info.Size {
			return &refusal{behindEnd(printable(a.u), off, a.o.info.Size)}
		}
	case http.StatusPartialContent:
		header := a.resp.Header.Get("Content-Range")
		first, size, err := contentRange(header)
		if err != nil || first != off {
			return &refusal{fmt.Errorf("%s: bytes from %d were asked for, the server sends %q", printable(a.u), off, header)}
		}
		a.o.info.Size, a.o.at, a.o.ranges = size, off, true
	case http.StatusRequestedRangeNotSatisfiable:
		return a.unsatisfied(off)
	default:
		return &StatusError{printable(a.u), a.resp.StatusCode}
	}
	if err := a.same(); err != nil {
		return err
	}
	return a.sniff()
}

// unsatisfied minds a 416: right at the end of a file it is no error.
func (a *answer) unsatisfied(off int64) error {
	_, size, err := contentRange(a.resp.Header.Get("Content-Range"))
	switch {
	case err != nil || size < 0:
		return &StatusError{printable(a.u), a.resp.StatusCode}
	case a.want.Size >= 0 && a.want.Size != size:
		return &refusal{fmt.Errorf("%s: %w", printable(a.u), ErrChanged)}
	case off != size:
		return &refusal{behindEnd(printable(a.u), off, size)}
	}
	a.resp.Body.Close()
	a.o = opened{http.NoBody, a.o.info, off, true}
	a.o.info.Size = size
	return a.same()
}

func (a *answer) same() error {
	if !a.want.same(a.o.info) {
		return &refusal{fmt.Errorf("%s: %w", printable(a.u), ErrChanged)}
	}
	return nil
}

// sniff refuses web pages: by their label, and at the begin of a file by their
// first bytes.
func (a *answer) sniff() error {
	if err := notPage(a.u, a.resp); err != nil || a.o.at > 0 {
		return err
	}
	b := bufio.NewReaderSize(a.resp.Body, 64<<10)
	a.o.body = &buffered{b, a.resp.Body}
	head, err := b.Peek(512)
	if err != nil && err != io.EOF {
		return nil // who reads on meets it again
	}
	if !pageName(a.u.Path) && strings.HasPrefix(http.DetectContentType(head), "text/html") {
		return pageError(a.u, a.resp.StatusCode)
	}
	return nil
}

type buffered struct {
	*bufio.Reader
	io.Closer
}

// contentRange reads "bytes first-last/size" or "bytes */size" (RFC 9110,
// 14.4); a size of -1 is not known, and first is -1 without one.
func contentRange(s string) (first, size int64, err error) {
	bad := fmt.Errorf("a Content-Range of %q makes no sense", s)
	rest, ok := strings.CutPrefix(s, "bytes ")
	span, total, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return 0, 0, bad
	}
	size = -1
	if total != "*" {
		if size, err = strconv.ParseInt(total, 10, 64); err != nil || size < 0 {
			return 0, 0, bad
		}
	}
	if span == "*" {
		return -1, size, nil
	}
	from, to, ok := strings.Cut(span, "-")
	first, err = strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	if !ok || err != nil || err2 != nil || first < 0 || last < first || size >= 0 && last >= size {
		return 0, 0, bad
	}
	return first, size, nil
}

// A skipper reads over what a server sends before the wanted bytes.
type skipper struct {
	io.ReadCloser
	skip int64
}

func (s *skipper) Read(p []byte) (int, error) {
	if s.skip > 0 {
		n, err := io.CopyN(io.Discard, s.ReadCloser, s.skip)
		if s.skip -= n; err != nil {
			return 0, noEOF(err)
		}
	}
	return s.ReadCloser.Read(p)
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
