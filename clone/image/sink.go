package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"lifeboat/clone/codec"
	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/internal/atomicfile"
	"lifeboat/internal/progress"
)

// A Sink is an image that is written. It appears under its name in Commit, whole
// and synced, or never.
type Sink interface {
	Start(ctx context.Context, h *manifest.Head) error
	Put(ctx context.Context, r extent.Record) error
	Commit(ctx context.Context, t *manifest.Tail) error
	Abort(ctx context.Context) error
}

// A Patcher is a sink that takes a record again: the last one counts.
type Patcher interface {
	Sink
	Patch(ctx context.Context, r extent.Record) error
}

// SinkOptions say how an image is written.
type SinkOptions struct {
	Level     int  // of packing: codec.Options
	Workers   int  // cores; 0 = all
	Overwrite bool // an image that is there already
	// Sum makes the SHA-256 of a whole .img too. It costs the time to hash every
	// hole: minutes on a large card. The digests in the bmap cover what the image
	// holds, and packed images always have it.
	Sum bool
	// Verify reads all back, past the cache, before the image gets its name: one
	// that cannot be read never takes the place of one that can.
	Verify bool
	Meter  *progress.Meter // of Verify
	// XZ packs into w, and ends in Close; nil = .img.xz cannot be written.
	XZ   func(ctx context.Context, w io.Writer, level int) (io.WriteCloser, error)
	Logf func(format string, args ...any)
	// Areas are what the boot areas hold that the head names, by their names: an
	// image has no place for them, so each becomes a file beside it.
	Areas map[string][]byte
	Pair  *manifest.Pair // the image of the other disk of the same system
}

// filePerm keeps a disk's secrets (keys, password hashes) with their owner.
const filePerm = 0o600

// Create makes the sink for an image at path, by the end of its name: ".img" is
// sparse, is a Patcher, and gets a bmap; ".img.gz" and ".img.zst" (or ".gz",
// ".zst", and ".img.xz" where o.XZ can) take ascending records only. All get a JSON head beside them. An image
// that is there already is refused, with fs.ErrExist, unless it may be
// overwritten.
func Create(path string, o SinkOptions) (Sink, error) {
	format, err := formatOf(path, o)
	if err == nil {
		err = free(path, o)
	}
	if err != nil {
		return nil, err
	}
	atomicfile.Sweep(path) // before anybody asks for the room that is free
	if format == codec.Raw {
		return &rawSink{path: path, o: o}, nil
	}
	return &packedSink{path: path, format: format, o: o, dest: &fileDestination{path: path, o: o}}, nil
}

// Spool is Create for a source that yields patches: a packed image is then
// spooled, sparse and unpacked, beside its place, and packed in Commit.
func Spool(path string, o SinkOptions) (Patcher, error) {
	s, err := Create(path, o)
	if err != nil {
		return nil, err
	}
	if p, ok := s.(Patcher); ok {
		return p, nil
	}
	return &spoolSink{path: path, to: s, o: o}, nil
}

func formatOf(path string, o SinkOptions) (codec.Format, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case codec.XZ.Ext():
		if o.XZ != nil {
			return codec.XZ, nil
		}
	case ".img":
		return codec.Raw, nil
	case codec.Gzip.Ext():
		return codec.Gzip, nil
	case codec.Zstd.Ext():
		return codec.Zstd, nil
	}
	last := " or .img.zst"
	if o.XZ != nil {
		last = ", .img.zst or .img.xz"
	}
	return 0, fmt.Errorf("%s: an image to be written is named .img, .img.gz%s", path, last)
}

// packedFormat is formatOf, for where only packed images can lie.
func packedFormat(path, name string, o SinkOptions) (codec.Format, error) {
	format, err := formatOf(name, o)
	if err == nil && format == codec.Raw {
		err = fmt.Errorf("%s: a plain image is full of holes, which only a file of this machine can have: name it .img.zst or .img.gz", path)
	}
	return format, err
}

// free refuses a path that is taken.
func free(path string, o SinkOptions) error {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Mode()&(fs.ModeDir|fs.ModeDevice|fs.ModeNamedPipe|fs.ModeSocket) != 0:
		return fmt.Errorf("%s is not a file: %w", path, fs.ErrExist)
	case !o.Overwrite:
		return fmt.Errorf("%s is there already, and overwriting it was not asked for: %w", path, fs.ErrExist)
	}
	return nil
}

// publish gives a finished image its name, and puts its side files beside it.
// Those of an image that was there before go first: they must never lie beside
// another one.
func publish(path string, f *atomicfile.File, o SinkOptions, s *Sidecar, b *Bmap) error {
	if err := free(path, o); err != nil {
		return err
	}
	stale := []string{path + headExt, path + bmapExt}
	for _, area := range areaNames {
		stale = append(stale, AreaFile(path, area))
	}
	for _, side := range stale {
		if err := atomicfile.Remove(side); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := f.Commit(); err != nil {
		return explain(path, err)
	}
	if b != nil {
		if err := atomicfile.Write(path+bmapExt, b.Encode(), filePerm); err != nil {
			return err
		}
	}
	for _, a := range s.Head.Areas {
		if err := atomicfile.Write(AreaFile(path, a.Name), o.Areas[a.Name], filePerm); err != nil {
			return explain(AreaFile(path, a.Name), err)
		}
	}
	head, err := s.encode()
	if err != nil {
		return err
	}
	return atomicfile.Write(path+headExt, head, filePerm)
}

// sidecar begins the JSON head.
func sidecar(h *manifest.Head, t *manifest.Tail, o SinkOptions) *Sidecar {
	s := &Sidecar{Version: manifest.Version, Head: *h, Pair: o.Pair}
	if t != nil {
		s.Tail = *t
	}
	return s
}

// begin checks what a sink is started with.
func begin(path string, h *manifest.Head, o SinkOptions) error {
	if h == nil || h.Size <= 0 {
		return fmt.Errorf("%s: the size of the disk is not known", path)
	}
	for _, a := range h.Areas {
		if int64(len(o.Areas[a.Name])) != a.Size {
			return fmt.Errorf("%s: the bytes of the boot area %s are not there", path, a.Name)
		}
	}
	return nil
}

// fits checks a record before it is taken.
func fits(path string, size int64, r extent.Record) error {
	switch {
	case r.Kind == extent.Same:
		return fmt.Errorf("%s: an image has no base that bytes could be the same as", path)
	case r.Off < 0 || r.Len < 0 || r.Len > size || r.Off > size-r.Len:
		return fmt.Errorf("%s: bytes %v lie behind the end of the disk at %d", path, r.Extent, size)
	case r.Kind == extent.Data && (int64(len(r.Data)) != r.Len || r.Len > extent.BufferSize):
		return fmt.Errorf("%s: a record of %d bytes brings %d", path, r.Len, len(r.Data))
	}
	return nil
}

// explain says what a person can do about a write that did not work.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s: no room is left on its file system: %w", path, err)
	case errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%s: its file system cannot hold so large a file (FAT: 4 GiB): %w", path, err)
	}
	return fmt.Errorf("write %s: %w", path, err)
}
