package initramfs

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxLinks bounds how many symbolic links one name may lead through, as
// Linux does (include/linux/namei.h, MAXSYMLINKS).
const maxLinks = 40

// Merge lays file systems over each other: a name means the first one that has
// it, a folder shows what all have. Symbolic links are followed within the
// whole, an absolute one from its top: never out of it. Nil file systems are
// left out.
func Merge(list ...fs.FS) fs.FS {
	var m merged
	for _, f := range list {
		switch f := f.(type) {
		case nil:
		case merged:
			m = append(m, f...)
		default:
			m = append(m, f)
		}
	}
	return m
}

type merged []fs.FS

var (
	_ fs.ReadDirFS = merged(nil)
	_ fs.StatFS    = merged(nil)
)

// try calls f with each file system and the name by which it has the file,
// until one succeeds. A link that leads nowhere in its own file system is tried
// in the others.
func (m merged) try(op, name string, f func(fsys fs.FS, name string) error) error {
	if !fs.ValidPath(name) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	last := error(&fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist})
	for _, fsys := range m {
		at, err := resolve(fsys, name)
		if err == nil {
			err = f(fsys, at)
			if err == nil {
				return nil
			}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			last = err
		}
		if at == name || at == "" {
			continue
		}
		for _, other := range m {
			if at2, err := resolve(other, at); err == nil && f(other, at2) == nil {
				return nil
			}
		}
	}
	return last
}

func (m merged) Open(name string) (fs.File, error) {
	var file fs.File
	err := m.try("open", name, func(fsys fs.FS, at string) (err error) {
		file, err = fsys.Open(at)
		return err
	})
	if err != nil {
		return nil, err
	}
	fi, err := file.Stat()
	if err != nil || !fi.IsDir() {
		return file, err
	}
	file.Close()
	entries, err := m.ReadDir(name)
	if err != nil {
		return nil, err
	}
	return &folder{fi: fi, entries: entries}, nil
}

func (m merged) Stat(name string) (fi fs.FileInfo, err error) {
	err = m.try("stat", name, func(fsys fs.FS, at string) (err error) {
		fi, err = fs.Stat(fsys, at)
		return err
	})
	return fi, err
}

// ReadDir lists what all of the file systems have in a folder. A link is shown
// as what it leads to, where it leads to something.
func (m merged) ReadDir(name string) ([]fs.DirEntry, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	seen := map[string]fs.DirEntry{}
	found := false
	for _, fsys := range m {
		at, err := resolve(fsys, name)
		if err != nil {
			continue
		}
		entries, err := fs.ReadDir(fsys, at)
		if err != nil {
			continue
		}
		found = true
		for _, e := range entries {
			if seen[e.Name()] == nil {
				seen[e.Name()] = e
			}
		}
	}
	if !found {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	list := make([]fs.DirEntry, 0, len(seen))
	for _, e := range seen {
		list = append(list, m.follow(name, e))
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return list, nil
}

func (m merged) follow(dir string, e fs.DirEntry) fs.DirEntry {
	if e.Type()&fs.ModeSymlink == 0 {
		return e
	}
	fi, err := m.Stat(path.Join(dir, e.Name()))
	if err != nil {
		return e
	}
	return followed{fs.FileInfoToDirEntry(fi), e.Name()}
}

// followed is a link's target under the link's name.
type followed struct {
	fs.DirEntry
	name string
}

func (f followed) Name() string { return f.name }

// resolve follows the symbolic links of name within fsys. Together with
// fs.ErrNotExist comes the name that was missing, for a look elsewhere.
func resolve(fsys fs.FS, name string) (string, error) {
	links, ok := fsys.(fs.ReadLinkFS)
	if !ok {
		return name, nil
	}
	done, todo := ".", strings.Split(name, "/")
	for n := 0; len(todo) > 0; {
		at := path.Join(done, todo[0])
		todo = todo[1:]
		fi, err := links.Lstat(at)
		if err != nil {
			return path.Join(append([]string{at}, todo...)...), err
		}
		if fi.Mode()&fs.ModeSymlink == 0 {
			done = at
			continue
		}
		if n++; n > maxLinks {
			return "", &fs.PathError{Op: "readlink", Path: name, Err: errors.New("too many symbolic links")}
		}
		target, err := links.ReadLink(at)
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(target, "/") {
			target = path.Join("/", path.Dir(at), target)
		}
		target = path.Clean(target)
		done = "."
		if target != "/" {
			todo = append(strings.Split(target[1:], "/"), todo...)
		}
	}
	return done, nil
}

// folder is an open folder of a merged file system.
type folder struct {
	fi      fs.FileInfo
	entries []fs.DirEntry
}

func (f *folder) Stat() (fs.FileInfo, error) { return f.fi, nil }
func (f *folder) Close() error               { return nil }
func (f *folder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.fi.Name(), Err: errors.New("is a directory")}
}

func (f *folder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(f.entries) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(f.entries) {
		n = len(f.entries)
	}
	list := f.entries[:n]
	f.entries = f.entries[n:]
	return list, nil
}
