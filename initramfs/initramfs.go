// Package initramfs answers: what is in the rescue image? The tool itself as
// /init, a kernel with the modules that boards need to reach their disks and
// the network, e2fsprogs and dosfstools with their libraries; and around it the
// files that a board's firmware wants before a kernel runs.
//
// It needs no Go toolchain: all comes out of file systems that it is handed (a
// running system, unpacked Debian packages, the parts of a backup), and it
// never learns which of these they are. What it writes is an archive (Build), a
// stick to be flashed (Medium) or a folder for TFTP (Netboot). It starts
// nothing, and does not know what the rescue system does once it runs: that is
// package uinit.
package initramfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"lifeboat/clone/codec"
)

// A Source is a system that parts of a rescue image are taken from.
type Source struct {
	Name string // for people: "the running system", "backup of pi3, 2026-11-02"
	Boot fs.FS  // the boot part; nil = none
	Root fs.FS  // the root file system; nil = none
}

// Options say what a rescue image is made of. Sources are searched in their
// order: the first one that has a file wins.
type Options struct {
	Sources  []Source
	Program  *io.SectionReader // this tool, a static binary for the boards' machine
	Kernels  []string          // versions whose modules are packed; nil = all that fit Program
	Modules  []string          // wishes beside WishList
	Force    []string          // modules that are loaded whatever the devices are
	Programs []string          // programs that must be there; nil = Tools, empty = none
	Format   codec.Format      // how the archive is packed: Gzip, Zstd; Raw means Gzip, which every kernel reads
	Info     Info              // goes into the image; Date and ID are filled in where empty
	Clock    func() time.Time  // nil = time.Now
	Random   io.Reader         // nil = crypto/rand; same clock and randomness, same image
	Logf     func(format string, args ...any)
}

// Info is what a rescue image knows of itself. It lies in it as InfoFile.
type Info struct {
	ID           string   `json:"id"`                // 16 hex digits, another one for each build
	Date         string   `json:"date"`              // RFC 3339, UTC
	Version      string   `json:"version"`           // of the tool
	Keys         []string `json:"keys,omitempty"`    // minisign public keys whose jobs are obeyed
	TrustNetwork bool     `json:"trust_network"`     // unsigned jobs are obeyed: for a bench
	JobURL       string   `json:"job_url,omitempty"` // where a job is looked for when nobody says
	Kernels      []string `json:"kernels"`           // versions that it has modules for
}

// InfoFile is the place of Info in the image.
const InfoFile = "etc/lifeboat/build.json"

// ReadInfo reads what the rescue image says of itself; fsys is its root. An
// error that wraps fs.ErrNotExist: this is no rescue system.
func ReadInfo(fsys fs.FS) (Info, error) {
	var i Info
	text, err := fs.ReadFile(fsys, InfoFile)
	if err != nil {
		return i, fmt.Errorf("what this image says of itself: %w", err)
	}
	if err := json.Unmarshal(text, &i); err != nil {
		return i, fmt.Errorf("%s: %w", InfoFile, err)
	}
	return i, nil
}

// A Report says what went into an image.
type Report struct {
	Info     Info
	Kernels  []KernelReport
	Programs []string // with their libraries, as they lie in the image
	Records  int      // files, folders and links
	Raw      int64    // bytes of the archive before packing
	Packed   int64    // bytes that were written
}

// A KernelReport says which modules of one kernel were packed.
type KernelReport struct {
	Version string
	Modules []string // by name, sorted
	Built   []string // wishes that are built into the kernel
	Absent  []string // wishes that it does not have
	Bytes   int64    // of all modules, unpacked
}

func (o *Options) logf(format string, args ...any) {
	if o.Logf != nil {
		o.Logf(format, args...)
	}
}

func (o *Options) now() time.Time {
	if o.Clock != nil {
		return o.Clock().UTC()
	}
	return time.Now().UTC()
}

// root is what all sources' root file systems hold.
func root(sources []Source) fs.FS {
	var list []fs.FS
	for _, s := range sources {
		list = append(list, s.Root)
	}
	return Merge(list...)
}

// maxFile caps what is read into memory of one file: kernels are the largest.
const maxFile = 256 << 20

// readFile reads a whole file, if it is not larger than limit.
func readFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("it is larger than %d bytes", limit)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}
