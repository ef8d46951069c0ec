package store

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"lifeboat/internal/atomicfile"
)

// Clean removes files in the making that are older than before: what a process
// left that was killed while it put something. It returns their bytes.
func (f *Folder) Clean(ctx context.Context, before time.Time) (int64, error) {
	sum, loose := int64(0), atomicfile.Loose(f.dir)
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed a moment ago
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && d.IsDir() && atomicfile.Unfit(d.Name()) {
			return fs.SkipDir
		}
		if err != nil || !d.Type().IsRegular() || !inTheMaking(d.Name()) && !(loose && atomicfile.Torn(d.Name(), ours)) {
			return err
		}
		st, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && !st.ModTime().Before(before) {
			return nil
		}
		if err == nil {
			err = atomicfile.Remove(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			sum += st.Size()
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return sum, err
}

// ours are the types of files in repositories, as FAT shortens them.
var ours = []string{"CAC", "CAI", "JSO", "MAN", "MIN", "PAR", "SEA"}

// makingDigits is how many digits a name in the making ends with at least:
// renameio v2, tempfile.go, puts a dot before and a 63-bit number behind it.
const makingDigits = 12

// inTheMaking knows the names of our own files, and of those that came by SFTP:
// partName.
func inTheMaking(name string) bool {
	if part, ok := strings.CutSuffix(name, ".part"); ok {
		number := part[strings.LastIndexByte(part, '.')+1:]
		return strings.HasPrefix(name, ".") && len(number) == 16 && strings.Trim(number, "0123456789abcdef") == ""
	}
	digits := len(name) - len(strings.TrimRight(name, "0123456789"))
	return strings.HasPrefix(name, ".") && digits >= makingDigits
}
