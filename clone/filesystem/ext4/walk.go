package ext4

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"syscall"
)

const (
	maxLinks       = 40      // MAXSYMLINKS
	maxLinkTarget  = 4096    // PATH_MAX
	maxCachedNames = 1 << 18 // of directories
	maxCachedBytes = 8 << 20 // of inode tables and block maps
)

// A walker finds files by name. It keeps directories and the blocks of inode
// tables that it has read.
type walker struct {
	data view // for the content of files
	meta view // the same, through the cache

	mu    sync.Mutex
	dirs  map[uint32][]entry
	names int // in dirs
}

func newWalker(v view) *walker {
	meta := v
	meta.r = &blockCache{r: v.r, block: v.sb.block, blocks: map[int64][]byte{}}
	return &walker{data: v, meta: meta, dirs: map[uint32][]entry{}}
}

// find resolves name, of the form that package fs wants. Its last element is
// followed if follow is set and it is a link. Absolute links begin at the root
// of the file system.
func (w *walker) find(name string, follow bool) (*inode, error) {
	root, err := w.meta.inode(rootInode)
	if err != nil {
		return nil, err
	}
	path, links := []*inode{root}, 0
	for todo := strings.Split(name, "/"); len(todo) > 0; {
		el := todo[0]
		todo = todo[1:]
		switch el {
		case "", ".":
			continue
		case "..":
			path = path[:max(1, len(path)-1)]
			continue
		}
		in, err := w.child(path[len(path)-1], el)
		if err != nil {
			return nil, err
		}
		if !in.isSymlink() || len(todo) == 0 && !follow {
			path = append(path, in)
			continue
		}
		if links++; links > maxLinks {
			return nil, syscall.ELOOP
		}
		target, err := w.readLink(in)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(target, "/") {
			path = path[:1]
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return path[len(path)-1], nil
}

// child finds the file name in a directory.
func (w *walker) child(dir *inode, name string) (*inode, error) {
	if !dir.isDir() {
		return nil, syscall.ENOTDIR
	}
	entries, err := w.list(dir)
	if err != nil {
		return nil, err
	}
	i, ok := slices.BinarySearchFunc(entries, name, func(e entry, name string) int { return strings.Compare(e.name, name) })
	if !ok {
		return nil, fs.ErrNotExist
	}
	return w.meta.inode(entries[i].num)
}

// list reads a directory, or takes what it has read. The caller leaves the
// entries alone.
func (w *walker) list(dir *inode) ([]entry, error) {
	w.mu.Lock()
	entries, ok := w.dirs[dir.num]
	w.mu.Unlock()
	if ok {
		return entries, nil
	}
	entries, err := w.meta.entries(dir)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.names+len(entries) > maxCachedNames {
		clear(w.dirs)
		w.names = 0
	}
	w.dirs[dir.num] = entries
	w.names += len(entries)
	return entries, nil
}

// readLink reads where a symbolic link points to.
func (w *walker) readLink(in *inode) (string, error) {
	switch {
	case in.flags&flagEncrypt != 0:
		return "", errEncrypted
	case in.size > maxLinkTarget:
		return "", fmt.Errorf("inode %d: a link of %d bytes", in.num, in.size)
	case in.size < iblockSize && in.flags&(flagExtents|flagInlineData) == 0:
		return string(in.iblock()[:in.size]), nil
	}
	b, err := w.content(in)
	return string(b), err
}

// content reads a whole file.
func (w *walker) content(in *inode) ([]byte, error) {
	switch {
	case in.flags&flagEncrypt != 0:
		return nil, errEncrypted
	case in.flags&flagInlineData != 0:
		return in.inlineFile()
	case in.size > maxWhole:
		return nil, errors.New("it is too large to be read at once")
	}
	m, err := w.mapping(in)
	if err != nil {
		return nil, err
	}
	b := make([]byte, in.size)
	return b, m.read(b, 0)
}

// mapping reads a file's map through the cache, for reads around it.
func (w *walker) mapping(in *inode) (*mapping, error) {
	m, err := w.meta.mapping(in)
	if err != nil {
		return nil, err
	}
	m.v = &w.data
	return m, nil
}

// A blockCache keeps the blocks that small reads came from.
type blockCache struct {
	r     io.ReaderAt
	block int64

	mu     sync.Mutex
	blocks map[int64][]byte
}

// ReadAt reads through the cache what lies in one block, all else around it.
func (c *blockCache) ReadAt(p []byte, off int64) (int, error) {
	at := off / c.block
	if off+int64(len(p)) > (at+1)*c.block {
		return c.r.ReadAt(p, off)
	}
	c.mu.Lock()
	b, ok := c.blocks[at]
	c.mu.Unlock()
	if !ok {
		b = make([]byte, c.block)
		if err := readAt(c.r, b, at*c.block); err != nil {
			return 0, err
		}
		c.mu.Lock()
		if int64(len(c.blocks))*c.block >= maxCachedBytes {
			clear(c.blocks)
		}
		c.blocks[at] = b
		c.mu.Unlock()
	}
	return copy(p, b[off-at*c.block:]), nil
}
