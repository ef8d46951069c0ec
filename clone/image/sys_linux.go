package image

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// seekData finds the first byte from off that is not in a hole, and the hole
// behind it: both the end of the file where there is none.
func seekData(f *os.File, off int64) (data, hole int64, err error) {
	data, err = f.Seek(off, unix.SEEK_DATA)
	if errors.Is(err, syscall.ENXIO) {
		end, err := f.Seek(0, io.SeekEnd)
		return end, end, err
	}
	if err != nil {
		return 0, 0, err
	}
	hole, err = f.Seek(data, unix.SEEK_HOLE)
	return data, hole, err
}

// startWriting asks the kernel to write the bytes out, and goes on.
func startWriting(f *os.File, off, n int64) error {
	return unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// waitWritten waits until the bytes are written out.
func waitWritten(f *os.File, off, n int64) error {
	return unix.SyncFileRange(int(f.Fd()), off, n,
		unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
}

// forget takes the bytes out of the page cache.
func forget(f *os.File, off, n int64) error {
	return unix.Fadvise(int(f.Fd()), off, n, unix.FADV_DONTNEED)
}

// punch makes a hole.
func punch(f *os.File, off, n int64) error {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

// room is how many bytes the file system of path has left for us.
func room(path string) (int64, error) {
	var st unix.Statfs_t
	err := unix.Statfs(path, &st)
	return int64(min(st.Bavail, 1<<62/uint64(max(st.Bsize, 1)))) * int64(st.Bsize), err
}
