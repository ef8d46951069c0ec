// Package onefile answers: what does a file system look like that has one file,
// which a process makes up? It is the part of a FUSE server that is the same
// whatever the file holds; who embeds it says how it is written and synced, and
// mounts it.
package onefile

import (
	"io"
	"os"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

const (
	// Name is that of the file.
	Name = "disk"

	rootID = fuse.FUSE_ROOT_ID
	fileID = rootID + 1
	// keepAttrs is how long the kernel believes what it was told, seconds.
	keepAttrs = 3600
	// statBlock is what stat counts in, bytes.
	statBlock = 512
)

// An FS serves one file of a fixed size. It reads and lists; Write and Fsync are
// for who embeds it.
type FS struct {
	fuse.RawFileSystem
	size  int64
	flags uint32
	r     io.ReaderAt
}

// New makes an FS whose file shows size bytes of r. With direct, reads and writes
// come past the page cache.
func New(r io.ReaderAt, size int64, direct bool) FS {
	fs := FS{fuse.NewDefaultRawFileSystem(), size, fuse.FOPEN_NOFLUSH, r} // closing sends nothing here
	if direct {
		fs.flags |= fuse.FOPEN_DIRECT_IO
	}
	return fs
}

func (f *FS) attr(id uint64, a *fuse.Attr) fuse.Status {
	switch id {
	case rootID:
		*a = fuse.Attr{Ino: id, Mode: syscall.S_IFDIR | 0o700, Nlink: 2}
	case fileID:
		*a = fuse.Attr{Ino: id, Mode: syscall.S_IFREG | 0o600, Nlink: 1, Size: uint64(f.size), Blocks: uint64(f.size / statBlock)}
	default:
		return fuse.ENOENT
	}
	a.Owner = fuse.Owner{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}
	return fuse.OK
}

// Lookup finds the one file.
func (f *FS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if h.NodeId != rootID || name != Name {
		return fuse.ENOENT
	}
	out.NodeId, out.AttrValid, out.EntryValid = fileID, keepAttrs, keepAttrs
	return f.attr(fileID, &out.Attr)
}

// GetAttr describes a file.
func (f *FS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	out.AttrValid = keepAttrs
	return f.attr(in.NodeId, &out.Attr)
}

// SetAttr changes nothing: a disk keeps its size, and has no times. resize2fs cuts
// its file off at the end.
func (f *FS) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return f.attr(in.NodeId, &out.Attr)
}

// Open opens the file.
func (f *FS) Open(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = f.flags
	return fuse.OK
}

// Read reads the file.
func (f *FS) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n, err := f.r.ReadAt(buf, int64(in.Offset))
	if err != nil && n == 0 && int64(in.Offset) < f.size {
		return nil, fuse.EIO
	}
	return fuse.ReadResultData(buf[:n]), fuse.OK
}

// Flush is no sync.
func (f *FS) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }
