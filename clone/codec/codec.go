// Package codec answers: how are streams packed? It knows gzip, xz, zstd, bzip2
// and zip by their first bytes, unpacks them within limits for memory and
// output, and packs gzip and zstd on all cores. It is the one place where such
// a limit is held.
//
// It does not know what the bytes mean, nor where they lie.
package codec

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"
)

// A Format is a way to pack a stream.
type Format int

const (
	Raw Format = iota // not packed, as far as the first bytes tell
	Gzip
	XZ
	Zstd
	Bzip2
	Zip
)

// formats holds what is known of each Format, in their order.
var formats = [...]struct{ name, ext, magic string }{
	Raw:   {"raw", "", ""},
	Gzip:  {"gzip", ".gz", "\x1f\x8b\x08"},      // RFC 1952, 2.3.1
	XZ:    {"xz", ".xz", "\xfd7zXZ\x00"},        // xz-file-format.txt, 2.1.1.1
	Zstd:  {"zstd", ".zst", "\x28\xb5\x2f\xfd"}, // RFC 8878, 3.1.1
	Bzip2: {"bzip2", ".bz2", "BZh"},             // bzip2 1.0.8, compress.c
	Zip:   {"zip", ".zip", "PK\x03\x04"},        // APPNOTE.TXT, 4.3.7
}

func (f Format) String() string { return formats[f].name }

// Ext is the usual end of a file name, with its dot; "" for Raw.
func (f Format) Ext() string { return formats[f].ext }

// SniffLen is how many bytes Sniff wants to see.
const SniffLen = 10

// Sniff tells the format from the first bytes of a stream, never from a name.
func Sniff(head []byte) Format {
	for f := Gzip; f <= Zip; f++ {
		if strings.HasPrefix(string(head[:min(len(head), SniffLen)]), formats[f].magic) && whole(f, head) {
			return f
		}
	}
	if skippable(head) {
		return Zstd
	}
	return Raw
}

// bzip2 block and end magics: bzip2 1.0.8, compress.c.
var bzip2Block, bzip2End = []byte("1AY&SY"), []byte("\x17rE8P\x90")

// whole looks past a magic that is too short to be trusted on a disk's sector 0.
func whole(f Format, head []byte) bool {
	if f != Bzip2 {
		return true
	}
	return len(head) >= SniffLen && '1' <= head[3] && head[3] <= '9' &&
		(bytes.Equal(head[4:10], bzip2Block) || bytes.Equal(head[4:10], bzip2End))
}

// skippable tells whether a skippable zstd frame begins here (RFC 8878, 3.1.2):
// pzstd and others put one first.
func skippable(b []byte) bool {
	return len(b) >= 4 && b[0]&0xf0 == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18
}

// DefaultMemory is the window that a stream may ask for where Limits do not say
// otherwise: what "zstd --ultra -22" and "zstd --long" need. xz -9 needs half.
const DefaultMemory = 128 << 20

// Limits bound what a hostile stream can cost.
type Limits struct {
	Memory int64 // bytes of window; 0 = DefaultMemory
	Output int64 // bytes unpacked; 0 = no limit
}

func (l Limits) memory() int64 {
	if l.Memory > 0 {
		return l.Memory
	}
	return DefaultMemory
}

// ErrTruncated is what a stream ends with that was cut off.
var ErrTruncated = errors.New("ends in the middle: the file is not whole")

// ErrNotStreamable is what a zip file gives that can be read only by its
// directory, which lies at its end. OpenAt can read it.
var ErrNotStreamable = errors.New("can be read only as a file, not as a stream")

// A WindowError refuses a stream that wants more memory than allowed.
type WindowError struct {
	Format Format
	Need   int64 // bytes; -1 = a later frame's, not known
	Limit  int64 // bytes
}

func (e *WindowError) Error() string {
	if e.Need < 0 {
		return fmt.Sprintf("%s: needs a larger window than the %d bytes of memory that are allowed", e.Format, e.Limit)
	}
	return fmt.Sprintf("%s: needs a window of %d bytes, and %d bytes of memory are allowed", e.Format, e.Need, e.Limit)
}

// An AmbiguousError is a zip file that holds several images, none of which was
// named.
type AmbiguousError struct{ Members []string }

// mostNamed is how many members an AmbiguousError names.
const mostNamed = 20

func (e *AmbiguousError) Error() string {
	names := make([]string, min(len(e.Members), mostNamed))
	for i := range names {
		names[i] = fmt.Sprintf("%q", e.Members[i])
	}
	list := strings.Join(names, ", ")
	if more := len(e.Members) - len(names); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("zip: it holds %d images: %s", len(e.Members), list)
}

// isImage tells whether a member of a zip file looks like a disk image by name.
func isImage(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".img", ".iso", ".raw":
		return !strings.HasPrefix(path.Base(name), ".") && !strings.HasPrefix(name, "__MACOSX/")
	}
	return false
}

// wanted tells whether a member is the one that is looked for: that of the
// given name, or without one the first image.
func wanted(name, member string) bool {
	if member != "" {
		return name == member
	}
	return isImage(name)
}
