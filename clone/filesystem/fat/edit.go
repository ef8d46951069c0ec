package fat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"lifeboat/clone/extent"
)

// maxFile is the largest file that FAT can hold: 4 GiB less one byte.
const maxFile = 1<<32 - 1

// A ReadWriterAt is what an Editor works on. One that also has a method
// Sync() error is synced at the moments where the order of writes matters: once
// for a new file, twice for one that is replaced. Who fills a whole new file
// system hides that method, and syncs at the end.
type ReadWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

// An Editor changes files in a FAT file system that nobody has mounted. Names
// are paths as in io/fs, found whatever their case; a new one keeps its case in
// a long name. A folder must exist before something is put into it.
//
// Each call writes what it changes at once, and in an order that lets it be
// interrupted anywhere: first data and its chain, then the directory, last the
// old chain is freed. After an interruption there is the old file or the new
// one, at worst with clusters that belong to nobody. Only Rename may leave both
// names. The one thing that waits for Sync is the count of free clusters in the
// FSInfo sector of FAT32; it says "unknown" until then.
//
// It is not for more than one goroutine. After a write that went wrong it does
// nothing more, and returns that error.
type Editor struct {
	// Clock gives the time for new and changed files; time.Now if not set. It
	// is written in UTC.
	Clock func() time.Time

	// config
	v      *volume
	rw     ReadWriterAt
	boot   []byte
	shared bitset // clusters of more than one file: never freed

	// state
	taken bitset // not to be had: in use by the FAT, or by a file alone
	room  int64  // clusters that can be had
	free  int64  // clusters that are free by the FAT
	next  uint32 // where the search for free ones begins
	stale bool   // FSInfo says "unknown"
	err   error  // the write that went wrong
}

// Edit begins to change the file system in a part of size bytes, after a look
// at all of its chains: what files share, as fsck.vfat would repair it, is
// never freed. The caller calls Close, and closes rw afterwards.
func Edit(rw ReadWriterAt, size int64) (*Editor, error) {
	boot, g, _, err := readBoot(rw, size)
	if err != nil {
		return nil, err
	}
	if g.lone > 0 {
		return nil, fmt.Errorf("only FAT %d is kept up to date, and Linux does not look at it: fsck.vfat must decide", g.lone)
	}
	v := newVolume(g, rw, rw)
	s, err := survey(v)
	if err != nil {
		return nil, err
	}
	e := &Editor{Clock: time.Now, v: v, rw: rw, boot: boot, shared: s.shared, taken: s.taken, free: s.free, next: firstCluster}
	for c := uint32(firstCluster); v.valid(c); c++ {
		if s.owned.has(c) {
			e.taken.set(c)
		}
		if !e.taken.has(c) {
			e.room++
		}
	}
	return e, nil
}

// FS is the file system as it is now. It is not to be used after the next
// change; ask for another one then.
func (e *Editor) FS() *FS { return newFS(e.v, e.boot) }

// FreeBytes is the sum of all clusters that can be had. A change that replaces a
// file needs room for the new one before the old one is gone.
func (e *Editor) FreeBytes() int64 { return e.room * e.v.cluster }

// ReadFile is FS().ReadFile.
func (e *Editor) ReadFile(name string) ([]byte, error) { return e.FS().ReadFile(name) }

// WriteFile makes the file name hold data, in the place of what it held.
func (e *Editor) WriteFile(name string, data []byte) error {
	return e.Write(name, int64(len(data)), bytes.NewReader(data))
}

// Write makes the file name hold the next size bytes of r, in the place of what
// it held. There must be room for both at once: an error that wraps
// syscall.ENOSPC says how many bytes are missing, and nothing was changed then,
// as little as where r ends early.
func (e *Editor) Write(name string, size int64, r io.Reader) error {
	if err := e.write(name, size, r); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (e *Editor) write(name string, size int64, r io.Reader) error {
	if size < 0 || size > maxFile {
		return fmt.Errorf("%d bytes: FAT holds files of up to %d", size, int64(maxFile))
	}
	d, old, err := e.place(name)
	if err != nil {
		return err
	}
	if old != nil && old.dir() {
		return errors.New("is a folder")
	}
	add := addition{attr: attrArchive, size: size}
	need := e.v.count(size)
	if old == nil {
		if err := e.prepare(d, path.Base(name), &add); err != nil {
			return err
		}
		need += add.grow
	}
	if err := e.begin(need); err != nil {
		return err
	}
	pieces := e.alloc(e.v.count(size))
	if err := e.fill(pieces, size, r); err != nil {
		e.giveBack(pieces)
		return err
	}
	if add.start, err = e.link(pieces); err != nil {
		return err
	}
	if old != nil {
		return e.replace(d, old, add.start, size)
	}
	return e.insert(d, add)
}

// place finds the folder that name lies in, and its entry there, nil if it is
// new.
func (e *Editor) place(name string) (*dir, *entry, error) {
	if e.err != nil {
		return nil, nil, e.err
	}
	if !fs.ValidPath(name) || name == "." {
		return nil, nil, fs.ErrInvalid
	}
	in, at, err := e.v.walk(path.Dir(name), nil)
	if err == nil && !at.dir() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, nil, fmt.Errorf("folder %s: %w", path.Dir(name), err)
	}
	d, err := e.v.enter(in, at, nil)
	if err != nil {
		return nil, nil, err
	}
	return d, d.find(path.Base(name)), nil
}

// fill writes size bytes of r to the pieces, and zeros behind them.
func (e *Editor) fill(pieces []piece, size int64, r io.Reader) error {
	buf := extent.Buffer()
	defer extent.Release(buf)
	for _, p := range pieces {
		for done := int64(0); done < p.Len; {
			b := buf[:min(extent.BufferSize, p.Len-done)]
			n := min(int64(len(b)), max(0, size-p.At-done))
			if k, err := io.ReadFull(r, b[:n]); err != nil {
				if errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return fmt.Errorf("read byte %d of %d: %w", p.At+done+int64(k), size, err)
			}
			clear(b[n:])
			if err := e.writeAt(b, p.Off+done); err != nil {
				return err
			}
			done += int64(len(b))
		}
	}
	return nil
}

// replace lets an entry name other clusters, and frees those it had.
func (e *Editor) replace(d *dir, old *entry, start uint32, size int64) error {
	b := d.slot(old.last)
	putContent(b, start, size)
	putTime(b, e.now())
	b[offAttr] |= attrArchive
	if err := e.barrier(); err != nil {
		return err
	}
	if err := e.store(d, d.sectors(old.last, old.last+1, e.v.sector)); err != nil {
		return err
	}
	return e.release(old.start)
}

func (e *Editor) now() time.Time {
	if e.Clock == nil {
		return time.Now()
	}
	return e.Clock()
}

func (e *Editor) writeAt(b []byte, off int64) error {
	if _, err := e.rw.WriteAt(b, off); err != nil {
		return e.fail(fmt.Errorf("write %d bytes at %d: %w", len(b), off, err))
	}
	return nil
}

// fail ends the editor: what is in memory need not be what is on the disk.
func (e *Editor) fail(err error) error {
	if err != nil && e.err == nil {
		e.err = err
	}
	return err
}

// barrier lets what was written reach the disk before what comes.
func (e *Editor) barrier() error {
	if s, ok := e.rw.(interface{ Sync() error }); ok {
		return e.fail(s.Sync())
	}
	return nil
}
