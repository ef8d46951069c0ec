package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"lifeboat/clone/extent"
)

// A handle is an open disk or image file with two descriptors: one past the page
// cache (O_DIRECT) for whole sectors, and one through it for the rest. The
// kernel keeps the two coherent: a direct read writes dirty pages back first, a
// direct write drops the pages that it makes old. There is no cursor.
type handle struct {
	// config
	path   string
	size   int64
	unit   int64    // what offset, length and memory of direct I/O are multiples of
	cached *os.File // nil: all reads are direct
	direct *os.File // nil: the file system has no direct I/O
	disk   bool     // a block device, no file

	// state
	behind atomic.Int64 // bytes written through the page cache since it was last written back
	mixed  sync.RWMutex // held shared by direct writes: see writeCached
}

// fileUnit is enough for direct I/O on a file of any file system.
const fileUnit = 4096

// dirtyLimit bounds what cached writes leave in memory: without it a board with
// 512 MiB stalls, and the last fsync takes minutes.
const dirtyLimit = 32 << 20

// openHandle opens path with the given flags, and once more for direct I/O
// (without O_EXCL: the first descriptor holds the claim).
func openHandle(path string, flags int) (*handle, error) {
	f, err := os.OpenFile(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	h := &handle{path: path, cached: f}
	if err := h.measure(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	h.direct, err = os.OpenFile(path, flags&^os.O_EXCL|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err == nil {
		err = h.sameDevice()
	} else if errors.Is(err, unix.EINVAL) { // tmpfs before Linux 6.6, and some others
		err = nil
	}
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (h *handle) measure() error {
	info, err := h.cached.Stat()
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() {
		h.size, h.unit = info.Size(), fileUnit
		return nil
	}
	h.disk = true
	size, err := blockSize(h.cached)
	if err != nil {
		return fmt.Errorf("size of %s: %w", h.path, err)
	}
	sector, err := blockSector(h.cached)
	if err != nil {
		return fmt.Errorf("sector size of %s: %w", h.path, err)
	}
	if int64(size) < 0 || sector < sysSector || sector > extent.BufferSize || sector&(sector-1) != 0 {
		return fmt.Errorf("%s: a size of %d in sectors of %d bytes makes no sense", h.path, size, sector)
	}
	h.size, h.unit = int64(size), int64(sector)
	return nil
}

// sameDevice makes sure that both descriptors lead to the same thing: the name
// may have moved between the two opens.
func (h *handle) sameDevice() error {
	a, err := h.cached.Stat()
	if err != nil {
		return err
	}
	b, err := h.direct.Stat()
	if err != nil {
		return err
	}
	seqA, errA := blockSeq(h.cached)
	seqB, errB := blockSeq(h.direct)
	sameSeq := !h.disk || seqA == seqB || errA != nil || errB != nil
	if !os.SameFile(a, b) || statOf(a).Rdev != statOf(b).Rdev || !sameSeq {
		return fmt.Errorf("%s became another device while it was opened", h.path)
	}
	return nil
}

// any is one of the descriptors.
func (h *handle) any() *os.File {
	if h.cached != nil {
		return h.cached
	}
	return h.direct
}

// onlyDirect drops the cached descriptor: for a disk that is mounted the page
// cache of the whole disk holds what once was true.
func (h *handle) onlyDirect() error {
	if h.direct == nil || h.cached == nil {
		return nil
	}
	f := h.cached
	h.cached = nil
	return f.Close()
}

func (h *handle) Close() error {
	var errs []error
	for _, f := range []*os.File{h.direct, h.cached} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// ReadAt reads as io.ReaderAt says. An error of the medium is a *ReadError.
func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s at %d: negative offset", h.path, off)
	}
	want := min(int64(len(p)), max(0, h.size-off))
	done := int64(0)
	for done < want {
		step := min(want-done, extent.BufferSize)
		err := h.read(p[done:done+step], off+done)
		if err != nil {
			good, err := readError(h.path, h.unit, h.read, p[done:done+step], off+done, err)
			if err != nil {
				return int(done + good), err
			}
		}
		done += step
	}
	if want < int64(len(p)) {
		return int(want), io.EOF
	}
	return int(want), nil
}

// read fills p, at most a buffer's size and within the disk.
func (h *handle) read(p []byte, off int64) error {
	whole := h.whole(p, off)
	switch {
	case h.direct == nil:
		return full(h.cached.ReadAt(p, off))(len(p))
	case h.cached != nil && !whole:
		err := full(h.cached.ReadAt(p, off))(len(p))
		if err == nil || !badMedium(err) {
			return err
		}
		// A page fails with the worst of its sectors.
	case whole && aligned(p, h.unit):
		err := full(h.direct.ReadAt(p, off))(len(p))
		if errors.Is(err, unix.EINVAL) && h.cached != nil {
			return full(h.cached.ReadAt(p, off))(len(p))
		}
		return err
	}
	return h.readWide(p, off)
}

// readWide reads the whole sectors around p into memory that is aligned.
func (h *handle) readWide(p []byte, off int64) error {
	buf := extent.Buffer()
	defer extent.Release(buf)
	for len(p) > 0 {
		start := off / h.unit * h.unit
		end := min(start+extent.BufferSize, (off+int64(len(p))+h.unit-1)/h.unit*h.unit)
		b := buf[:end-start]
		n, err := h.direct.ReadAt(b, start)
		if n < len(b) && start+int64(n) < min(end, h.size) {
			return short(err)
		}
		n = copy(p, b[off-start:])
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// WriteAt writes as io.WriterAt says, never behind the end. Any error is a
// *WriteError.
func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > h.size || int64(len(p)) > h.size-off {
		return 0, &WriteError{h.path, extent.Extent{Off: off, Len: int64(len(p))}, errBehindEnd}
	}
	done := 0
	for done < len(p) {
		step := min(len(p)-done, extent.BufferSize)
		b := p[done : done+step]
		if err := h.write(b, off+int64(done)); err != nil {
			good, err := h.writeError(b, off+int64(done), int64(len(p)-done), err)
			if err != nil {
				return done + int(good), err
			}
		}
		done += step
	}
	return done, nil
}

var errBehindEnd = errors.New("that is behind the end of the disk")

// write writes p, at most a buffer's size and within the disk.
func (h *handle) write(p []byte, off int64) error {
	if h.direct == nil || !h.whole(p, off) {
		return h.writeCached(p, off)
	}
	b := p
	if !aligned(p, h.unit) {
		buf := extent.Buffer()
		defer extent.Release(buf)
		b = buf[:copy(buf[:], p)]
	}
	err := h.writeDirect(b, off)
	if errors.Is(err, unix.EINVAL) {
		return h.writeCached(p, off)
	}
	return err
}

func (h *handle) writeDirect(p []byte, off int64) error {
	h.mixed.RLock()
	defer h.mixed.RUnlock()
	_, err := h.direct.WriteAt(p, off)
	return err
}

// writeCached writes through the page cache, and never while a direct write is
// under way: if both touch one page, the page keeps, and writes back, what the
// direct write has just replaced. Linux notices at times, and fsync fails with
// EIO (seen with 6.18).
func (h *handle) writeCached(p []byte, off int64) error {
	h.mixed.Lock()
	defer h.mixed.Unlock()
	if _, err := h.cached.WriteAt(p, off); err != nil {
		return err
	}
	if h.behind.Add(int64(len(p))) < dirtyLimit {
		return nil
	}
	h.behind.Store(0)
	return writeBehind(h.cached)
}

// whole tells whether offset and length suit direct I/O.
func (h *handle) whole(p []byte, off int64) bool {
	return off%h.unit == 0 && int64(len(p))%h.unit == 0
}

func aligned(p []byte, unit int64) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(p)))%uintptr(unit) == 0
}

// full makes an error of a read that was too short.
func full(n int, err error) func(want int) error {
	return func(want int) error {
		if n == want {
			return nil
		}
		return short(err)
	}
}

func short(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF // it has become smaller
	}
	return err
}
