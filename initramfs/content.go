package initramfs

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"lifeboat/boards"
	"lifeboat/clone/codec"
)

// The names on a medium.
const (
	archiveName = "rescue.cpio.gz"
	extraDir    = "lifeboat"
	treeDir     = "dtb"
)

// MediumOptions say what a medium is to boot. The archive on it is made by
// Options; its Kernels are chosen here, and its Format is gzip, because kernels
// of any age take it.
type MediumOptions struct {
	Options
	Boards []string // names; nil = all that the sources can boot. A name that they cannot boot is an error
	Files  fs.FS    // goes into the folder lifeboat: a job, its signature, images; nil = nothing
	Args   string   // more words for the kernel
	Temp   string   // folder for what must be made before it is written; "" = the system's
	Size   int64    // of the image, in bytes; 0 = what is needed
}

// An item is a file of the medium.
type item struct {
	name string
	size int64
	open func() (io.ReadCloser, error)
}

// A content is all files of a medium, before they lie anywhere.
type content struct {
	// config
	o    MediumOptions
	temp string // a folder of its own

	// state
	items   []item
	support []Support // of the boards it boots
	kernels []*kernel
	names   map[*kernel]string
	report  *Report
	uboot   bool
	loaders []loader
}

// A loader is a file that lies in a raw area.
type loader struct {
	off  int64
	data []byte
	what string
}

// newContent plans and makes the files. The caller calls close.
func newContent(ctx context.Context, o MediumOptions) (*content, error) {
	m, err := machine(o.Program)
	if err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp(o.Temp, "lifeboat-medium-")
	if err != nil {
		return nil, fmt.Errorf("a folder for what is made: %w", err)
	}
	c := &content{o: o, temp: temp, names: map[*kernel]string{}}
	if err := c.make(ctx, m); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *content) close() error { return os.RemoveAll(c.temp) }

func (c *content) make(ctx context.Context, m elf.Machine) error {
	if err := c.plan(ctx, m); err != nil {
		return err
	}
	c.o.Kernels, c.o.Format = nil, codec.Gzip
	for _, k := range c.kernels {
		c.o.Kernels = append(c.o.Kernels, k.version)
	}
	if err := c.archive(ctx); err != nil {
		return err
	}
	for _, step := range []func() error{c.kernelFiles, c.boardFiles, c.overlays, c.settings, c.extra, c.rawFiles} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	slices.SortFunc(c.items, func(a, b item) int { return strings.Compare(a.name, b.name) })
	return nil
}

// plan chooses the boards, and names the kernels.
func (c *content) plan(ctx context.Context, m elf.Machine) error {
	list, err := boards.All()
	if err != nil {
		return err
	}
	for _, name := range c.o.Boards {
		if !slices.ContainsFunc(list, func(b boards.Board) bool { return b.Name == name && !b.Generic }) {
			return fmt.Errorf("board %q is not known", name)
		}
	}
	all, err := Plan(ctx, c.o.Sources, list, m)
	if err != nil {
		return err
	}
	for _, s := range all {
		named := slices.Contains(c.o.Boards, s.Board.Name)
		if named && !s.OK {
			return fmt.Errorf("a medium for a %s cannot be made: %s", s.Board.Title, s.Why)
		}
		if !s.OK || c.o.Boards != nil && !named {
			continue
		}
		c.support = append(c.support, s)
		c.uboot = c.uboot || s.Board.Boot == boards.UBoot
		if !slices.Contains(c.kernels, s.kernel) {
			c.kernels = append(c.kernels, s.kernel)
		}
		c.o.logf("%s: kernel %s", s.Board.Title, s.Kernel)
	}
	if len(c.support) == 0 {
		return fmt.Errorf("the sources can boot no board: %s", firstWhy(all))
	}
	for i, k := range c.kernels {
		c.names[k] = "vmlinuz"
		if i > 0 {
			c.names[k] = fmt.Sprintf("vmlinuz%d", i+1)
		}
	}
	return nil
}

func firstWhy(all []Support) string {
	for _, s := range all {
		if s.Why != "" {
			return fmt.Sprintf("%s: %s", s.Board.Title, s.Why)
		}
	}
	return "no board is known"
}

func (c *content) add(name string, size int64, open func() (io.ReadCloser, error)) {
	c.items = append(c.items, item{name, size, open})
}

func (c *content) text(name, text string) {
	c.add(name, int64(len(text)), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil })
}

// copyOf adds a file as it is in a source.
func (c *content) copyOf(name string, fsys fs.FS, at string) error {
	fi, err := fs.Stat(fsys, at)
	if err != nil {
		return err
	}
	c.add(name, fi.Size(), func() (io.ReadCloser, error) { return fsys.Open(at) })
	return nil
}

// made adds a file that fill makes in the temporary folder.
func (c *content) made(name string, fill func(w io.Writer) error) error {
	at := filepath.Join(c.temp, strings.ReplaceAll(name, "/", "_"))
	f, err := os.Create(at)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(f), f.Close()); err != nil {
		return err
	}
	fi, err := os.Stat(at)
	if err != nil {
		return err
	}
	c.add(name, fi.Size(), func() (io.ReadCloser, error) { return os.Open(at) })
	return nil
}

