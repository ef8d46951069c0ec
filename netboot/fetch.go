package netboot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// errAbsent says that a server answered, and has no such file.
var errAbsent = errors.New("not there")

const (
	fetchTime    = 20 * time.Second
	maxRedirects = 3
	maxSignature = 4 << 10 // bytes; a minisign signature has about 400
)

// Client is an HTTP client as Find uses it: no proxy, few redirects, none that
// leaves HTTPS, an end to waiting.
func Client() *http.Client {
	return &http.Client{
		Timeout:   fetchTime,
		Transport: &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
				return errors.New("redirect from https to http")
			}
			return nil
		},
	}
}

// fetch gets a small file of at most limit bytes. A file or server that is not
// there is errAbsent: then nobody serves jobs at this place.
func fetch(ctx context.Context, c *http.Client, url string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", url, err)
	}
	resp, err := c.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("fetch %s: %w: %w", url, errAbsent, err)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err) // names the URL itself
	}
	defer resp.Body.Close()
	if err := checkAnswer(resp, limit); err != nil {
		return nil, fmt.Errorf("fetch %s: %w", url, err)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("fetch %s: after %d bytes: %w", url, len(data), err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("fetch %s: more than %d bytes: not a job file", url, limit)
	}
	return data, nil
}

func checkAnswer(resp *http.Response, limit int64) error {
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		return errAbsent
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("the server answers %q", resp.Status)
	case resp.ContentLength > limit:
		return fmt.Errorf("%d bytes, more than %d: not a job file", resp.ContentLength, limit)
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if strings.Contains(kind, "html") {
		return errors.New("the server answers with a web page: a login page of the network, or a wrong address")
	}
	return nil
}
