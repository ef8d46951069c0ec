package main

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"sort"
	"time"
)

// A pile is a folder of files that lie in different places.
type pile map[string]func() (fs.File, error)

var _ fs.ReadDirFS = pile(nil)

func diskFile(path string) func() (fs.File, error) {
	return func() (fs.File, error) { return os.Open(path) }
}

func bytesFile(b []byte) func() (fs.File, error) {
	return func() (fs.File, error) { return &memoryFile{Reader: bytes.NewReader(b)}, nil }
}

func (p pile) Open(name string) (fs.File, error) {
	if name == "." {
		return &memoryFile{Reader: bytes.NewReader(nil), folder: true}, nil
	}
	if open, ok := p[name]; ok {
		return open()
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// ReadDir lists the pile, which has no folders.
func (p pile) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	var names []string
	for n := range p {
		names = append(names, n)
	}
	sort.Strings(names)
	var entries []fs.DirEntry
	for _, n := range names {
		info, err := fs.Stat(p, n)
		if err != nil {
			return nil, err
		}
		entries = append(entries, named{fs.FileInfoToDirEntry(info), n})
	}
	return entries, nil
}

// named is an entry under the name that it has in the pile.
type named struct {
	fs.DirEntry
	name string
}

func (n named) Name() string { return n.name }

// memoryFile is a small file in memory, or the folder that a pile is.
type memoryFile struct {
	*bytes.Reader
	folder bool
}

var _ io.ReaderAt = (*memoryFile)(nil)

func (f *memoryFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *memoryFile) Close() error               { return nil }
func (f *memoryFile) Name() string               { return "." }
func (f *memoryFile) ModTime() time.Time         { return time.Time{} }
func (f *memoryFile) IsDir() bool                { return f.folder }
func (f *memoryFile) Sys() any                   { return nil }

func (f *memoryFile) Mode() fs.FileMode {
	if f.folder {
		return fs.ModeDir | 0o755
	}
	return 0o644
}
