package ext4

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// Times are when a file's content and its inode were last changed, as the inode
// keeps them. They may be compared.
type Times struct{ mtime, ctime, mtimeExtra, ctimeExtra uint32 }

// SetTimes gives an inode the times that a Stat told, through w, which must write
// where the file system is read from. It refuses the file systems that Patch
// refuses. Where the error is a write's, the inode may be damaged.
func (f *FS) SetTimes(w io.WriterAt, ino uint32, t Times) error {
	err := f.writable()
	var in *inode
	if err == nil {
		in, err = f.now.inode(ino)
	}
	if err == nil {
		in.setTimes(t)
		err = f.writeInode(w, in)
	}
	if err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	return nil
}

func (in *inode) times() Times {
	le := binary.LittleEndian
	t := Times{mtime: le.Uint32(in.raw[offMTime:]), ctime: le.Uint32(in.raw[offCTime:])}
	if in.has(offCTimeExtra + 4) {
		t.ctimeExtra = le.Uint32(in.raw[offCTimeExtra:])
	}
	if in.has(offMTimeExtra + 4) {
		t.mtimeExtra = le.Uint32(in.raw[offMTimeExtra:])
	}
	return t
}

func (in *inode) setTimes(t Times) {
	le := binary.LittleEndian
	le.PutUint32(in.raw[offMTime:], t.mtime)
	le.PutUint32(in.raw[offCTime:], t.ctime)
	if in.has(offCTimeExtra + 4) {
		le.PutUint32(in.raw[offCTimeExtra:], t.ctimeExtra)
	}
	if in.has(offMTimeExtra + 4) {
		le.PutUint32(in.raw[offMTimeExtra:], t.mtimeExtra)
	}
}

func (t Times) mod() time.Time    { return decodeTime(t.mtime, t.mtimeExtra) }
func (t Times) change() time.Time { return decodeTime(t.ctime, t.ctimeExtra) }

// decodeTime reads seconds and what extends them: two more bits, and nanoseconds.
// Linux v6.12, fs/ext4/ext4.h, ext4_decode_extra_time.
func decodeTime(sec, extra uint32) time.Time {
	return time.Unix(int64(int32(sec))+int64(extra&3)<<32, int64(extra>>2))
}
