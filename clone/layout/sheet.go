package layout

import (
	"bytes"
	"io"
	"io/fs"

	"github.com/diskfs/go-diskfs/backend"
)

// A sheet is a small disk in memory, in the shape that go-diskfs asks for.
type sheet struct {
	*bytes.Reader
	bytes []byte
}

var _ backend.WritableFile = (*sheet)(nil)

func newSheet(size int64) *sheet {
	b := make([]byte, size)
	return &sheet{bytes.NewReader(b), b}
}

func (s *sheet) WriteAt(b []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(s.bytes)-len(b)) {
		return 0, io.ErrShortWrite
	}
	return copy(s.bytes[off:], b), nil
}

func (*sheet) Close() error               { return nil }
func (*sheet) Stat() (fs.FileInfo, error) { return nil, fs.ErrInvalid }
