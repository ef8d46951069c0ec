package initramfs

import (
	"context"
	"crypto/rand"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"lifeboat/clone/codec"
)

// Sizes of the randomness in an image, in bytes.
const (
	idLen   = 8
	seedLen = 64
)

// Build writes the rescue image into w: a packed archive that a kernel takes as
// its initramfs. Nothing is written where something that it needs is missing.
func Build(ctx context.Context, w io.Writer, o Options) (*Report, error) {
	b := &builder{o: o, root: root(o.Sources), a: newArchive()}
	if err := b.gather(ctx); err != nil {
		return nil, fmt.Errorf("rescue image: %w", err)
	}
	if err := b.write(ctx, w); err != nil {
		return nil, fmt.Errorf("write the rescue image: %w", err)
	}
	return &b.rep, nil
}

type builder struct {
	// config
	o    Options
	root fs.FS

	// state
	a       *archive
	machine elf.Machine
	rep     Report
}

func (b *builder) gather(ctx context.Context) error {
	var err error
	if b.machine, err = machine(b.o.Program); err != nil {
		return err
	}
	b.a.skeleton()
	b.a.put(program("init", b.o.Program))
	if err := b.a.etc(b.root); err != nil {
		return err
	}
	if err := b.programs(); err != nil {
		return err
	}
	if err := b.kernels(ctx); err != nil {
		return err
	}
	return b.info()
}

// machine tells which machine the tool is for, and refuses one that needs
// libraries: as /init nothing would be there to load it.
func machine(r *io.SectionReader) (elf.Machine, error) {
	if r == nil {
		return 0, errors.New("no program is given to become /init")
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return 0, fmt.Errorf("the program for /init: %w", err)
	}
	interp, err := interpreter(f)
	if err == nil && interp != "" {
		err = fmt.Errorf("it wants %s; it must be a static binary", interp)
	}
	if err == nil && f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		err = errors.New("it is no program")
	}
	if err != nil {
		return 0, fmt.Errorf("the program for /init: %w", err)
	}
	return f.Machine, nil
}

func (b *builder) programs() error {
	names := b.o.Programs
	if names == nil {
		names = Tools()
	}
	l := &linker{fsys: b.root, machine: b.machine, done: map[string]bool{}, add: func(name string, data []byte) {
		b.a.file(name, data, 0o755)
		b.rep.Programs = append(b.rep.Programs, name)
	}}
	var missing []error
	for _, name := range names {
		if err := l.program(name); err != nil {
			missing = append(missing, err)
		}
	}
	if err := errors.Join(missing...); err != nil {
		return fmt.Errorf("the sources lack programs: %w", err)
	}
	for name, target := range toolNames() {
		if b.a.has("sbin/"+target) && !b.a.has("sbin/"+name) {
			b.a.put(cpio.Symlink("sbin/"+name, target))
		}
	}
	return nil
}

// kernels packs the modules.
func (b *builder) kernels(ctx context.Context) error {
	list := b.o.Kernels
	if list == nil {
		list = versions(b.root)
	}
	for _, version := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		t, err := openTree(b.root, version)
		if err != nil {
			return err
		}
		m, _, err := t.machine()
		if err != nil {
			return err
		}
		if m != b.machine && m != elf.EM_NONE {
			if b.o.Kernels != nil {
				return fmt.Errorf("kernel %s is for %s, the program for %s", version, m, b.machine)
			}
			b.o.logf("kernel %s is left out: it is for %s", version, m)
			continue
		}
		if err := b.kernel(t); err != nil {
			return err
		}
	}
	b.a.text("etc/modules", strings.Join(slices.Concat(unasked(), b.o.Force, []string{""}), "\n"))
	return nil
}

// machine tells which machine a kernel is for, and which of its kinds where
// that is told, by one of its modules; EM_NONE where it has none.
func (t *tree) machine() (m elf.Machine, isa string, err error) {
	names := make([]string, 0, len(t.files))
	for name := range t.files {
		names = append(names, name)
	}
	if len(names) == 0 {
		return elf.EM_NONE, "", nil
	}
	mod, err := readModule(t.fsys, t.base, t.files[slices.Min(names)])
	if err != nil {
		return elf.EM_NONE, "", fmt.Errorf("kernel %s: %w", t.version, err)
	}
	return mod.machine, mod.isa, nil
}

