package store_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/clone/store"
	"lifeboat/clone/store/storetest"
)

// folder is a folder with files.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFolder(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, files map[string]string) store.Store {
		return store.NewFolder(folder(t, files))
	})
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, files map[string]string) store.Store {
		h := http.StripPrefix("/a b", http.FileServer(http.Dir(folder(t, files))))
		return serve(t, "/a%20b", h)
	})
}

// A server without ranges is slow, not wrong.
func TestHTTPWithoutRanges(t *testing.T) {
	t.Parallel()
	s := serve(t, "", noRanges(strings.Repeat("0123456789", 10_000)))
	for off, want := range map[int64]int{0: 100_000, 7: 99_993, 99_999: 1, 100_000: 0} {
		body, err := s.Open(t.Context(), "card.img", off)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(body); err != nil || len(got) != want {
			t.Errorf("from %d: got %d bytes and %v, want %d", off, len(got), err, want)
		}
		body.Close()
	}
	body, err := s.Open(t.Context(), "card.img", 100_001)
	if err != nil {
		t.Fatal(err) // the server does not say how much there is
	}
	defer body.Close()
	_, err = io.ReadAll(body)
	wantIs(t, err, io.ErrUnexpectedEOF)
	_, _, err = store.ReaderAt(t.Context(), s, "card.img", store.ResumeOptions{})
	wantIs(t, err, store.ErrNoRange)
}

func noRanges(content string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		io.WriteString(w, content)
	})
}

// serve is the store below a path of a server.
func serve(t *testing.T, path string, h http.Handler) store.Store {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	return store.NewHTTP(u, nil)
}

func TestOpenTakesPlacesApart(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"card.img": "folder"})
	s, name, err := store.Open(dir+"/card.img", store.Options{})
	if err != nil || name != "card.img" || !store.Local(s) {
		t.Fatalf("got %T, %q and %v", s, name, err)
	}
	if _, name, err := store.Open(dir+"/", store.Options{}); err != nil || name != "" {
		t.Errorf("a folder: got %q and %v", name, err)
	}

	var seen []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		seen = append(seen, r.RequestURI+" "+user+":"+password)
		io.WriteString(w, "server")
	}))
	t.Cleanup(srv.Close)
	s, name, err = store.Open(strings.Replace(srv.URL, "http://", "HTTP://pi:secret@", 1)+"/a%2Fb/card%201.img?sig=SIGN", store.Options{})
	if err != nil || name != "card 1.img" {
		t.Fatalf("got %q and %v", name, err)
	}
	if _, err := s.Open(t.Context(), name, 0); err != nil {
		t.Fatal(err)
	}
	if want := "/a%2Fb/card%201.img?sig=SIGN pi:secret"; len(seen) != 1 || seen[0] != want {
		t.Errorf("got %q, want %q", seen, want)
	}
}

func TestOpenRefusesPlaces(t *testing.T) {
	t.Parallel()
	for _, place := range []string{"ftp://host/card.img", "http:///card.img", "http://pi:sec ret@ho st/card.img", "https://pi:secret@host:xx/card"} {
		_, _, err := store.Open(place, store.Options{})
		if err == nil {
			t.Errorf("%s: got no error", place)
		} else if strings.Contains(err.Error(), "sec") {
			t.Errorf("%s: got the password in %q", place, err)
		}
	}
}
