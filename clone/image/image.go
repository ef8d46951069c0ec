// Package image answers: how is a disk kept in one file? It reads .img files,
// plain and packed, from any store, and writes .img, .img.gz and .img.zst, with
// a bmap and a JSON head beside them. Both side files are hints: they are bound
// by size and digest, and ignored where they do not fit.
//
// It is one end of a flow, and knows neither partition tables nor file systems:
// what is in use of an image, the engine finds out.
package image

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"lifeboat/clone/codec"
	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/clone/store"
)

// ErrOnce is what Open of a stream returns that was read before.
var ErrOnce = errors.New("this image is a stream, and was read already")

// A Pass yields the records of an image, ascending, until io.EOF: which comes
// only when all digests that are known were right. Close may end it early.
type Pass = interface {
	Next(ctx context.Context) (extent.Record, error)
	Tail() *manifest.Tail // after io.EOF
	Close() error
}

// A Source is an image that is read: a *Raw or a *Packed.
type Source interface {
	// Head is that of the side file, or holds no more than the size.
	Head() *manifest.Head
	// Size is that of the disk in bytes; -1 = not known before all is unpacked.
	Size() int64
	// Used is what the image holds, by its bmap or its head; false = not known.
	Used() (extent.Set, bool)
	// Open begins a pass over want, all of which is yielded, but for Options.UsedOnly.
	Open(ctx context.Context, want extent.Set) (Pass, error)
	Close() error
}

var (
	_ Source = (*Raw)(nil)
	_ Source = (*Packed)(nil)
)

// Options say how an image is read.
type Options struct {
	SHA256 string // that the file or its unpacked content must have, in hex; "" = not known
	Member string // of a zip file; "" = the image in it, of a stream the first
	// KeepGoing takes zeros for what cannot be read of a *Raw, and notes it; the
	// digests of such bytes are not asked.
	KeepGoing bool
	// UsedOnly leaves out zeros that the side files do not call used: where another
	// image is made of this one they are holes either way. A disk that is filled
	// must ask its file systems: what side files say of use cannot be checked.
	UsedOnly bool
	Limits   codec.Limits
	Resume   store.ResumeOptions
	Logf     func(format string, args ...any)
}

func (o Options) logf(format string, args ...any) {
	if o.Logf != nil {
		o.Logf(format, args...)
	}
}

// A DigestError is an image that is not what somebody said it was.
type DigestError struct {
	Name string // of the file
	What string // "file", "content", or a range of bytes
	Got  string // hex
	Want string // hex
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("%s: the digest of the %s is %s, %s was expected: the image was damaged or exchanged", e.Name, e.What, e.Got, e.Want)
}

// sides are the names under which a bmap of an image may lie, in the order in
// which bmaptool looks (bmaptool 3.6, CLI.py, find_bmap).
func bmapNames(name string) []string {
	names := []string{name + bmapExt}
	for {
		ext := path.Ext(name)
		if ext == "" || strings.Contains(ext, "/") || len(names) > 3 {
			return names
		}
		name = strings.TrimSuffix(name, ext)
		names = append(names, name+bmapExt)
	}
}

const (
	bmapExt = ".bmap"
	headExt = ".json"
)
