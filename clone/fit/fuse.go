package fit

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"lifeboat/internal/onefile"
)

// maxIO is the largest read or write that the kernel sends.
const maxIO = 512 << 10

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
	s, err := fuse.NewServer(&diskFS{onefile.New(d, d.blocks*d.block, true), d}, fmt.Sprintf("/dev/fd/%d", fd),
		&fuse.MountOptions{MaxWrite: maxIO, DisableSplice: true})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serve a fuse file system: %w", err), mount.Close())
	}
	srv := &server{mount: mount, done: make(chan struct{})}
	go func() { s.Serve(); close(srv.done) }()
	if srv.disk, err = handle(mount, onefile.Name); err != nil {
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
	onefile.FS
	d *device
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

// Fsync does nothing: Finish syncs the target.
func (f *diskFS) Fsync(<-chan struct{}, *fuse.FsyncIn) fuse.Status { return fuse.OK }
