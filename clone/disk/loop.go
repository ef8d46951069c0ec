package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A Device is a block device over a window, which mkfs, fsck, resize2fs and
// mount can use while the disk below it stays claimed: a loop device over the
// claimed descriptor itself, where the part's own node would be busy.
type Device struct {
	f    *os.File
	name string
	w    *Window
}

// Loop numbers are shared by the whole system: between asking for a free one and
// taking it, another program may have been faster.
const loopTries = 16

// Device lends the window as a block device, until Close. Where that is not
// permitted the error wraps ErrNoLoop.
func (w *Window) Device(ctx context.Context) (*Device, error) {
	if err := w.t.within(w.e); err != nil {
		return nil, err
	}
	control, err := os.OpenFile(filepath.Join(w.t.sys.Dev, "loop-control"), os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoLoop, err)
	}
	defer control.Close()
	for range loopTries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := loopFree(control)
		if err != nil {
			return nil, fmt.Errorf("%w: ask for a free number: %w", ErrNoLoop, err)
		}
		d, err := w.attach(fmt.Sprintf("loop%d", n))
		if !errors.Is(err, unix.EBUSY) {
			return d, err
		}
	}
	return nil, fmt.Errorf("loop device over %s: %d free ones were taken by others", w.t.path, loopTries)
}

func (w *Window) attach(name string) (*Device, error) {
	node := w.t.sys.node(name)
	f, err := os.OpenFile(node, os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoLoop, err)
	}
	config := &unix.LoopConfig{
		Fd:   uint32(w.t.cached.Fd()),
		Size: uint32(w.t.Sector()),
		Info: unix.LoopInfo64{
			Offset:    uint64(w.e.Off),
			Sizelimit: uint64(w.e.Len),
			Flags:     unix.LO_FLAGS_AUTOCLEAR, // gone with us, even if we are killed
		},
	}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], w.t.path)
	if err := loopConfigure(f, config); err != nil {
		return nil, errors.Join(fmt.Errorf("lay %s over %s: %w", node, w.t.path, err), f.Close())
	}
	d := &Device{f: f, name: name, w: w}
	if size, err := blockSize(f); err != nil || int64(size) != w.e.Len {
		err := fmt.Errorf("lay %s over %s: it has %d bytes instead of %d", node, w.t.path, size, w.e.Len)
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Path is the node of the device.
func (d *Device) Path() string { return d.f.Name() }

// How long Close waits for others, such as udev, to let go of the device.
const (
	closeWait = 10 * time.Second
	closePoll = 10 * time.Millisecond
)

// Close writes back what is in the device's cache, and detaches it. Afterwards
// the target reads what was written through the device. While the device is
// still mounted or open elsewhere Close waits, and then returns an error: the
// target stays claimed until that user ends.
func (d *Device) Close() error {
	err := d.f.Sync()
	if err != nil {
		err = fmt.Errorf("sync %s: %w", d.Path(), cause(err))
	}
	if cerr := blockFlush(d.f); cerr != nil {
		err = errors.Join(err, fmt.Errorf("drop the cache of %s: %w", d.Path(), cerr))
	}
	if cerr := loopClear(d.f); cerr != nil && !errors.Is(cerr, unix.ENXIO) {
		err = errors.Join(err, fmt.Errorf("detach %s: %w", d.Path(), cerr))
	}
	return errors.Join(err, d.f.Close(), d.waitDetached())
}

// waitDetached waits until the kernel has let go of the target's descriptor.
func (d *Device) waitDetached() error {
	backing := "block/" + d.name + "/loop/backing_file"
	for deadline := time.Now().Add(closeWait); ; {
		b, err := fs.ReadFile(d.w.t.sys.Sys, backing)
		if err != nil || len(b) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("detach %s: another program still has it open", d.Path())
		}
		<-time.After(closePoll)
	}
}
