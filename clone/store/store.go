// Package store answers: where do bytes lie? A store holds named files: a
// folder, or a web server, which is read only. Resume turns a store's file into
// one stream that outlives broken and stalled connections, ReaderAt into a file
// that can be read anywhere.
//
// It does not know what the bytes mean: packages codec, image and repo do.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// A Store holds files by name. Names are relative, with slashes. Errors wrap
// fs.ErrNotExist where a file is not there, and errors.ErrUnsupported where a
// kind of store cannot do a thing at all.
type Store interface {
	// Open reads a file from byte off, which may be its end and not lie behind it.
	Open(ctx context.Context, name string, off int64) (io.ReadCloser, error)
	// Put stores size bytes of r under a name, whole or not at all; what was
	// there before stays until then. A negative size means all that r has.
	Put(ctx context.Context, name string, size int64, r io.Reader) error
	// List yields the files whose names begin with prefix, in no certain order.
	// It ends after an error.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
	Remove(ctx context.Context, name string) error
}

// Info is what a store knows of a file.
type Info struct {
	Name string
	Size int64     // bytes; -1 = not known
	Time time.Time // of the last change; zero = not known
	Tag  string    // changes with the content: an HTTP server's ETag; "" = not known
}

// same tells whether two looks at a file saw one content, by what both know.
func (i Info) same(o Info) bool {
	if i.Size >= 0 && o.Size >= 0 && i.Size != o.Size {
		return false
	}
	if i.Tag != "" && o.Tag != "" {
		return strings.TrimPrefix(i.Tag, "W/") == strings.TrimPrefix(o.Tag, "W/")
	}
	return i.Time.IsZero() || o.Time.IsZero() || i.Time.Equal(o.Time)
}

// ErrChanged is what reading on gives where the file is not the one it was.
var ErrChanged = errors.New("the file was changed while it was read")

// ErrNoRange is what ReaderAt gives on a server that sends only whole files.
var ErrNoRange = errors.New("the server does not send parts of files")

// Powers that a kind of store may have beyond Store. They are asked for in this
// file and nowhere else.
type (
	stater interface {
		Stat(ctx context.Context, name string) (Info, error)
	}
	// ranger asks for n bytes (negative: all) from off, only while the file is
	// the one in want. It may give more than was asked for.
	ranger interface {
		openRange(ctx context.Context, name string, off, n int64, want Info) (opened, error)
	}
	// local stores need no second try, and their files are random-access.
	local interface {
		openFile(name string) (ReaderAtCloser, Info, error)
	}
)

// Stat looks at one file.
func Stat(ctx context.Context, s Store, name string) (Info, error) {
	if st, ok := s.(stater); ok {
		return st.Stat(ctx, name)
	}
	for info, err := range s.List(ctx, name) {
		if err != nil || info.Name == name {
			return info, err
		}
	}
	return Info{}, notExist(name)
}

// opened is a file that can be read from some byte on.
type opened struct {
	body   io.ReadCloser
	info   Info
	at     int64 // where body begins: what was asked for, or 0
	ranges bool  // the store sends parts of files
}

// openRange is ranger's for any store.
func openRange(ctx context.Context, s Store, name string, off, n int64, want Info) (opened, error) {
	if r, ok := s.(ranger); ok {
		return r.openRange(ctx, name, off, n, want)
	}
	info, err := Stat(ctx, s, name)
	if err != nil {
		return opened{}, err
	}
	if !want.same(info) {
		return opened{}, fmt.Errorf("%s: %w", name, ErrChanged)
	}
	body, err := s.Open(ctx, name, off)
	return opened{body, info, off, true}, err
}

// Local tells whether a store's files are random-access files of this machine,
// for which ReaderAt costs nothing.
func Local(s Store) bool {
	_, ok := s.(local)
	return ok
}

// Open takes a place apart: "path/to/card.img.zst" is a file in a folder,
// "https://host/dir/card.img.zst" one of a web server. The name is "" where the
// place ends in a slash. A nil client means that of NewClient.
func Open(place string, client *http.Client) (Store, string, error) {
	scheme, _, found := strings.Cut(place, "://")
	if !found {
		dir, name := filepath.Split(place)
		return NewFolder(filepath.Clean(dir)), name, nil
	}
	if s := strings.ToLower(scheme); s != "http" && s != "https" {
		return nil, "", fmt.Errorf("a place %s://… is not known: a path, http:// and https:// are", scheme)
	}
	u, err := url.Parse(place)
	if err != nil {
		var parse *url.Error // holds the whole URL, and with it a password
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return nil, "", fmt.Errorf("a place %s://…: %w", scheme, err)
	}
	if u.Host == "" {
		return nil, "", fmt.Errorf("the place %s names no host", printable(u))
	}
	base, name := splitURL(u)
	return NewHTTP(base, client), name, nil
}
