package initramfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
)

// An archive gathers records. It writes them sorted: the kernel drops an entry
// whose folder comes later, and says nothing (init/initramfs.c, do_name).
type archive struct{ records map[string]cpio.Record }

func newArchive() *archive { return &archive{records: map[string]cpio.Record{}} }

// put adds a record and the folders above it. A later one of the same name
// replaces it.
func (a *archive) put(r cpio.Record) {
	r.Name = strings.TrimPrefix(path.Clean("/"+r.Name), "/")
	for d := path.Dir(r.Name); d != "."; d = path.Dir(d) {
		if _, ok := a.records[d]; !ok {
			a.records[d] = cpio.Directory(d, 0o755)
		}
	}
	a.records[r.Name] = r
}

func (a *archive) file(name string, data []byte, perm uint64) {
	a.put(cpio.StaticRecord(data, cpio.Info{Name: name, Mode: cpio.S_IFREG | perm}))
}

func (a *archive) text(name, text string) { a.file(name, []byte(text), 0o644) }

// has tells whether the name is taken.
func (a *archive) has(name string) bool {
	_, ok := a.records[name]
	return ok
}

// write writes the archive. All records bear the time date; each has an inode
// of its own, because equal ones mean hard links.
func (a *archive) write(w io.Writer, date time.Time) error {
	names := make([]string, 0, len(a.records))
	for name := range a.records {
		names = append(names, name)
	}
	slices.Sort(names)
	out := cpio.Newc.Writer(w)
	for i, name := range names {
		r := a.records[name]
		r.Ino, r.NLink, r.MTime = uint64(i+1), 1, uint64(max(0, date.Unix()))
		if r.Mode&cpio.S_IFMT == cpio.S_IFDIR {
			r.NLink = 2
		}
		if r.FileSize > maxFile {
			return fmt.Errorf("record %s: it has %d bytes", name, r.FileSize)
		}
		if err := out.WriteRecord(r); err != nil {
			return fmt.Errorf("record %s: %w", name, err)
		}
	}
	return cpio.WriteTrailer(out)
}

// skeleton are the folders, devices and links that every rescue image has.
func (a *archive) skeleton() {
	for _, dir := range []string{"dev", "proc", "sys", "run", "etc", "mnt", "bin", "sbin", "lib", "usr", "root", "var"} {
		a.put(cpio.Directory(dir, 0o755))
	}
	a.put(cpio.Directory("tmp", 0o1777))
	a.put(cpio.CharDev("dev/console", 0o600, 5, 1))
	a.put(cpio.CharDev("dev/null", 0o666, 1, 3))
	a.put(cpio.Symlink("sbin/modprobe", "../init"))
	a.put(cpio.Symlink("bin/lifeboat", "../init"))
}

// etc are the settings of the image; the root's own certificates and mke2fs
// settings are taken where there are some.
func (a *archive) etc(root fs.FS) error {
	a.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	a.text("etc/group", "root:x:0:\n")
	a.text("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
	a.text("etc/resolv.conf", "")
	a.put(cpio.Symlink("etc/mtab", "../proc/mounts"))
	for _, name := range []string{"etc/mke2fs.conf", "etc/ssl/certs/ca-certificates.crt"} {
		data, err := readFile(root, name, maxFile)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		default:
			a.file(name, data, 0o644)
		}
	}
	return nil
}

// program is a record that is read when it is written.
func program(name string, r *io.SectionReader) cpio.Record {
	return cpio.Record{ReaderAt: r, Info: cpio.Info{Name: name, Mode: cpio.S_IFREG | 0o755, FileSize: uint64(r.Size())}}
}

// counter counts what is written through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
