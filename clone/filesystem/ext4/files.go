package ext4

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"time"
)

// maxWhole is the largest file that ReadFile reads.
const maxWhole = 1 << 30

// Files are the files as they will be when the journal was replayed. The
// fs.FS is also an fs.ReadDirFS, fs.ReadFileFS, fs.StatFS and fs.ReadLinkFS;
// its files are io.ReaderAt and io.Seeker too, and the Sys of their FileInfo is
// a *Stat. Links are followed within the file system. Names may be invalid
// UTF-8. Where the file system cannot be read every method says why.
func (f *FS) Files() fs.FS {
	if f.broken != nil {
		return &files{broken: f.broken}
	}
	return &files{w: newWalker(f.now)}
}

type files struct {
	w      *walker
	broken error
}

var (
	_ fs.ReadDirFS  = (*files)(nil)
	_ fs.ReadFileFS = (*files)(nil)
	_ fs.StatFS     = (*files)(nil)
	_ fs.ReadLinkFS = (*files)(nil)
)

// find checks the name and finds its inode. Unlike fs.ValidPath it lets names
// pass that are no UTF-8: the disk has them.
func (t *files) find(op, name string, follow bool) (*inode, error) {
	var in *inode
	err := t.broken
	if err == nil && !fs.ValidPath(strings.ToValidUTF8(name, "_")) {
		err = fs.ErrInvalid
	}
	if err == nil {
		in, err = t.w.find(name, follow)
	}
	return in, pathError(op, name, err)
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// Open opens a file or a directory.
func (t *files) Open(name string) (fs.File, error) {
	in, err := t.find("open", name, true)
	if err != nil {
		return nil, err
	}
	f, err := t.open(in, name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return f, nil
}

func (t *files) open(in *inode, name string) (fs.File, error) {
	info := &fileInfo{base(name), in}
	switch {
	case in.isDir():
		entries, err := t.w.list(in)
		if err != nil {
			return nil, err
		}
		return &dir{info: info, name: name, w: t.w, rest: entries}, nil
	case !in.isRegular():
		return &file{info: info, name: name}, nil
	case in.flags&flagEncrypt != 0:
		return nil, errEncrypted
	case in.flags&flagInlineData != 0:
		b, err := in.inlineFile()
		return &file{info: info, name: name, size: int64(len(b)), inline: b}, err
	}
	m, err := t.w.mapping(in)
	return &file{info: info, name: name, size: in.size, m: m}, err
}

// ReadFile reads a whole file, at most a gigabyte.
func (t *files) ReadFile(name string) ([]byte, error) {
	in, err := t.find("read", name, true)
	if err != nil {
		return nil, err
	}
	if !in.isRegular() {
		return nil, pathError("read", name, errors.New("not a regular file"))
	}
	b, err := t.w.content(in)
	return b, pathError("read", name, err)
}

// ReadDir lists a directory, sorted by name.
func (t *files) ReadDir(name string) ([]fs.DirEntry, error) {
	in, err := t.find("readdir", name, true)
	if err != nil {
		return nil, err
	}
	if !in.isDir() {
		return nil, pathError("readdir", name, errors.New("not a directory"))
	}
	entries, err := t.w.list(in)
	return dirEntries(t.w, entries), pathError("readdir", name, err)
}

// Stat describes a file; a link is followed.
func (t *files) Stat(name string) (fs.FileInfo, error) {
	in, err := t.find("stat", name, true)
	if err != nil {
		return nil, err
	}
	return &fileInfo{base(name), in}, nil
}

// Lstat describes a file or a link itself.
func (t *files) Lstat(name string) (fs.FileInfo, error) {
	in, err := t.find("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return &fileInfo{base(name), in}, nil
}

// ReadLink says where a link points to.
func (t *files) ReadLink(name string) (string, error) {
	in, err := t.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if !in.isSymlink() {
		return "", pathError("readlink", name, fs.ErrInvalid)
	}
	target, err := t.w.readLink(in)
	return target, pathError("readlink", name, err)
}

func base(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

type fileInfo struct {
	name string
	in   *inode
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) Size() int64        { return i.in.size }
func (i *fileInfo) Mode() fs.FileMode  { return i.in.fsMode() }
func (i *fileInfo) ModTime() time.Time { return i.in.times().mod() }
func (i *fileInfo) IsDir() bool        { return i.in.isDir() }
func (i *fileInfo) Sys() any           { return i.in.stat() }

// A dirEntry reads the inode only when somebody asks.
type dirEntry struct {
	w *walker
	e entry
}

func dirEntries(w *walker, entries []entry) []fs.DirEntry {
	list := make([]fs.DirEntry, len(entries))
	for i, e := range entries {
		list[i] = &dirEntry{w, e}
	}
	return list
}

func (d *dirEntry) Name() string   { return d.e.name }
func (d *dirEntry) IsDir() bool    { return d.Type().IsDir() }
func (d *dirEntry) String() string { return fs.FormatDirEntry(d) }

func (d *dirEntry) Type() fs.FileMode {
	if d.e.kind != 0 {
		return dirTypes[d.e.kind]
	}
	info, err := d.Info()
	if err != nil {
		return fs.ModeIrregular
	}
	return info.Mode().Type()
}

func (d *dirEntry) Info() (fs.FileInfo, error) {
	in, err := d.w.meta.inode(d.e.num)
	if err != nil {
		return nil, pathError("lstat", d.e.name, err)
	}
	return &fileInfo{d.e.name, in}, nil
}

// A dir is an open directory.
type dir struct {
	info *fileInfo
	name string
	w    *walker
	rest []entry
}

func (d *dir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *dir) Close() error               { return nil }

func (d *dir) Read([]byte) (int, error) {
	return 0, pathError("read", d.name, errors.New("it is a directory"))
}

func (d *dir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.rest) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.rest) {
		n = len(d.rest)
	}
	list := dirEntries(d.w, d.rest[:n])
	d.rest = d.rest[n:]
	return list, nil
}

// A file is an open file that is no directory. What is neither in blocks nor
// inline (a device, say) is empty.
type file struct {
	// config
	info   *fileInfo
	name   string
	size   int64
	m      *mapping // nil: inline
	inline []byte

	// state
	off    int64
	closed bool
}

var (
	_ io.ReaderAt = (*file)(nil)
	_ io.Seeker   = (*file)(nil)
)

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }

func (f *file) Close() error {
	f.closed = true
	return nil
}

func (f *file) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.off)
	f.off += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// ReadAt reads through the journal; holes are zeros.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case f.closed:
		return 0, pathError("read", f.name, fs.ErrClosed)
	case off < 0:
		return 0, pathError("read", f.name, fs.ErrInvalid)
	case len(p) == 0:
		return 0, nil
	case off >= f.size:
		return 0, io.EOF
	}
	part := p[:min(int64(len(p)), f.size-off)]
	if f.m == nil {
		copy(part, f.inline[off:])
	} else if err := f.m.read(part, off); err != nil {
		return 0, pathError("read", f.name, err)
	}
	if len(part) < len(p) {
		return len(part), io.EOF
	}
	return len(part), nil
}

// Seek sets where the next Read begins.
func (f *file) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += f.off
	case io.SeekEnd:
		off += f.size
	}
	if off < 0 || whence < io.SeekStart || whence > io.SeekEnd {
		return 0, pathError("seek", f.name, fs.ErrInvalid)
	}
	f.off = off
	return off, nil
}
