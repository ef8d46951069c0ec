package codec

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// inputBuffer is how much packed data is asked for at once, and the longest
// head of a stream that can be looked at.
const inputBuffer = 64 << 10

// A Reader yields the unpacked bytes of a stream. Read returns io.EOF only
// where the stream is whole, by its own checksums, and nothing follows it.
type Reader struct {
	Format Format
	Size   int64  // of the unpacked bytes, as the head of the stream says; -1 = not known
	Name   string // of the member, in a zip file

	// state
	in     *input
	dec    io.Reader
	close  func()
	count  int64
	limits Limits
	err    error
}

// NewReader looks at the first bytes of r and unpacks what follows. Of a zip
// file it takes the first member whose name ends in .img, .iso or .raw. r is
// read ahead, and stays the caller's to close, behind the Reader.
func NewReader(r io.Reader, l Limits) (*Reader, error) { return NewMemberReader(r, "", l) }

// NewMemberReader is NewReader that takes the named member of a zip file. The
// name means nothing to the other formats.
func NewMemberReader(r io.Reader, member string, l Limits) (*Reader, error) {
	in := &input{r: r}
	in.buf = bufio.NewReaderSize(in, inputBuffer)
	head, err := in.buf.Peek(SniffLen)
	if err != nil && err != io.EOF {
		return nil, err
	}
	z := &Reader{Format: Sniff(head), Size: -1, in: in, limits: l, close: func() {}}
	if err := z.start(member); err != nil {
		return nil, z.explain(noEOF(err))
	}
	return z, nil
}

// start makes the decoder.
func (z *Reader) start(member string) (err error) {
	switch z.Format {
	case Raw:
		z.dec = z.in.buf
	case Gzip:
		z.dec, err = newGunzip(z.in.buf)
	case XZ:
		err = z.startXZ()
	case Zstd:
		err = z.startZstd()
	case Bzip2:
		z.dec = bzip2.NewReader(z.in.buf)
	case Zip:
		err = z.startZip(member)
	}
	return err
}

func (z *Reader) startXZ() (err error) {
	head, _ := z.in.buf.Peek(xzHeadLen)
	limit := z.limits.memory()
	if need, ok := xzWindow(head); ok && need > limit {
		return &WindowError{XZ, need, limit}
	}
	z.dec, err = xz.NewReader(z.in.buf, uint32(min(limit, math.MaxUint32)))
	return err
}

func (z *Reader) startZstd() error {
	limit := z.limits.memory()
	head, _ := z.in.buf.Peek(zstd.HeaderMaxSize)
	var h zstd.Header
	if h.Decode(head) == nil && !h.Skippable {
		if h.WindowSize > uint64(limit) {
			return &WindowError{Zstd, int64(min(h.WindowSize, math.MaxInt64)), limit}
		}
		if h.HasFCS && h.FrameContentSize <= math.MaxInt64 {
			z.Size = int64(h.FrameContentSize)
		}
	}
	d, err := zstd.NewReader(z.in.buf,
		zstd.WithDecoderConcurrency(1), // more is not faster for a stream, and costs memory
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(uint64(max(limit, zstd.MinWindowSize))),
		zstd.WithDecoderMaxMemory(uint64(max(limit, zstd.MinWindowSize))))
	if err != nil {
		return err
	}
	z.dec, z.close = d, d.Close
	return nil
}

// gunzip goes from member to member itself: klauspost's multistream mode takes a
// file that is cut in the name of a later member for a whole one.
type gunzip struct {
	in  *bufio.Reader
	dec *gzip.Reader
}

func newGunzip(in *bufio.Reader) (*gunzip, error) {
	dec, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	dec.Multistream(false)
	return &gunzip{in, dec}, nil
}

func (g *gunzip) Read(p []byte) (int, error) {
	n, err := g.dec.Read(p)
	if err != io.EOF {
		return n, err
	}
	if _, err := g.in.Peek(1); err != nil {
		return n, err
	}
	if err := g.dec.Reset(g.in); err != nil {
		return n, noEOF(err)
	}
	g.dec.Multistream(false)
	return n, nil
}

// Read unpacks. An error that is not io.EOF stays.
func (z *Reader) Read(p []byte) (int, error) {
	if z.err != nil {
		return 0, z.err
	}
	n, err := z.dec.Read(p)
	z.count += int64(n)
	if z.limits.Output > 0 && z.count > z.limits.Output {
		n -= int(z.count - z.limits.Output)
		err = fmt.Errorf("unpacks to more than the %d bytes that are allowed", z.limits.Output)
	}
	if err != nil {
		z.err = z.explain(err)
	}
	return max(n, 0), z.err
}

// Close gives the decoder's memory back. It does not close what is read from.
func (z *Reader) Close() error {
	z.close()
	if z.err == nil {
		z.err = errors.New("read from a stream that was closed")
	}
	return nil
}

// explain turns a decoder's error into a sentence: a fault below comes first,
// then the stream that was cut off, then the one that is damaged.
func (z *Reader) explain(err error) error {
	var window *WindowError
	switch {
	case err == io.EOF:
		return io.EOF
	case z.in != nil && z.in.err != nil && z.in.err != io.EOF:
		return z.in.err
	case z.Format == Raw, errors.As(err, &window), errors.Is(err, ErrNotStreamable):
		return err
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, xz.ErrMemlimit):
		return &WindowError{z.Format, -1, z.limits.memory()}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, xz.ErrBuf):
		return fmt.Errorf("%s: %w", z.Format, ErrTruncated)
	case z.garbage(err):
		return fmt.Errorf("%s: other bytes follow behind the end of the stream: %w", z.Format, err)
	}
	return fmt.Errorf("%s: damaged: %w", z.Format, err)
}

// garbage tells whether a decoder met something else than a head where a stream
// would begin.
func (z *Reader) garbage(err error) bool {
	return z.count > 0 && (errors.Is(err, gzip.ErrHeader) || errors.Is(err, zstd.ErrMagicMismatch) ||
		errors.Is(err, xz.ErrFormat) || errors.Is(err, bzip2.StructuralError("bad magic value in continuation file")))
}

// input remembers how the packed stream ended.
type input struct {
	r   io.Reader
	buf *bufio.Reader // reads from the input itself
	err error
}

func (in *input) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	if err != nil {
		in.err = err
	}
	return n, err
}

// inflate reads a deflate stream, and no byte more than it: r is a ByteReader.
func inflate(r *bufio.Reader) io.ReadCloser { return flate.NewReader(r) }

// magicAt tells whether the next bytes are those of magic.
func magicAt(r *bufio.Reader, magic []byte) bool {
	b, _ := r.Peek(len(magic))
	return bytes.Equal(b, magic)
}
