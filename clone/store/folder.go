package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"lifeboat/internal/atomicfile"
)

// A Folder is a store in a folder of this machine, or of a file server that is
// mounted. Names that begin with a dot are not listed: files in the making have
// such.
type Folder struct {
	dir     string
	settled sync.Map // folders that are known to survive a power loss, by path
}

var _ Store = (*Folder)(nil)

// NewFolder is the store in dir. Put makes the folder where it is not there.
func NewFolder(dir string) *Folder { return &Folder{dir: dir} }

// Path is where a file lies.
func (f *Folder) Path(name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("the name %q leads out of the folder %s: %w", name, f.dir, fs.ErrInvalid)
	}
	return filepath.Join(f.dir, name), nil
}

// Open implements Store.
func (f *Folder) Open(ctx context.Context, name string, off int64) (io.ReadCloser, error) {
	file, info, err := f.open(name)
	if err != nil {
		return nil, err
	}
	if off < 0 || off > info.Size {
		file.Close()
		return nil, behindEnd(file.Name(), off, info.Size)
	}
	if _, err := file.Seek(off, io.SeekStart); err != nil {
		file.Close()
		return nil, err
	}
	return &cancelled{ctx, file}, nil
}

func (f *Folder) open(name string) (*os.File, Info, error) {
	path, err := f.Path(name)
	if err != nil {
		return nil, Info{}, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, Info{}, err
	}
	st, err := file.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	if err != nil {
		file.Close()
		return nil, Info{}, err
	}
	return file, infoOf(name, st), nil
}

func (f *Folder) openFile(name string) (ReaderAtCloser, Info, error) {
	file, info, err := f.open(name)
	if err != nil {
		return nil, Info{}, err
	}
	return file, info, nil
}

func infoOf(name string, st fs.FileInfo) Info {
	return Info{Name: name, Size: st.Size(), Time: st.ModTime()}
}

// Stat looks at one file.
func (f *Folder) Stat(_ context.Context, name string) (Info, error) {
	path, err := f.Path(name)
	if err != nil {
		return Info{}, err
	}
	st, err := os.Stat(path)
	if err != nil {
		return Info{}, err
	}
	if !st.Mode().IsRegular() {
		return Info{}, fmt.Errorf("%s is not a file", path)
	}
	return infoOf(name, st), nil
}

// Put implements Store.
func (f *Folder) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	path, err := f.Path(name)
	if err != nil {
		return err
	}
	if err := f.makeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	file, _, err := writeFile(ctx, path, size, r)
	if err != nil {
		return err
	}
	defer file.Cleanup()
	return file.Commit()
}

// writeFile writes size bytes of r to a file that gets its name later, and
// returns how many those were. The caller commits it, or cleans it up.
func writeFile(ctx context.Context, path string, size int64, r io.Reader) (*atomicfile.File, int64, error) {
	file, err := atomicfile.Create(path, 0o644)
	if err != nil {
		return nil, 0, err
	}
	n, err := io.Copy(file, &cancelled{ctx, io.NopCloser(r)})
	switch {
	case err != nil:
		err = fmt.Errorf("store %s: %w", path, err)
	case size >= 0 && n != size:
		err = fmt.Errorf("store %s: got %d bytes, %d were announced", path, n, size)
	default:
		return file, n, nil
	}
	return nil, 0, errors.Join(err, file.Cleanup())
}

// makeFolder makes a folder and those above it, each so that it survives a power
// loss: what was put into it must not be lost with its name.
func (f *Folder) makeFolder(dir string) error {
	if err := atomicfile.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return f.settle(dir)
}

// settle minds that whoever made a folder may not be done with it.
func (f *Folder) settle(dir string) error {
	for ; ; dir = filepath.Dir(dir) {
		if _, done := f.settled.Load(dir); !done {
			if err := atomicfile.Settle(dir); err != nil {
				return err
			}
			f.settled.Store(dir, true)
		}
		if len(dir) <= len(f.dir) {
			return nil
		}
	}
}

// List implements Store.
func (f *Folder) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil || path == f.dir {
				return err
			}
			rel, _ := filepath.Rel(f.dir, path)
			name := filepath.ToSlash(rel)
			switch {
			case d.IsDir() && (strings.HasPrefix(d.Name(), ".") || atomicfile.Unfit(d.Name())):
				return fs.SkipDir
			case d.IsDir() && !overlap(name+"/", prefix):
				return fs.SkipDir
			case !d.Type().IsRegular(), strings.HasPrefix(d.Name(), "."), !strings.HasPrefix(name, prefix):
				return nil
			}
			st, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed a moment ago
			}
			if err == nil && !yield(infoOf(name, st), nil) {
				return fs.SkipAll
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			yield(Info{}, err)
		}
	}
}

// overlap tells whether one of two prefixes begins with the other.
func overlap(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

// Remove implements Store.
func (f *Folder) Remove(_ context.Context, name string) error {
	path, err := f.Path(name)
	if err != nil {
		return err
	}
	return atomicfile.Remove(path)
}

// Move gives a file another name.
func (f *Folder) Move(_ context.Context, from, to string) error {
	src, err := f.Path(from)
	if err != nil {
		return err
	}
	dst, err := f.Path(to)
	if err != nil {
		return err
	}
	if err := f.makeFolder(filepath.Dir(dst)); err != nil {
		return err
	}
	return atomicfile.Rename(src, dst)
}

// Sync makes all that was done in the folder survive a power loss: removals too,
// which the others do not promise.
func (f *Folder) Sync(context.Context) error {
	dir, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	return errors.Join(atomicfile.SyncFileSystem(dir), dir.Close())
}

// Now is the clock of whoever keeps the folder, which for a mounted one is its
// server: the time of a file that is made for it, and removed.
func (f *Folder) Now(context.Context) (time.Time, error) {
	if err := atomicfile.MkdirAll(f.dir, 0o755); err != nil {
		return time.Time{}, err
	}
	file, err := os.CreateTemp(f.dir, ".clock.*.part")
	if err != nil {
		return time.Time{}, err
	}
	st, err := file.Stat()
	if err = errors.Join(err, file.Close(), os.Remove(file.Name())); err != nil {
		return time.Time{}, err
	}
	return st.ModTime(), nil
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// cancelled ends reading with its context. It hides io.WriterTo, so that a copy
// comes by here often.
type cancelled struct {
	ctx context.Context
	io.ReadCloser
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.ReadCloser.Read(p)
}

func notExist(name string) error { return fmt.Errorf("%s: %w", name, fs.ErrNotExist) }

func behindEnd(name string, off, size int64) error {
	return fmt.Errorf("%s: byte %d lies behind its end at %d", name, off, size)
}
