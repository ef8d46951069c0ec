package filesystem

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"lifeboat/clone/manifest"
)

// GrowMounted makes a mounted ext file system as large as its device, which has
// size bytes: the kernel does it while the file system is used. dir is a folder
// in it, such as where it is mounted. It returns when the new size is on the
// medium.
func GrowMounted(dir string, fs manifest.FS, size int64) error {
	if !CanGrow(fs) || fs.Block <= 0 {
		return fmt.Errorf("grow %s: there is no way to grow %s while it is mounted", dir, fs.Type)
	}
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("grow %s: %w", dir, err)
	}
	defer f.Close()
	err = resizeExt(f, uint64(size/fs.Block))
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("grow %s: only root with the capability SYS_RESOURCE may: %w", dir, err)
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("grow %s: it is mounted read-only: %w", dir, err)
	case err != nil:
		return fmt.Errorf("grow %s to %d blocks: %w", dir, size/fs.Block, err)
	}
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// ErrNotGrown is what Grow returns where nothing here can grow a file system. It
// is whole, and as large as it was.
var ErrNotGrown = errors.New("it cannot be made larger here")

// growByKernel makes the ext file system on a block device larger while it is
// mounted in no folder.
func growByKernel(device string, fs manifest.FS, size int64) error {
	mount, err := mountUnseen(device, "ext4")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotGrown, err)
	}
	err = GrowMounted(fmt.Sprintf("/proc/self/fd/%d", mount.Fd()), fs, size)
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("%w: %w", ErrNotGrown, err)
	}
	return errors.Join(err, mount.Close())
}
