// Package store answers: where do bytes lie? A store holds named files: a
// folder, a folder behind SFTP, a bucket of S3, or a web server, which is read
// only. Resume turns a store's file into one stream that outlives broken and
// stalled connections, ReaderAt into a file that can be read anywhere.
//
// It does not know what the bytes mean: packages codec, image and repo do. What
// each kind of store promises stands in docs/STORES.md.
package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
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
	clocked interface {
		Now(ctx context.Context) (time.Time, error)
	}
	mover interface {
		Move(ctx context.Context, from, to string) error
	}
	batcher interface {
		Batch(ctx context.Context) (Batch, error)
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

// Now is the time by the clock of whoever keeps the store, to the second: what
// several machines can agree on. errors.ErrUnsupported where a kind of store does
// not tell.
func Now(ctx context.Context, s Store) (time.Time, error) {
	if c, ok := s.(clocked); ok {
		return c.Now(ctx)
	}
	return time.Time{}, fmt.Errorf("the clock of a %T: %w", s, errors.ErrUnsupported)
}

// PutBytes is Put of what is in memory.
func PutBytes(ctx context.Context, s Store, name string, data []byte) error {
	return s.Put(ctx, name, int64(len(data)), bytes.NewReader(data))
}

// Move gives a file another name, in the place of what has it. Until then that
// stays. errors.ErrUnsupported where a kind of store cannot do it.
func Move(ctx context.Context, s Store, from, to string) error {
	if m, ok := s.(mover); ok {
		return m.Move(ctx, from, to)
	}
	return fmt.Errorf("to give a file another name in a %T: %w", s, errors.ErrUnsupported)
}

// Close ends the connection of a store that keeps one. It can still be used.
func Close(s Store) error {
	if c, ok := s.(io.Closer); ok {
		return c.Close()
	}
	return nil
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

// Shown is a place as it may be printed: of an address without user, password and
// query, where signed links have their secrets.
func Shown(place string) string {
	scheme, _, found := strings.Cut(place, "://")
	if !found {
		return place
	}
	u, err := url.Parse(place)
	if err != nil {
		return scheme + "://…"
	}
	return printable(u)
}

// Options say how places are reached.
type Options struct {
	Client *http.Client // nil = NewClient
	SSH    SSHOptions
	S3     S3Options
}

// HostOptions are those of a person's machine: keys and known hosts as OpenSSH
// has them, S3's as Amazon's tools do, and the variables of docs/STORES.md.
// getenv is os.Getenv, or a test's.
func HostOptions(getenv func(string) string) Options {
	return Options{SSH: hostSSH(getenv), S3: hostS3(getenv)}
}

// Open takes a place apart: "path/to/card.img.zst" is a file in a folder,
// "https://host/dir/card.img.zst" one of a web server, "sftp://user@host/dir/card.img.zst"
// and "s3://bucket/dir/card.img.zst" one of such. The name is "" where the place
// ends in a slash. Nothing is connected to yet.
func Open(place string, o Options) (Store, string, error) {
	scheme, _, found := strings.Cut(place, "://")
	if !found {
		dir, name := filepath.Split(place)
		return NewFolder(filepath.Clean(dir)), name, nil
	}
	scheme = strings.ToLower(scheme)
	if !slices.Contains([]string{"http", "https", "sftp", "s3"}, scheme) {
		return nil, "", fmt.Errorf("a place %s://… is not known: a path, http://, https://, sftp:// and s3:// are", scheme)
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
	switch scheme {
	case "sftp":
		s, err := NewSFTP(base, o.SSH)
		return s, name, err
	case "s3":
		s, err := NewS3(base, o.S3, o.Client)
		return s, name, err
	}
	return NewHTTP(base, o.Client), name, nil
}
