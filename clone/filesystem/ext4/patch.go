package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxPatch is the largest file that Patch takes, bytes.
const maxPatch = 1 << 20

// Patch rewrites a small regular file of an image in place, through its own
// blocks: no mount, no root. The edit gets the file's bytes and returns the new
// ones, which may be fewer or more as long as they need as many blocks. Links
// are followed. Times stay as they were.
//
// It refuses a file system whose journal waits for its replay or in which
// errors were found, and a file that is shared, sealed, encrypted, or has holes.
// Where the error is a write's, the file may hold a mix of old and new bytes.
func Patch(rw interface {
	io.ReaderAt
	io.WriterAt
}, size int64, name string, edit func([]byte) ([]byte, error)) error {
	f, err := Open(rw, size)
	if err != nil {
		return fmt.Errorf("patch %s: %w", name, err)
	}
	if err := f.patch(rw, name, edit); err != nil {
		return fmt.Errorf("patch %s: %w", name, err)
	}
	return nil
}

func (f *FS) patch(w io.WriterAt, name string, edit func([]byte) ([]byte, error)) error {
	if err := f.writable(); err != nil {
		return err
	}
	walk := newWalker(f.now)
	in, err := walk.find(name, true)
	if err != nil {
		return err
	}
	if err := f.patchable(in); err != nil {
		return err
	}
	old, err := walk.content(in)
	if err != nil {
		return err
	}
	data, err := edit(old)
	if err != nil {
		return err
	}
	if in.flags&flagInlineData != 0 {
		return f.writeInline(w, in, data)
	}
	return f.writeBlocks(w, in, data)
}

// writable is nil where a write to the file system means what it says.
func (f *FS) writable() error {
	if f.log != nil {
		return errors.New("the file system was not cleanly unmounted, its journal must be replayed first")
	}
	return f.doubt()
}

func (f *FS) patchable(in *inode) error {
	switch {
	case !in.isRegular():
		return errors.New("it is not a regular file")
	case in.flags&(flagEncrypt|flagVerity|flagEAInode) != 0:
		return errors.New("it is encrypted or sealed")
	case f.now.sb.ro&roSharedBlocks != 0:
		return errors.New("its blocks may belong to other files too")
	case in.size > maxPatch:
		return fmt.Errorf("it has %d bytes, more than %d", in.size, maxPatch)
	}
	return nil
}

// writeBlocks writes data over the blocks of a file, zeros behind it, and then
// the new size.
func (f *FS) writeBlocks(w io.WriterAt, in *inode, data []byte) error {
	bs := f.now.sb.block
	blocks := func(n int64) int64 { return (n + bs - 1) / bs }
	n := blocks(in.size)
	if blocks(int64(len(data))) != n {
		return fmt.Errorf("%d bytes do not fit in place of %d: its blocks have %d", len(data), in.size, bs)
	}
	m, err := f.now.mapping(in)
	if err != nil {
		return err
	}
	padded := make([]byte, n*bs)
	copy(padded, data)
	places := make([]int64, n)
	for i := range n {
		place, ok := m.place(i)
		if !ok {
			return errors.New("it has holes")
		}
		places[i] = place
	}
	for i, place := range places {
		if _, err := w.WriteAt(padded[int64(i)*bs:][:bs], place); err != nil {
			return fmt.Errorf("write %d bytes at %d: %w", bs, place, err)
		}
	}
	if int64(len(data)) == in.size {
		return nil
	}
	return f.writeSize(w, in, int64(len(data)))
}

// writeInline writes data into the inode, where all of it lies before the
// attributes.
func (f *FS) writeInline(w io.WriterAt, in *inode, data []byte) error {
	if in.size > iblockSize || len(data) > iblockSize {
		return fmt.Errorf("it lies in its inode, where only %d bytes can be changed", iblockSize)
	}
	clear(in.iblock())
	copy(in.iblock(), data)
	return f.writeSize(w, in, int64(len(data)))
}

// writeSize writes the inode with a new size.
func (f *FS) writeSize(w io.WriterAt, in *inode, size int64) error {
	binary.LittleEndian.PutUint32(in.raw[offSize:], uint32(size)) // at most maxPatch
	return f.writeInode(w, in)
}

// writeInode writes the inode with its checksum.
func (f *FS) writeInode(w io.WriterAt, in *inode) error {
	f.now.sb.setCsum(in)
	if _, err := w.WriteAt(in.raw, in.off); err != nil {
		return fmt.Errorf("write inode %d: %w", in.num, err)
	}
	return nil
}
