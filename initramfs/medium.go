package initramfs

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"lifeboat/boards"
	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/fat"
	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
)

const (
	mediumSector = 512
	mediumAlign  = 4 << 20 // where the part begins, and what its size is a multiple of
	mediumSlack  = 8 << 20 // for the FATs, folders, and a person's notes
	mediumLeast  = 64 << 20
	mediumLabel  = "LIFEBOAT"
	mediumFAT    = 32   // what every firmware reads, and the type in the table says
	fatType      = "0c" // FAT32 with LBA addresses
)

// ReadWriterAt is a file or disk that a medium is written to.
type ReadWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

// Medium writes an image to be flashed onto a stick or card: an MBR with one
// FAT part, with all that the firmware of its boards wants. What it writes is
// read back and followed by the rules of that firmware, for each board. f must
// be empty or new; the caller closes it. Truncating f to the report's Size is
// up to the caller, where f is a file.
func Medium(ctx context.Context, f ReadWriterAt, o MediumOptions) (*MediumReport, error) {
	c, err := newContent(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("rescue medium: %w", err)
	}
	r, err := c.medium(ctx, f)
	if err = errors.Join(err, c.close()); err != nil {
		return nil, fmt.Errorf("rescue medium: %w", err)
	}
	return r, nil
}

// A MediumReport says what a medium holds.
type MediumReport struct {
	Report
	Size    int64    // of the image, in bytes
	Boards  []string // names of the boards that it boots
	Loaders []string // boot loaders that lie outside of its part
}

func (c *content) reportOf(size int64) *MediumReport {
	r := &MediumReport{Report: *c.report, Size: size}
	for _, s := range c.support {
		r.Boards = append(r.Boards, s.Board.Name)
	}
	for _, l := range c.loaders {
		r.Loaders = append(r.Loaders, l.what)
	}
	return r
}

func (c *content) medium(ctx context.Context, f ReadWriterAt) (*MediumReport, error) {
	table, size, err := c.table()
	if err != nil {
		return nil, err
	}
	at := table.Entries[0].Extent
	w := &window{f, at}
	if err := c.format(ctx, w); err != nil {
		return nil, err
	}
	for _, l := range c.loaders {
		if _, err := f.WriteAt(l.data, l.off); err != nil {
			return nil, fmt.Errorf("write the boot loader at %d: %w", l.off, err)
		}
	}
	if err := sync(f); err != nil {
		return nil, err
	}
	part, err := fat.Open(w, at.Len)
	if err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	if err := c.prove(part); err != nil {
		return nil, err
	}
	if err := layout.Write(f, table, size, mediumSector); err != nil {
		return nil, fmt.Errorf("write the partition table: %w", err)
	}
	return c.reportOf(size), sync(f)
}

// table decides where the part lies, behind all raw areas in use.
func (c *content) table() (manifest.Table, int64, error) {
	off := int64(mediumAlign)
	for _, l := range c.loaders {
		off = max(off, l.off+int64(len(l.data)))
	}
	off = align(off)
	need := align(off + c.bytes(4096) + c.bytes(4096)/100 + mediumSlack)
	size := c.o.Size
	switch {
	case size == 0:
		size = max(need, mediumLeast)
	case size < need:
		return manifest.Table{}, 0, fmt.Errorf("%d bytes are too few: it needs %d", size, need)
	}
	id, err := c.diskID()
	if err != nil {
		return manifest.Table{}, 0, err
	}
	e := manifest.Entry{Num: 1, Extent: extent.Extent{Off: off, Len: (size - off) / mediumAlign * mediumAlign}, Type: fatType, UUID: id + "-01", Active: true}
	return manifest.Table{Kind: manifest.MBR, ID: id, Entries: []manifest.Entry{e}, Own: extent.Of(extent.Extent{Len: mediumSector})}, size, nil
}

func align(n int64) int64 { return (n + mediumAlign - 1) / mediumAlign * mediumAlign }

// diskID is taken from the build's ID, so that two media differ and one build
// can be repeated. It is never 0, which means that there is none.
func (c *content) diskID() (string, error) {
	b, err := hex.DecodeString(c.report.Info.ID)
	if err != nil || len(b) < 4 {
		return "", fmt.Errorf("the image's ID %q is not of 8 or more hex digits", c.report.Info.ID)
	}
	return fmt.Sprintf("%08x", binary.BigEndian.Uint32(b)|1), nil
}

// format makes the file system and fills it.
func (c *content) format(ctx context.Context, w *window) error {
	id, err := c.diskID()
	if err != nil {
		return err
	}
	o := fat.Options{Size: w.at.Len, Sector: mediumSector, Kind: mediumFAT, Label: mediumLabel, Serial: id[:4] + "-" + id[4:], Hidden: w.at.Off, Time: c.date()}
	if err := fat.Format(w, o); err != nil {
		return fmt.Errorf("make the file system: %w", err)
	}
	e, err := fat.Edit(w, w.at.Len)
	if err != nil {
		return err
	}
	e.Clock = c.date
	for _, i := range c.items {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := put(ctx, e, i); err != nil {
			return fmt.Errorf("write %s: %w", i.name, err)
		}
	}
	return e.Close()
}

func put(ctx context.Context, e *fat.Editor, i item) error {
	if dir := path.Dir(i.name); dir != "." {
		if err := e.MkdirAll(dir); err != nil {
			return err
		}
	}
	r, err := i.open()
	if err != nil {
		return err
	}
	return errors.Join(e.Write(i.name, i.size, &ctxReader{ctx, r}), r.Close())
}

// date is one time for all files of a build.
func (c *content) date() time.Time {
	t, err := time.Parse(time.RFC3339, c.report.Info.Date)
	if err != nil {
		return c.o.now()
	}
	return t.UTC()
}

// prove follows the firmware of each board through what was written.
func (c *content) prove(part fs.FS) error {
	for _, s := range c.support {
		b, k := s.Board, c.names[s.kernel]
		var chain *boards.Chain
		var err error
		switch b.Boot {
		case boards.RPiFirmware:
			chain, err = boards.Firmware(part, b, boards.FirmwareOptions{})
		case boards.UBoot:
			chain, err = boards.Extlinux(part)
			if err == nil && chain.Kernel != k {
				c.o.logf("%s: its label is not the default of U-Boot's menu", b.Title)
				continue
			}
		}
		if err != nil {
			return fmt.Errorf("what was written was read back: %w", err)
		}
		if chain == nil || chain.Kernel != k || len(chain.Initramfs) != 1 || chain.Initramfs[0] != archiveName {
			return fmt.Errorf("what was written was read back: a %s would start %+v and not %s with %s", b.Title, chain, k, archiveName)
		}
	}
	return nil
}

// sync syncs f, if it can.
func sync(f any) error {
	if s, ok := f.(interface{ Sync() error }); ok {
		return s.Sync()
	}
	return nil
}

// window is the part within the image.
type window struct {
	f  ReadWriterAt
	at extent.Extent
}

func (w *window) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= w.at.Len {
		return 0, io.EOF
	}
	short := int64(len(p)) > w.at.Len-off
	if short {
		p = p[:w.at.Len-off]
	}
	n, err := w.f.ReadAt(p, w.at.Off+off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

func (w *window) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > w.at.Len-int64(len(p)) {
		return 0, fmt.Errorf("write of %d bytes at %d of a part of %d", len(p), off, w.at.Len)
	}
	return w.f.WriteAt(p, w.at.Off+off)
}

func (w *window) Sync() error { return sync(w.f) }
