package disk

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"lifeboat/clone/extent"
)

// A Target is a disk, or an image file in a disk's place, that may be
// overwritten. Its ReadAt and WriteAt take any offset and length within it, from
// any number of goroutines, and see each other's bytes; whole sectors in aligned
// memory (extent.Buffer) go past the page cache. It has no cursor. A failed
// write is a *WriteError.
type Target struct {
	*handle
	sys   *Sys
	facts Facts
	areas []*handle // of the boot areas: held, not used
}

// Facts are what the target was when it was claimed.
func (t *Target) Facts() Facts { return t.facts }

// Path is the node of the disk, or the file.
func (t *Target) Path() string { return t.path }

// Size is the number of bytes of the target. It does not change.
func (t *Target) Size() int64 { return t.size }

// Sector is the size of a logical sector.
func (t *Target) Sector() int64 { return t.facts.Disk.Sector }

// Sync returns when all that was written is on the medium. It may take minutes
// on a slow card, and cannot be interrupted once it has begun.
func (t *Target) Sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.behind.Store(0)
	if err := t.cached.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", t.path, cause(err))
	}
	return nil
}

// DropCache makes sure that the next reads come from the medium, not from
// memory. It writes back first what is still to be written.
func (t *Target) DropCache() error {
	if err := t.cached.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", t.path, cause(err))
	}
	if t.disk {
		if err := blockFlush(t.cached); err != nil && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("drop the cache of %s: %w", t.path, err)
		}
	}
	if err := forget(t.cached); err != nil {
		return fmt.Errorf("drop the cache of %s: %w", t.path, err)
	}
	return nil
}

// How much is zeroed or discarded in one call: the kernel cannot be interrupted
// inside one.
const (
	zeroStep    = 16 << 20
	discardStep = 256 << 20
)

// WriteZeros makes all bytes of e zero, by the disk's own means where it has
// some; in a file it makes a hole.
func (t *Target) WriteZeros(ctx context.Context, e extent.Extent) error {
	if err := t.within(e); err != nil {
		return err
	}
	for off := e.Off; off < e.End(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		step := extent.Extent{Off: off, Len: min(zeroStep-off%zeroStep, e.End()-off)}
		if err := t.zero(step); err != nil {
			return err
		}
		off = step.End()
	}
	return nil
}

// zero tries the quick way, and writes zeros where that is barred or fails.
func (t *Target) zero(e extent.Extent) error {
	whole := e.Off%t.unit == 0 && e.Len%t.unit == 0
	switch {
	case t.disk && whole && blockZero(t.cached, e.Off, e.Len) == nil:
		return nil
	case !t.disk && filePunch(t.cached, e.Off, e.Len) == nil:
		return nil
	}
	return t.writeZeros(e)
}

func (t *Target) writeZeros(e extent.Extent) error {
	buf := extent.Buffer()
	defer extent.Release(buf)
	clear(buf[:])
	for off := e.Off; off < e.End(); {
		n, err := t.WriteAt(buf[:min(extent.BufferSize, e.End()-off)], off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// Discard tells the disk that the bytes of e are not needed: what is read there
// next can be anything. A disk that cannot be told is no error.
func (t *Target) Discard(ctx context.Context, e extent.Extent) error {
	if err := t.within(e); err != nil {
		return err
	}
	start := (e.Off + t.unit - 1) / t.unit * t.unit
	end := e.End() / t.unit * t.unit
	for off := start; off < end; off += discardStep {
		if err := ctx.Err(); err != nil {
			return err
		}
		discard := filePunch
		if t.disk {
			discard = blockDiscard
		}
		err := discard(t.cached, off, min(discardStep, end-off))
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
			return nil
		}
		if err != nil {
			return &WriteError{t.path, extent.Extent{Off: off, Len: end - off}, err}
		}
	}
	return nil
}

func (t *Target) within(e extent.Extent) error {
	if e.Off < 0 || e.Len < 0 || e.Off > t.size || e.Len > t.size-e.Off {
		return &WriteError{t.path, e, errBehindEnd}
	}
	return nil
}

// Close gives the target up. It does not sync.
func (t *Target) Close() error {
	errs := []error{t.handle.Close()}
	for _, h := range t.areas {
		errs = append(errs, h.Close())
	}
	return errors.Join(errs...)
}
