package disk

import (
	"io/fs"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// One system call a function, and no logic.

func statOf(info fs.FileInfo) *syscall.Stat_t { return info.Sys().(*syscall.Stat_t) }

func ioctl(f *os.File, request uint, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(request), uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// blockSize is the size of a block device; the kernel writes 64 bits also on
// 32-bit machines.
func blockSize(f *os.File) (size uint64, err error) {
	err = ioctl(f, unix.BLKGETSIZE64, unsafe.Pointer(&size))
	return size, err
}

func blockSector(f *os.File) (sector int32, err error) {
	err = ioctl(f, unix.BLKSSZGET, unsafe.Pointer(&sector))
	return sector, err
}

func blockSeq(f *os.File) (seq uint64, err error) {
	err = ioctl(f, unix.BLKGETDISKSEQ, unsafe.Pointer(&seq))
	return seq, err
}

func blockFlush(f *os.File) error { return ioctl(f, unix.BLKFLSBUF, nil) }

func blockReread(f *os.File) error { return ioctl(f, unix.BLKRRPART, nil) }

func blockZero(f *os.File, off, size int64) error {
	arg := [2]uint64{uint64(off), uint64(size)}
	return ioctl(f, unix.BLKZEROOUT, unsafe.Pointer(&arg))
}

func blockDiscard(f *os.File, off, size int64) error {
	arg := [2]uint64{uint64(off), uint64(size)}
	return ioctl(f, unix.BLKDISCARD, unsafe.Pointer(&arg))
}

// A blkpgPartition is struct blkpg_partition of Linux, include/uapi/linux/blkpg.h.
type blkpgPartition struct {
	Start, Length int64
	Num           int32
	_             [128]byte // names that the kernel ignores
	_             int32
}

func blockPartition(f *os.File, op int32, p *blkpgPartition) error {
	arg := unix.BlkpgIoctlArg{Op: op, Datalen: int32(unsafe.Sizeof(*p)), Data: (*byte)(unsafe.Pointer(p))}
	return ioctl(f, unix.BLKPG, unsafe.Pointer(&arg))
}

func filePunch(f *os.File, off, size int64) error {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, size)
}

func forget(f *os.File) error { return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }

// writeBehind writes back all dirty pages of f, and waits, without a flush of
// the disk's own cache.
func writeBehind(f *os.File) error {
	return unix.SyncFileRange(int(f.Fd()), 0, 0,
		unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
}

func loopFree(control *os.File) (int, error) {
	return unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
}

func loopConfigure(loop *os.File, c *unix.LoopConfig) error {
	return unix.IoctlLoopConfigure(int(loop.Fd()), c)
}

func loopStatus(loop *os.File) (*unix.LoopInfo64, error) {
	return unix.IoctlLoopGetStatus64(int(loop.Fd()))
}

func loopClear(loop *os.File) error { return unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_CLR_FD, 0) }

// lock takes the whole-file lock of flock(2), or says that another has it.
func lock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