func (b *builder) kernel(t *tree) error {
	c, err := t.close(slices.Concat(WishList(), b.o.Modules, b.o.Force))
	if err != nil {
		return err
	}
	base := "lib/modules/" + t.version
	for _, m := range c.sorted() {
		b.a.file(path.Join(base, m.file), m.raw, 0o644)
		b.firmware(m)
	}
	dep, alias, soft := c.tables()
	b.a.text(path.Join(base, "modules.dep"), dep)
	b.a.text(path.Join(base, "modules.alias"), alias)
	b.a.text(path.Join(base, "modules.softdep"), soft)
	for _, name := range []string{"modules.builtin", "modules.builtin.modinfo", "modules.order"} {
		data, err := readFile(b.root, path.Join(t.base, name), maxModule)
		if err == nil {
			b.a.file(path.Join(base, name), data, 0o644)
		}
	}
	if !b.a.has(path.Join(base, "modules.builtin")) {
		b.a.text(path.Join(base, "modules.builtin"), "")
	}
	b.o.logf("kernel %s: %d modules, %.1f MiB; %d wishes are built in, %d it does not have",
		t.version, len(c.rep.Modules), float64(c.rep.Bytes)/(1<<20), len(c.rep.Built), len(c.rep.Absent))
	b.rep.Kernels = append(b.rep.Kernels, c.rep)
	return nil
}

// firmware packs the files that a driver loads into its device, where the
// sources have them; most devices of the wish list work without.
func (b *builder) firmware(m *module) {
	for _, name := range m.firmware {
		for _, dir := range []string{"lib/firmware", "usr/lib/firmware"} {
			for _, ext := range []string{"", ".xz", ".zst"} {
				at := path.Join(dir, name+ext)
				if data, err := readFile(b.root, at, maxModule); err == nil && fs.ValidPath(at) {
					b.a.file(path.Join("lib/firmware", name+ext), data, 0o644)
				}
			}
		}
	}
}

// info puts in what the image knows of itself, and its seed.
func (b *builder) info() error {
	random := b.o.Random
	if random == nil {
		random = rand.Reader
	}
	buf := make([]byte, idLen+seedLen)
	if _, err := io.ReadFull(random, buf); err != nil {
		return fmt.Errorf("randomness: %w", err)
	}
	i := b.o.Info
	if i.ID == "" {
		i.ID = hex.EncodeToString(buf[:idLen])
	}
	if i.Date == "" {
		i.Date = b.o.now().Format(time.RFC3339)
	}
	for _, k := range b.rep.Kernels {
		i.Kernels = append(i.Kernels, k.Version)
	}
	text, err := json.MarshalIndent(i, "", "\t")
	if err != nil {
		return err
	}
	b.rep.Info = i
	b.a.text(InfoFile, string(text)+"\n")
	b.a.file("etc/random-seed", buf[idLen:], 0o600)
	return nil
}

func (b *builder) write(ctx context.Context, w io.Writer) error {
	f := b.o.Format
	if f == codec.Raw {
		f = codec.Gzip
	}
	packed := &counter{w: w}
	z, err := codec.NewWriter(packed, f, codec.Options{Size: -1})
	if err != nil {
		return err
	}
	raw := &counter{w: &ctxWriter{ctx, z}}
	if err := errors.Join(b.a.write(raw, b.o.now()), z.Close()); err != nil {
		return err
	}
	b.rep.Raw, b.rep.Packed, b.rep.Records = raw.n, packed.n, len(b.a.records)
	b.o.logf("rescue image %s: %d files, %.1f MiB, packed %.1f MiB", b.rep.Info.ID, b.rep.Records, float64(raw.n)/(1<<20), float64(packed.n)/(1<<20))
	return nil
}

// ctxWriter stops writing when the context ends.
type ctxWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c *ctxWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}

// ctxReader stops reading when the context ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
