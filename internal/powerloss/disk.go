package powerloss

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"lifeboat/internal/fixture"
	"lifeboat/internal/onefile"
)

// maxIO is the largest write that comes as one, bytes.
const maxIO = 1 << 20

// A Disk is an image file that remembers what is done to it. It is the one file
// of a file system that this process serves, so that nothing comes around it.
type Disk struct {
	onefile.FS
	// config
	path   string
	size   int64
	base   string
	live   *os.File // what the disk holds now
	server *fuse.Server

	// state
	mu  sync.Mutex
	ops []op
}

// Open makes a disk that begins as the image file base, which stays as it is and
// must not change.
func Open(tb testing.TB, base string) *Disk {
	tb.Helper()
	fixture.Root(tb)
	dir := tb.TempDir()
	live, err := os.Create(filepath.Join(dir, "live"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { live.Close() })
	if err := copySparse(live, base); err != nil {
		tb.Fatal(err)
	}
	st, err := live.Stat()
	if err != nil {
		tb.Fatal(err)
	}
	mount := filepath.Join(dir, "mount")
	if err := os.Mkdir(mount, 0o700); err != nil {
		tb.Fatal(err)
	}
	d := &Disk{FS: onefile.New(live, st.Size(), false), path: filepath.Join(mount, onefile.Name), size: st.Size(), base: base, live: live}
	d.server, err = fuse.NewServer(d, mount, &fuse.MountOptions{MaxWrite: maxIO, DirectMountStrict: true, DisableSplice: true, FsName: "powerloss", Name: "powerloss"})
	if err != nil {
		fixture.Missing(tb, "FUSE: "+err.Error())
	}
	go d.server.Serve()
	tb.Cleanup(func() {
		if err := d.unmount(); err != nil {
			tb.Errorf("unmount %s: %v", mount, err)
		}
	})
	if err := d.server.WaitMount(); err != nil {
		tb.Fatal(err)
	}
	return d
}

// unmount waits for the kernel to let go of what its users have just closed.
func (d *Disk) unmount() error {
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(50 * time.Millisecond) {
		err := d.server.Unmount()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// Path is where the disk's users find it.
func (d *Disk) Path() string { return d.path }

// Log is what happened until now.
func (d *Disk) Log() *Log {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Log{base: d.base, ops: d.ops[:len(d.ops):len(d.ops)]}
}

// Live is a file that holds what the disk holds now. Who writes to it goes
// around the log.
func (d *Disk) Live() string { return d.live.Name() }

// Write remembers, then writes.
func (d *Disk) Write(_ <-chan struct{}, in *fuse.WriteIn, b []byte) (uint32, fuse.Status) {
	if int64(in.Offset)+int64(len(b)) > d.size {
		return 0, fuse.Status(syscall.ENOSPC)
	}
	return uint32(len(b)), d.note(op{int64(in.Offset), append([]byte{}, b...)})
}

// Fallocate makes zeros; a hole is nothing else to a disk.
func (d *Disk) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	const zeros = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_ZERO_RANGE
	if in.Mode&zeros == 0 || int64(in.Offset)+int64(in.Length) > d.size {
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	return d.note(op{int64(in.Offset), make([]byte, in.Length)})
}

// Fsync remembers that all before it is safe.
func (d *Disk) Fsync(<-chan struct{}, *fuse.FsyncIn) fuse.Status { return d.note(op{}) }

func (d *Disk) note(o op) fuse.Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ops = append(d.ops, o)
	if o.data != nil {
		if _, err := d.live.WriteAt(o.data, o.off); err != nil {
			return fuse.EIO
		}
	}
	return fuse.OK
}
