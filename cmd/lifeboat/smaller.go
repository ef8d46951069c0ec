package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/image"
	"lifeboat/internal/atomicfile"
	"lifeboat/internal/progress"
)

// lookSmaller looks at the part that has to give room where the target is
// smaller than the source; nil where it is not.
func (e *env) lookSmaller(ctx context.Context, src *origin, target disk.Facts, grow int) (*clone.Smaller, error) {
	if src.head.Size <= target.Disk.Size || grow == clone.GrowNone {
		return nil, nil
	}
	if err := e.loadFuse(ctx); err != nil {
		return nil, err
	}
	if src.running == nil {
		return e.runner().LookSmaller(ctx, src.Source, src.head, grow, nil)
	}
	now, err := disk.OpenSource(e.sys, src.disk.Disk.Path)
	if err != nil {
		return nil, err
	}
	look, err := e.runner().LookSmaller(ctx, src.Source, src.head, grow, now)
	return look, errors.Join(err, now.Close())
}

// loadFuse has the kernel load FUSE, where that is a module that nobody has asked
// for yet. Whether it could shows when /dev/fuse is opened.
func (e *env) loadFuse(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(e.sys.Dev, "fuse")); err == nil || !e.have("modprobe") {
		return nil
	}
	_, _, err := e.tools.Run(ctx, "modprobe", "fuse")
	return err
}

// shrinkInto copies an image to a new file that is as small as its content
// allows. The file appears whole, or not at all.
func (e *env) shrinkInto(ctx context.Context, o resizeOptions) error {
	if _, err := os.Lstat(o.into); !errors.Is(err, fs.ErrNotExist) {
		return &clone.Refusal{Err: fmt.Errorf("%s exists already", o.into), Hint: "give the name of a new file: an image is not made smaller in place"}
	}
	src, err := e.openOrigin(ctx, o.place, image.Options{Logf: e.logf})
	if err != nil {
		return err
	}
	return errors.Join(e.shrinkOrigin(ctx, src, o), src.Close())
}

func (e *env) shrinkOrigin(ctx context.Context, src *origin, o resizeOptions) error {
	size := clone.SmallestDisk(src.head)
	if size == 0 {
		return &clone.Refusal{Err: fmt.Errorf("%s: how small its content can be is not known", src.place), Hint: "its last part must be ext2, ext3 or ext4, and clean; a packed image must be unpacked"}
	}
	if size >= src.head.Size {
		return &clone.Refusal{Err: fmt.Errorf("%s is as small as its content already: that needs %s", src.place, progress.Bytes(size))}
	}
	temp, err := emptyImage(o.into, size)
	if err != nil {
		return err
	}
	err = e.fill(ctx, src, restoreOptions{from: o.place, to: temp, ids: string(clone.KeepIDs), yes: o.yes, noVerify: o.noVerify})
	if e.dry || err != nil && exitCode(err) != exitReserved {
		return errors.Join(err, os.Remove(temp))
	}
	if err := errors.Join(err, atomicfile.Rename(temp, o.into)); err != nil || e.json {
		return err
	}
	fmt.Fprintf(e.stdout, "%s: %s, of %s\n", o.into, progress.Bytes(size), progress.Bytes(src.head.Size))
	return nil
}

// emptyImage makes a sparse file of size bytes beside path, with a name that
// atomicfile.Sweep knows: the next run removes it if this one is killed. It is
// none of atomicfile's own, whose lock would keep it from being claimed.
func emptyImage(path string, size int64) (string, error) {
	atomicfile.Sweep(path)
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"*")
	if err != nil {
		return "", err
	}
	return f.Name(), errors.Join(f.Truncate(size), f.Chmod(0o644), f.Close())
}
