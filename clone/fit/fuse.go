package fit

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

const (
	diskName = "disk"
	rootID   = fuse.FUSE_ROOT_ID
	diskID   = rootID + 1
	// maxIO is the largest read or write that the kernel sends.
	maxIO = 512 << 10
	// keepAttrs is how long the kernel believes what it was told, seconds.
	keepAttrs = 3600
)

// A server is a virtual file system with one file, the device. It lies in no
// folder: programs open the file through this process's descriptor.
type server struct {
	mount, disk *os.File
	done        chan struct{}
}

// serve starts a server. Nobody opens its file in this process: the kernel waits
// for the server when such a file is closed, which would be for ever when the
// process is killed.
func serve(d *device, open func() (*os.File, error)) (*server, error) {
	dev, err := open()
	if err != nil {
		return nil, fmt.Errorf("open /dev/fuse: %w", err)
	}
	defer dev.Close()
	mount, err := mountFuse(dev.Fd())
	if err != nil {
		return nil, err
	}
	fd, err := duplicate(dev)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("duplicate /dev/fuse: %w", err), mount.Close())
	}
	// go-fuse takes and closes the descriptor. Splices do not help for blocks
	// that are made up, and are loud where a pipe is too small.
	s, err := fuse.NewServer(&diskFS{fuse.NewDefaultRawFileSystem(), d}, fmt.Sprintf("/dev/fd/%d", fd),
		&fuse.MountOptions{MaxWrite: maxIO, DisableSplice: true})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serve a fuse file system: %w", err), mount.Close())
	}
	srv := &server{mount: mount, done: make(chan struct{})}
	go func() { s.Serve(); close(srv.done) }()
	if srv.disk, err = handle(mount, diskName); err != nil {
		return nil, errors.Join(err, srv.Close())
	}
	return srv, nil
}

// Path is where programs find the device.
func (s *server) Path() string { return ownFile(s.disk.Fd()) }

// Close ends the server. The programs that used it must have ended.
func (s *server) Close() error {
	err := s.mount.Close()
	if s.disk != nil {
		err = errors.Join(err, s.disk.Close())
	}
	<-s.done
	return err
}

// diskFS is what the kernel asks.
type diskFS struct {
	fuse.RawFileSystem
	d *device
}

func (f *diskFS) attr(id uint64, a *fuse.Attr) fuse.Status {
	size := uint64(f.d.blocks * f.d.block)
	switch id {
	case rootID:
		*a = fuse.Attr{Ino: id, Mode: syscall.S_IFDIR | 0o700, Nlink: 2}
	case diskID:
		*a = fuse.Attr{Ino: id, Mode: syscall.S_IFREG | 0o600, Nlink: 1, Size: size, Blocks: size / 512}
	default:
		return fuse.ENOENT
	}
	a.Owner = fuse.Owner{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}
	return fuse.OK
}

// Lookup finds the one file.
func (f *diskFS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if h.NodeId != rootID || name != diskName {
		return fuse.ENOENT
	}
	out.NodeId, out.AttrValid, out.EntryValid = diskID, keepAttrs, keepAttrs
	return f.attr(diskID, &out.Attr)
}

// GetAttr describes a file.
func (f *diskFS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	out.AttrValid = keepAttrs
	return f.attr(in.NodeId, &out.Attr)
}

// SetAttr changes nothing: resize2fs cuts its file off at the end.
func (f *diskFS) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return f.attr(in.NodeId, &out.Attr)
}

// Open lets reads and writes come here at once, past the page cache.
func (f *diskFS) Open(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_DIRECT_IO | fuse.FOPEN_NOFLUSH
	return fuse.OK
}

func (f *diskFS) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n, err := f.d.ReadAt(buf, int64(in.Offset))
	if err != nil && n == 0 && int64(in.Offset) < f.d.blocks*f.d.block {
		return nil, fuse.EIO
	}
	return fuse.ReadResultData(buf[:n]), fuse.OK
}

func (f *diskFS) Write(_ <-chan struct{}, in *fuse.WriteIn, b []byte) (uint32, fuse.Status) {
	n, err := f.d.WriteAt(b, int64(in.Offset))
	switch {
	case errors.Is(err, errNoRoom):
		return 0, fuse.Status(syscall.ENOSPC)
	case err != nil:
		return 0, fuse.EIO
	}
	return uint32(n), fuse.OK
}

// Fsync and Flush do nothing: Finish syncs the target.
func (f *diskFS) Fsync(<-chan struct{}, *fuse.FsyncIn) fuse.Status { return fuse.OK }
func (f *diskFS) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }
