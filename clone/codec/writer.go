package codec

import (
	"fmt"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

// Options say how to pack.
type Options struct {
	Level   int   // 1 fastest … 9 smallest; 0 = the format's default: gzip 6, zstd 1
	Size    int64 // bytes that will be written; negative = not known
	Workers int   // cores; 0 = all
}

const (
	// gzipBlock is what one worker packs at once. The ratio does not suffer
	// above 512 KiB, and a board with 512 MiB has room for eight of them.
	gzipBlock = 512 << 10
	// zstdWindow keeps a job of the encoder, four windows, at 2 MiB, of which each
	// core has two or three at once, packed and not. Its own default takes 32 MiB
	// for one and packs 2 to 3 % better; 1 MiB takes half as much again as this, and
	// packs 1 % better.
	zstdWindow = 512 << 10
)

// NewWriter packs into w what is written to it. Close ends the stream, and
// minds if not exactly o.Size bytes were written; w stays the caller's.
//
// zstd is one frame with content size and checksum: Raspberry Pi Imager reads
// the size from there and takes only the first frame's.
func NewWriter(w io.Writer, f Format, o Options) (io.WriteCloser, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Size < 0 {
		o.Size = -1
	}
	var enc io.WriteCloser
	var err error
	switch f {
	case Raw:
		enc = nopCloser{w}
	case Gzip:
		enc, err = newGzip(w, o)
	case Zstd:
		enc, err = newZstd(w, o)
	default:
		return nil, fmt.Errorf("packing as %s is not possible: gzip and zstd are", f)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f, err)
	}
	return &sized{enc: enc, want: o.Size}, nil
}

func newGzip(w io.Writer, o Options) (io.WriteCloser, error) {
	level := pgzip.DefaultCompression
	if o.Level > 0 {
		level = min(o.Level, pgzip.BestCompression)
	}
	z, err := pgzip.NewWriterLevel(w, level)
	if err != nil {
		return nil, err
	}
	return z, z.SetConcurrency(gzipBlock, 2*o.Workers)
}

func newZstd(w io.Writer, o Options) (io.WriteCloser, error) {
	z, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(max(1, o.Level))),
		zstd.WithEncoderConcurrency(o.Workers),
		zstd.WithConcurrentBlocks(true),
		zstd.WithWindowSize(zstdWindow),
		zstd.WithEncoderCRC(true),
		zstd.WithZeroFrames(true))
	if err != nil {
		return nil, err
	}
	z.ResetContentSize(w, max(0, o.Size))
	return z, nil
}

// sized holds a writer to the number of bytes that was promised.
type sized struct {
	enc        io.WriteCloser
	want, have int64
}

func (s *sized) Write(p []byte) (int, error) {
	if s.want >= 0 && int64(len(p)) > s.want-s.have {
		return 0, fmt.Errorf("more than the %d bytes that were promised are written", s.want)
	}
	n, err := s.enc.Write(p)
	s.have += int64(n)
	return n, err
}

func (s *sized) Close() error {
	err := s.enc.Close()
	if s.want >= 0 && s.have != s.want {
		return fmt.Errorf("%d bytes were written, %d were promised", s.have, s.want)
	}
	return err
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
