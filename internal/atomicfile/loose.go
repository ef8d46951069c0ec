package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// loose are the file systems whose driver brings names, sizes and what is free to
// the disk one by one, in any order: the numbers that statfs(2) has for FAT and
// exFAT. There
//   - a renamed file is, by its folder's sync alone, one of no bytes: where its
//     bytes lie is written with the file (Linux, fs/fat/namei_vfat.c);
//   - the room of a file that was removed or replaced may belong to others while
//     the disk still has the old name. What is open keeps its room.
var loose = []int64{unix.MSDOS_SUPER_MAGIC, unix.EXFAT_SUPER_MAGIC}

// Loose tells whether a folder lies on a file system that is.
func Loose(dir string) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return false
	}
	for _, n := range loose {
		if uint32(st.Type) == uint32(n) {
			return true
		}
	}
	return false
}

// hold opens what is at path, so that its room stays its own; nil = it cannot be.
func hold(path string) *os.File {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	return f
}

// Remove removes a file. Where a power loss could bring half of it back, or let
// others lose what was laid into its room, it is gone for good behind this.
func Remove(path string) error {
	if !Loose(filepath.Dir(path)) {
		return os.Remove(path)
	}
	f := hold(path)
	defer f.Close() // nothing, of nil
	if err := os.Remove(path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Rename gives a file another name, for good. What has that name is replaced.
func Rename(from, to string) error {
	loose := Loose(filepath.Dir(to))
	if loose {
		defer hold(to).Close()
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return settle(to, loose)
}

// settle makes the name of a file that was just renamed survive a power loss.
func settle(path string, loose bool) error {
	err := SyncDir(filepath.Dir(path))
	if !loose {
		return err
	}
	// Behind the folder: the old name must be gone before the new one has the bytes,
	// or fsck.vfat finds two files in one place, and empties one.
	if again := SyncDir(path); !errors.Is(again, fs.ErrNotExist) { // somebody removed it
		err = errors.Join(err, again)
	}
	return err
}

// making is the form of the names under which folders are made: FAT keeps such a
// name in one entry. A longer one lies in several, which a power loss can part.
const making = "LB%06X.NEW"

// garbled is what fsck.vfat names entries that make no sense.
const garbled = "FSCK%04d.%03d"

// Unfit tells whether a folder is one that Mkdir had begun to make, or that
// fsck.vfat could not make sense of. Nobody may look into it: what a power loss made
// of it can be worse than nothing, and behind a look at that Linux refuses all writes.
func Unfit(name string) bool {
	var n, k int
	if _, err := fmt.Sscanf(name, making, &n); err == nil {
		return name == fmt.Sprintf(making, n)
	}
	_, err := fmt.Sscanf(name, garbled, &n, &k)
	return err == nil && name == fmt.Sprintf(garbled, n, k)
}

// Mkdir makes a folder that survives a power loss, and whose name never leads to
// anything else than a folder. fs.ErrExist where there is one.
func Mkdir(path string, perm fs.FileMode) error {
	path = filepath.Clean(path)
	dir := filepath.Dir(path)
	if !Loose(dir) {
		if err := os.Mkdir(path, perm); err != nil {
			return err
		}
		return SyncDir(dir)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fs.ErrExist, err)
	}
	temp := filepath.Join(dir, fmt.Sprintf(making, rand.Uint32()>>8))
	if err := os.Mkdir(temp, perm); err != nil {
		return err
	}
	err := SyncDir(dir)
	if err == nil {
		err = rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, Remove(temp))
	}
	return settle(path, true)
}

// MkdirAll is Mkdir with the folders above it, as far as they are missing.
func MkdirAll(path string, perm fs.FileMode) error {
	path = filepath.Clean(path)
	err := Mkdir(path, perm)
	switch {
	case errors.Is(err, fs.ErrNotExist) && path != filepath.Dir(path):
		if err := MkdirAll(filepath.Dir(path), perm); err != nil {
			return err
		}
		return MkdirAll(path, perm)
	case errors.Is(err, fs.ErrExist):
		if st, err := os.Stat(path); err != nil || st.IsDir() {
			return err
		}
	}
	return err
}

// Settle makes a folder that somebody else made a moment ago survive a power loss
// as well as one of Mkdir's.
func Settle(path string) error {
	if !Loose(path) {
		return nil
	}
	return settle(path, true)
}

// rename fails where there is something of the name.
func rename(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// Torn tells whether a name is what FAT is left with of a long one when a power
// loss parts its entries: BEGINN~1.TYP, of one of the types. Long names are shown
// otherwise, so nobody has given it.
func Torn(name string, types []string) bool {
	stem, ext, _ := strings.Cut(name, ".")
	begin, number, ok := strings.Cut(stem, "~")
	return ok && len(stem) <= 8 && strings.ToUpper(begin) == begin && number != "" && strings.Trim(number, "0123456789") == "" && slices.Contains(types, ext)
}

// tornOf knows what is left so of the names under which files for base are made.
func tornOf(base string) func(name string) bool {
	ext := filepath.Ext(base)
	short := strings.ToUpper(strings.NewReplacer(".", "", " ", "").Replace(strings.TrimSuffix(base, ext)))
	ext = strings.ToUpper(strings.TrimPrefix(ext, "."))
	short, ext = short[:min(6, len(short))], ext[:min(3, len(ext))]
	return func(name string) bool {
		begin, _, _ := strings.Cut(name, "~")
		return begin == short && Torn(name, []string{ext})
	}
}
