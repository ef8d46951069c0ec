package fat

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sort"
	"strings"
	"time"
)

// maxReadFile is the largest file that ReadFile takes into memory.
const maxReadFile = 256 << 20

var (
	_ fs.ReadDirFS  = (*FS)(nil)
	_ fs.ReadFileFS = (*FS)(nil)
	_ fs.StatFS     = (*FS)(nil)

	_ fs.ReadDirFile = (*folder)(nil)
	_ io.ReaderAt    = (*file)(nil)
	_ io.Seeker      = (*file)(nil)
)

// Open opens a file or a folder.
func (f *FS) Open(name string) (fs.File, error) {
	_, e, err := f.walk(name, f.claim)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if e.dir() {
		return &folder{fs: f, name: name, info: info{e}}, nil
	}
	pieces, err := f.content(e)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &file{SectionReader: io.NewSectionReader(&content{f.r, pieces}, 0, e.size), info: info{e}}, nil
}

// Stat is what a directory says of a file or folder.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	_, e, err := f.walk(name, f.claim)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return info{e}, nil
}

// ReadFile reads a file of at most 256 MiB; a larger one is opened and read
// piece by piece.
func (f *FS) ReadFile(name string) ([]byte, error) {
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	st, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case st.IsDir():
		err = errors.New("is a folder")
	case st.Size() > maxReadFile:
		err = fmt.Errorf("%d bytes are too many to be read at once", st.Size())
	default:
		b := make([]byte, st.Size())
		if _, err = io.ReadFull(file, b); err == nil {
			return b, nil
		}
	}
	return nil, &fs.PathError{Op: "read", Path: name, Err: err}
}

// ReadDir lists a folder, sorted by name.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	in, e, err := f.walk(name, f.claim)
	if err == nil && !e.dir() {
		err = errors.New("is not a folder")
	}
	var d *dir
	if err == nil {
		d, err = f.enter(in, e, f.claim)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	list := make([]fs.DirEntry, len(d.entries))
	for i := range d.entries {
		list[i] = fs.FileInfoToDirEntry(info{&d.entries[i]})
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

// claim remembers through which slot a folder is reached: a damaged directory
// could show one folder in many places, and in itself, and a walk would not
// end.
func (f *FS) claim(in *dir, e *entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := owner{in.start, e.last}
	if was, ok := f.owners[e.start]; ok && was != o {
		return fmt.Errorf("folder %q: %w", e.name, errTwice)
	}
	f.owners[e.start] = o
	return nil
}

// info is an entry as an fs.FileInfo.
type info struct{ e *entry }

func (i info) Name() string       { return i.e.name }
func (i info) Size() int64        { return i.e.size }
func (i info) Mode() fs.FileMode  { return i.e.mode() }
func (i info) ModTime() time.Time { return i.e.mod }
func (i info) IsDir() bool        { return i.e.dir() }
func (i info) Sys() any           { return nil }

// content reads the bytes of a file, without a regard to its size.
type content struct {
	r      io.ReaderAt
	pieces []piece
}

// ReadAt reads each run of clusters at once.
func (c *content) ReadAt(b []byte, at int64) (int, error) {
	i := sort.Search(len(c.pieces), func(i int) bool { return c.pieces[i].At+c.pieces[i].Len > at })
	done := 0
	for ; done < len(b) && i < len(c.pieces); i++ {
		p := c.pieces[i]
		skip := at + int64(done) - p.At
		n := min(int64(len(b)-done), p.Len-skip)
		if err := readFull(c.r, b[done:done+int(n)], p.Off+skip); err != nil {
			return done, err
		}
		done += int(n)
	}
	if done < len(b) {
		return done, io.EOF
	}
	return done, nil
}

// file is an open file.
type file struct {
	*io.SectionReader
	info info
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error               { return nil }

// folder is an open folder. It reads its list when it is asked for.
type folder struct {
	fs     *FS
	name   string
	info   info
	list   []fs.DirEntry
	listed bool
}

func (d *folder) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *folder) Close() error               { return nil }

func (d *folder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: errors.New("is a folder")}
}

// ReadDir returns the next n entries, or all that are left where n is not
// positive.
func (d *folder) ReadDir(n int) ([]fs.DirEntry, error) {
	if !d.listed {
		list, err := d.fs.ReadDir(d.name)
		if err != nil {
			return nil, err
		}
		d.list, d.listed = list, true
	}
	if n <= 0 {
		n = len(d.list)
	} else if len(d.list) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.list))
	some := d.list[:n:n]
	d.list = d.list[n:]
	return some, nil
}