func (c *content) archive(ctx context.Context) error {
	return c.made(archiveName, func(w io.Writer) (err error) {
		c.report, err = Build(ctx, w, c.o.Options)
		return err
	})
}

// kernelFiles puts in the kernels: packed with gzip, which the Raspberry Pi's
// firmware takes for 64 bit, or plain for what U-Boot or 32 bit will start.
func (c *content) kernelFiles() error {
	for _, k := range c.kernels {
		packed := k.bits == 64 && !c.startedByUBoot(k)
		if packed == k.gzip {
			if err := c.copyOf(c.names[k], k.fsys, k.file); err != nil {
				return fmt.Errorf("kernel %s: %w", k.version, err)
			}
			continue
		}
		err := c.made(c.names[k], func(w io.Writer) error {
			f, err := k.fsys.Open(k.file)
			if err != nil {
				return err
			}
			defer f.Close()
			if packed {
				return pack(w, f)
			}
			return unpack(w, f)
		})
		if err != nil {
			return fmt.Errorf("kernel %s: %w", k.version, err)
		}
	}
	return nil
}

func (c *content) startedByUBoot(k *kernel) bool {
	return slices.ContainsFunc(c.support, func(s Support) bool { return s.kernel == k && s.Board.Boot == boards.UBoot })
}

func pack(w io.Writer, r io.Reader) error {
	z, err := codec.NewWriter(w, codec.Gzip, codec.Options{Size: -1})
	if err != nil {
		return err
	}
	_, err = io.Copy(z, r)
	return errors.Join(err, z.Close())
}

func unpack(w io.Writer, r io.Reader) error {
	z, err := codec.NewReader(r, codec.Limits{Output: maxFile})
	if err != nil {
		return err
	}
	_, err = io.Copy(w, z)
	return errors.Join(err, z.Close())
}

// boardFiles puts in firmware and device trees. Two boards may want the same
// file, and then from the same place.
func (c *content) boardFiles() error {
	done := map[string]found{}
	for _, s := range c.support {
		for _, f := range s.firmware {
			if err := c.once(done, f.name, f); err != nil {
				return err
			}
		}
		for _, f := range s.trees {
			name := f.name
			if s.Board.Boot == boards.UBoot {
				name = path.Join(treeDir, f.name)
			}
			if err := c.once(done, name, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *content) once(done map[string]found, name string, f found) error {
	if _, ok := done[name]; ok {
		return nil
	}
	done[name] = f
	if err := c.copyOf(name, f.fsys, f.at); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// overlays come along with Raspberry Pi's own kernels: the firmware applies
// some by itself, for revisions of the chip and for what is plugged in.
func (c *content) overlays() error {
	for _, k := range c.kernels {
		if !k.inBoot || !c.startedByPi(k) {
			continue
		}
		dir := path.Join(path.Dir(k.file), "overlays")
		entries, err := fs.ReadDir(k.fsys, dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("overlays of %s: %w", k.source.Name, err)
		}
		for _, e := range entries {
			if e.IsDir() {
				continue
			}
			if err := c.copyOf(path.Join("overlays", e.Name()), k.fsys, path.Join(dir, e.Name())); err != nil {
				return err
			}
		}
		return nil // one set: a second kernel's would hide it
	}
	return nil
}

func (c *content) startedByPi(k *kernel) bool {
	return slices.ContainsFunc(c.support, func(s Support) bool { return s.kernel == k && s.Board.Pi != nil })
}

// extra puts in what the caller gave.
func (c *content) extra() error {
	if c.o.Files == nil {
		return nil
	}
	return fs.WalkDir(c.o.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return c.copyOf(path.Join(extraDir, name), c.o.Files, name)
	})
}

// rawFiles finds boot loaders for the raw areas, where all of the medium's
// boards that have such areas are one board: two would want the same place.
func (c *content) rawFiles() error {
	var one *boards.Board
	for i := range c.support {
		if b := &c.support[i].Board; len(b.Areas) > 0 {
			if one != nil {
				return nil
			}
			one = b
		}
	}
	if one == nil {
		return nil
	}
	r := root(c.o.Sources)
	for _, a := range one.Areas {
		if a.File == "" {
			continue
		}
		data, err := readFile(r, a.File, a.Len)
		if errors.Is(err, fs.ErrNotExist) {
			c.o.logf("%s: the sources have no %s; it boots this medium only with a boot loader of its own", one.Title, a.File)
			c.loaders = nil
			return nil
		}
		if err != nil {
			return fmt.Errorf("boot loader of a %s: %w", one.Title, err)
		}
		c.loaders = append(c.loaders, loader{a.Off, data, a.What})
	}
	return nil
}

// bytes is what all files take, each rounded up to clusters.
func (c *content) bytes(cluster int64) int64 {
	var n int64
	for _, i := range c.items {
		n += (i.size + cluster - 1) / cluster * cluster
	}
	return n
}
