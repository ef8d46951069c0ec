package uinit

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/pgzip"
	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
)

// tarArgs is what a call of tar wants.
type tarArgs struct {
	do           byte // c, x or t
	zip, verbose bool
	file, folder string
	names        []string
}

func parseTar(args []string) (tarArgs, error) {
	t := tarArgs{file: "-"}
	for i := 0; i < len(args); i++ {
		a := args[i]
		if len(a) < 2 || a[0] != '-' && i > 0 {
			t.names = append(t.names, a)
			continue
		}
		for _, c := range strings.TrimPrefix(a, "-") {
			switch c {
			case 'c', 'x', 't':
				t.do = byte(c)
			case 'z':
				t.zip = true
			case 'v':
				t.verbose = true
			case 'p':
			case 'f', 'C':
				if i++; i == len(args) {
					return t, fmt.Errorf("-%c needs a word behind it", c)
				}
				if c == 'f' {
					t.file = args[i]
				} else {
					t.folder = args[i]
				}
			default:
				return t, fmt.Errorf("option -%c is not known", c)
			}
		}
	}
	if t.do == 0 {
		return t, errors.New("want one of -c, -x and -t")
	}
	return t, nil
}

func runTar(ctx context.Context, hc interp.HandlerContext, args []string) error {
	t, err := parseTar(args)
	if err != nil {
		return err
	}
	folder := resolve(hc, t.folder)
	if t.do == 'c' {
		return t.create(ctx, hc, folder)
	}
	in := stdin(hc)
	if t.file != "-" {
		f, err := os.Open(resolve(hc, t.file))
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	in = &reader{ctx, in}
	if t.zip || strings.HasSuffix(t.file, "gz") {
		if in, err = gzip.NewReader(in); err != nil {
			return err
		}
	}
	return t.extract(hc, in, folder)
}

// create packs the names below folder.
func (t tarArgs) create(ctx context.Context, hc interp.HandlerContext, folder string) (err error) {
	out := hc.Stdout
	if t.file != "-" {
		f, err := os.Create(resolve(hc, t.file))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = f
	}
	if t.zip {
		z := pgzip.NewWriter(out)
		defer func() { err = errors.Join(err, z.Close()) }()
		out = z
	}
	w := tar.NewWriter(out)
	if len(t.names) == 0 {
		return errors.New("want the names of what is packed")
	}
	for _, n := range t.names {
		err := filepath.WalkDir(filepath.Join(folder, n), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(folder, path)
			if err != nil {
				return err
			}
			if t.verbose {
				fmt.Fprintln(hc.Stderr, rel)
			}
			return pack(ctx, w, path, rel, d)
		})
		if err != nil {
			return err
		}
	}
	return w.Close()
}

func pack(ctx context.Context, w *tar.Writer, path, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if h.Name = name; info.IsDir() {
		h.Name += "/"
	}
	if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, &reader{ctx, f})
	return err
}

// extract lists the archive, or unpacks what the names choose. Nothing gets out
// of folder, not through links either.
func (t tarArgs) extract(hc interp.HandlerContext, in io.Reader, folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	r := tar.NewReader(in)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(filepath.Clean("/"+h.Name), "/")
		if name == "" || !t.chosen(name) {
			continue
		}
		if t.do == 't' || t.verbose {
			fmt.Fprintln(hc.Stdout, h.Name)
		}
		if t.do == 'x' {
			if err := unpack(root, name, h, r); err != nil {
				return fmt.Errorf("%s: %w", h.Name, err)
			}
		}
	}
}

func (t tarArgs) chosen(name string) bool {
	return len(t.names) == 0 || slices.ContainsFunc(t.names, func(want string) bool {
		want = strings.Trim(filepath.Clean("/"+want), "/")
		return name == want || want == "" || strings.HasPrefix(name, want+"/")
	})
}

func unpack(root *os.Root, name string, h *tar.Header, r io.Reader) error {
	mode := h.FileInfo().Mode()
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir {
		if err := root.MkdirAll(name, 0o755); err != nil {
			return err
		}
		return finish(root, name, h, mode)
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	case tar.TypeSymlink:
		if err := root.Symlink(h.Linkname, name); err != nil {
			return err
		}
		return root.Lchown(name, h.Uid, h.Gid)
	case tar.TypeLink:
		return root.Link(strings.TrimPrefix(filepath.Clean("/"+h.Linkname), "/"), name)
	default:
		return fmt.Errorf("kind %q is not unpacked", h.Typeflag)
	}
	return finish(root, name, h, mode)
}

// finish sets owner, mode and time.
func finish(root *os.Root, name string, h *tar.Header, mode fs.FileMode) error {
	if err := root.Lchown(name, h.Uid, h.Gid); err != nil && !errors.Is(err, unix.EPERM) { // FAT has no owners
		return err
	}
	keep := mode & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	return errors.Join(root.Chmod(name, keep), root.Chtimes(name, h.ModTime, h.ModTime))
}
