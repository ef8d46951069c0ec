package ext4

import (
	"encoding/binary"
	"io"
	"slices"

	"lifeboat/clone/extent"
)

// maxLogged bounds what the replay of a log may take in memory: as many blocks
// as the largest journal that mke2fs makes by itself, with room.
const maxLogged = 1 << 20

// An overlay shows the part as it will be when the log was replayed: a block
// that the log holds is read from there.
type overlay struct {
	r      io.ReaderAt
	block  int64
	logged map[int64]logged // by block number
}

// logged is the last state of one block in the log.
type logged struct {
	off     int64 // bytes from the part's start
	escaped bool  // its first word was the journal's magic
}

// ReadAt reads through the log.
func (o *overlay) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.r.ReadAt(p, off)
	if err != nil && err != io.EOF {
		return n, err
	}
	for b := off / o.block; b*o.block < off+int64(n); b++ {
		l, ok := o.logged[b]
		if !ok {
			continue
		}
		// The part of block b that lies in p.
		from, to := max(off, b*o.block), min(off+int64(n), (b+1)*o.block)
		if err := o.readLogged(p[from-off:to-off], l, from-b*o.block); err != nil {
			return 0, err
		}
	}
	return n, err
}

// readLogged fills p from byte skip of a logged block on.
func (o *overlay) readLogged(p []byte, l logged, skip int64) error {
	if err := readAt(o.r, p, l.off+skip); err != nil {
		return err
	}
	if l.escaped && skip < 4 {
		var magic [4]byte
		binary.BigEndian.PutUint32(magic[:], journalMagic)
		copy(p, magic[skip:])
	}
	return nil
}

// targets are the bytes that the replay will write.
func (o *overlay) targets() extent.Set {
	es := make([]extent.Extent, 0, len(o.logged))
	for b := range o.logged {
		es = append(es, extent.Extent{Off: b * o.block, Len: o.block})
	}
	return extent.Of(slices.Clip(es)...)
}
