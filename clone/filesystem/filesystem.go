// Package filesystem answers, of any part: which file system is it, which bytes
// does it use, what files does it hold; and it calls the real programs that
// check, grow and rename one. The reading itself is done by the packages below
// it: ext4, fat and swap. Where none of them knows the content, or is not
// certain, all bytes count as used.
//
// It makes no file systems and mounts none.
package filesystem

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/ext4"
	"lifeboat/clone/filesystem/fat"
	"lifeboat/clone/filesystem/swap"
	"lifeboat/clone/manifest"
)

// Types that more than one place asks for, as blkid says them.
const (
	typeVFAT      = "vfat"
	typeSwap      = "swap"
	typeSuspended = "swsuspend"
)

// IsExt tells whether t is ext2, ext3 or ext4.
func IsExt(t string) bool { return t == "ext2" || t == "ext3" || t == "ext4" }

// Used is the set of bytes that the part of size bytes has in use, from its
// start on, and where that is all of them, why. fs is what Probe said of it. An
// error is one of the reader.
func Used(r io.ReaderAt, size int64, fs manifest.FS) (set extent.Set, why string, err error) {
	all := extent.Of(extent.Extent{Off: 0, Len: size})
	switch {
	case IsExt(fs.Type):
		set, why, err = usedExt(r, size)
	case fs.Type == typeVFAT:
		set, why, err = usedFAT(r, size)
	case fs.Type == typeSwap:
		set, why, err = usedSwap(r, size)
	default:
		why = whyAll(fs)
	}
	if err != nil {
		return nil, "", fmt.Errorf("used bytes of %s: %w", fs.Type, err)
	}
	if why != "" {
		return all, why, nil
	}
	return set, "", nil
}

// Void is the set of bytes of the part that are in use and hold nothing, so that a
// copy may have zeros there: the body of an empty ext4 journal. An error is one of
// the reader.
func Void(r io.ReaderAt, size int64, fs manifest.FS) (extent.Set, error) {
	if !IsExt(fs.Type) {
		return nil, nil
	}
	f, err := ext4.Open(r, size)
	if why, err := doubtOf(err); err != nil || why != "" {
		return nil, err
	}
	return f.Void(), nil
}

// whyAll says why a file system without a map counts as all in use.
func whyAll(fs manifest.FS) string {
	switch fs.Type {
	case "":
		if fs.Detail != "" {
			return fs.Detail
		}
		return "no file system that lifeboat knows"
	case typeSuspended:
		return "a hibernated system sleeps in it"
	case "crypto_LUKS", "BitLocker":
		return fs.Type + ": it is encrypted, what is in use cannot be seen"
	}
	return fs.Type + ": lifeboat has no map of it"
}

func usedExt(r io.ReaderAt, size int64) (extent.Set, string, error) {
	f, err := ext4.Open(r, size)
	var set extent.Set
	if err == nil {
		set, err = f.Used()
	}
	why, err := doubtOf(err)
	return set, why, err
}

// doubtOf tells a doubt about an ext file system from an error of its reader.
func doubtOf(err error) (why string, _ error) {
	var doubt *ext4.UnsureError
	switch {
	case errors.As(err, &doubt):
		return doubt.Error(), nil
	case errors.Is(err, ext4.ErrNotExt):
		return err.Error(), nil
	}
	return "", err
}

// usedFAT takes any damage as a reason to keep all bytes, but not an error of
// the reader.
func usedFAT(r io.ReaderAt, size int64) (extent.Set, string, error) {
	noted := &notedReader{r: r}
	f, err := fat.Open(noted, size)
	var set extent.Set
	if err == nil {
		set, err = f.Used()
	}
	switch {
	case noted.err != nil:
		return nil, "", noted.err
	case err != nil:
		return nil, err.Error(), nil
	}
	return set, "", nil
}

// usedSwap keeps the header alone: what is swapped out is lost with the memory
// it belongs to.
func usedSwap(r io.ReaderAt, size int64) (extent.Set, string, error) {
	info, err := swap.Open(r, size)
	switch {
	case errors.Is(err, swap.ErrNotSwap):
		return nil, err.Error(), nil
	case err != nil:
		return nil, "", err
	case info.Suspended:
		return nil, whyAll(manifest.FS{Type: typeSuspended}), nil
	}
	return extent.Of(extent.Extent{Off: 0, Len: info.PageSize}), "", nil
}

// A notedReader remembers what went wrong below a decoder.
type notedReader struct {
	r   io.ReaderAt
	err error
}

func (n *notedReader) ReadAt(p []byte, off int64) (int, error) {
	c, err := n.r.ReadAt(p, off)
	if err != nil && err != io.EOF {
		n.err = err
	}
	return c, err
}

// Files are the files of a part of size bytes: of ext2, ext3 and ext4 as they
// will be when the journal was replayed, and of vfat. r must stay readable.
func Files(r io.ReaderAt, size int64, of manifest.FS) (fs.FS, error) {
	switch {
	case IsExt(of.Type):
		f, err := ext4.Open(r, size)
		if err != nil {
			return nil, fmt.Errorf("files of %s: %w", of.Type, err)
		}
		files := f.Files()
		if _, err := fs.Stat(files, "."); err != nil {
			return nil, fmt.Errorf("files of %s: %w", of.Type, err)
		}
		return files, nil
	case of.Type == typeVFAT:
		f, err := fat.Open(r, size)
		if err != nil {
			return nil, fmt.Errorf("files of %s: %w", of.Type, err)
		}
		return f, nil
	case of.Type == "":
		return nil, errors.New("files: no file system that lifeboat can read")
	}
	return nil, fmt.Errorf("files: lifeboat cannot read %s", of.Type)
}
