package disk

import (
	"fmt"
	"os"
)

// A Reader reads an image file as a Source does a disk: large reads of whole
// blocks go past the page cache. That saves copying each byte, and leaves what
// others have in the cache alone. What the medium does not give is a *ReadError.
type Reader struct{ h *handle }

// NewReader reads the file that f is, whatever has its name by now. f stays the
// caller's, who closes the reader, too.
func NewReader(f *os.File) (*Reader, error) {
	h, err := openHandle(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	h.path = f.Name()
	return &Reader{h}, nil
}

// ReadAt reads as io.ReaderAt says.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) { return r.h.ReadAt(p, off) }

// Close ends the reading.
func (r *Reader) Close() error { return r.h.Close() }
