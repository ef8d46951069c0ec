package disk

import (
	"fmt"
	"io"

	"lifeboat/clone/extent"
)

// A Window is a piece of a target, such as a part, whose offsets begin at 0.
type Window struct {
	t *Target
	e extent.Extent
}

var (
	_ io.ReaderAt = (*Window)(nil)
	_ io.WriterAt = (*Window)(nil)
)

// Window lends the bytes of e. Whoever makes a window outside of the target has
// a bug; its reads end at once and its writes fail.
func (t *Target) Window(e extent.Extent) *Window { return &Window{t, e} }

// Size is the number of bytes in the window.
func (w *Window) Size() int64 { return w.e.Len }

// ReadAt reads as io.ReaderAt says.
func (w *Window) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || w.t.within(w.e) != nil {
		return 0, fmt.Errorf("read %s: %d bytes at %d of the window %v: outside", w.t.path, len(p), off, w.e)
	}
	want := int(min(int64(len(p)), max(0, w.e.Len-off)))
	n, err := w.t.ReadAt(p[:want], w.e.Off+off)
	if err == nil && want < len(p) {
		err = io.EOF
	}
	return n, err
}

// WriteAt writes as io.WriterAt says; not a byte where p does not fit.
func (w *Window) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > w.e.Len || int64(len(p)) > w.e.Len-off {
		return 0, fmt.Errorf("write %s: %d bytes at %d of the window %v: outside", w.t.path, len(p), off, w.e)
	}
	return w.t.WriteAt(p, w.e.Off+off)
}
