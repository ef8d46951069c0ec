package initramfs

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"lifeboat/clone/codec"
)

// A .deb file is an ar archive (deb(5), ar(5)): a magic line, then members, each
// with a header of 60 bytes, at even offsets.
const (
	arMagic    = "!<arch>\n"
	arHeader   = 60
	arNameLen  = 16
	arOffSize  = 48
	arSizeLen  = 10
	arOffMagic = 58
	maxDebOut  = 4 << 30 // bytes that one package may unpack to
	maxMembers = 16
)

// OpenDebs unpacks Debian packages into a new folder within dir ("" = the
// system's place for such) and shows them as one file system. The caller calls
// cleanup, also after it has stopped using what was opened.
func OpenDebs(ctx context.Context, dir string, files []string) (fsys fs.FS, cleanup func() error, err error) {
	dir, err = os.MkdirTemp(dir, "lifeboat-debs-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a folder for packages: %w", err)
	}
	cleanup = func() error { return os.RemoveAll(dir) }
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, errors.Join(err, cleanup())
	}
	defer r.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0)) // unpacking xz is nearly all of the time
	for i, file := range files {
		g.Go(func() error {
			if err := unpackInto(ctx, r, strconv.Itoa(i), file); err != nil {
				return fmt.Errorf("unpack %s: %w", filepath.Base(file), err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, errors.Join(err, cleanup())
	}
	var list []fs.FS
	for i := range files {
		list = append(list, os.DirFS(filepath.Join(dir, strconv.Itoa(i))))
	}
	return Merge(list...), cleanup, nil
}

// unpackInto unpacks a package into a folder of its own.
func unpackInto(ctx context.Context, r *os.Root, folder, file string) error {
	if err := r.Mkdir(folder, 0o755); err != nil {
		return err
	}
	sub, err := r.OpenRoot(folder)
	if err != nil {
		return err
	}
	return errors.Join(unpackDeb(ctx, sub, file), sub.Close())
}

func unpackDeb(ctx context.Context, r *os.Root, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := debData(f)
	if err != nil {
		return err
	}
	z, err := codec.NewReader(data, codec.Limits{Output: maxDebOut})
	if err != nil {
		return err
	}
	return errors.Join(unpackTar(ctx, r, tar.NewReader(z)), z.Close())
}

// debData finds the member data.tar.* and gives its bytes.
func debData(r io.Reader) (io.Reader, error) {
	magic := make([]byte, len(arMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != arMagic {
		return nil, errors.New("it is no Debian package")
	}
	var h [arHeader]byte
	for range maxMembers {
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return nil, fmt.Errorf("no data.tar in it: %w", err)
		}
		size, err := strconv.ParseInt(strings.TrimRight(string(h[arOffSize:arOffSize+arSizeLen]), " "), 10, 64)
		if err != nil || size < 0 || !bytes.Equal(h[arOffMagic:], []byte("`\n")) {
			return nil, errors.New("its ar header is damaged")
		}
		name := strings.TrimRight(string(h[:arNameLen]), " /")
		if strings.HasPrefix(name, "data.tar") {
			return io.LimitReader(r, size), nil
		}
		if _, err := io.CopyN(io.Discard, r, size+size%2); err != nil {
			return nil, fmt.Errorf("skip %s: %w", name, err)
		}
	}
	return nil, errors.New("no data.tar in it")
}

// unpackTar writes files, folders and links; owners, times and devices are of
// no use here. Nothing is written outside of r.
func unpackTar(ctx context.Context, r *os.Root, t *tar.Reader) error {
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if name == "" || ignored(name) {
			continue
		}
		if err := unpackOne(r, t, h, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

// ignored leaves out what no rescue image needs and that costs time to write.
func ignored(name string) bool {
	return strings.HasPrefix(name, "usr/share/doc/") || strings.HasPrefix(name, "usr/share/man/") || strings.HasPrefix(name, "usr/share/locale/")
}

func unpackOne(r *os.Root, t *tar.Reader, h *tar.Header, name string) error {
	if h.Typeflag == tar.TypeDir {
		return mkdirs(r, name)
	}
	if err := mkdirs(r, path.Dir(name)); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		f, err := r.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600|fs.FileMode(h.Mode)&0o755)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, t)
		return errors.Join(err, f.Close())
	case tar.TypeSymlink:
		err := r.Symlink(h.Linkname, name)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	case tar.TypeLink:
		err := r.Link(strings.TrimPrefix(path.Clean("/"+h.Linkname), "/"), name)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return nil
}

// mkdirs is MkdirAll that goes through links to folders, as dpkg does.
func mkdirs(r *os.Root, name string) error {
	if fi, err := r.Stat(name); err == nil && fi.IsDir() {
		return nil
	}
	return r.MkdirAll(name, 0o755)
}
