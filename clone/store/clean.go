package store

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"lifeboat/internal/atomicfile"
)

// Clean removes files in the making that are older than before: what a process
// left that was killed while it put something. It returns their bytes.
func (f *Folder) Clean(ctx context.Context, before time.Time) (int64, error) {
	sum, loose := int64(0), atomicfile.Loose(f.dir)
	err := filepath.WalkDir(f.dir, func(at string, d fs.DirEntry, err error) error {
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
			err = atomicfile.Remove(at)
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

// making are files in the making that lists have come across.
type making struct {
	mu sync.Mutex
	of map[string]Info
}

func (m *making) see(name string, st fs.FileInfo) {
	if !st.Mode().IsRegular() || !inTheMaking(path.Base(name)) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of[name] = infoOf(name, st)
}

// take is what was seen that is older than before. Nothing is remembered any more.
func (m *making) take(before time.Time) []Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	var old []Info
	for _, info := range m.of {
		if info.Time.Before(before) {
			old = append(old, info)
		}
	}
	clear(m.of)
	return old
}

// Clean is Folder's, of the store's own folder and of those that List has gone
// through: a repository has thousands, and a prune lists them anyway.
func (s *SFTP) Clean(ctx context.Context, before time.Time) (int64, error) {
	found, err := s.folders(ctx, []string{""})
	if err != nil {
		return 0, err
	}
	for _, e := range found[0] {
		s.making.see(e.Name(), e)
	}
	sum := int64(0)
	for _, info := range s.making.take(before) {
		err := s.Remove(ctx, info.Name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return sum, err
		}
		if err == nil {
			sum += info.Size
		}
	}
	return sum, nil
}

// Clean ends uploads in parts that were begun before a time, and are not whole:
// what a process left that was killed. How many bytes they had is not told. A
// server that knows no such list, or does not let us, has rules of its own for them.
func (s *S3) Clean(ctx context.Context, before time.Time) (int64, error) {
	var refused *S3Error
	for key, id := "", ""; ; {
		var page minio.ListMultipartUploadsResult
		err := s.try(ctx, "", s.patience, func(ctx context.Context, _ *watch) (err error) {
			page, err = s.client.ListMultipartUploads(ctx, s.bucket, s.prefix, key, id, "", s3Uploads)
			return err
		})
		for _, u := range page.Uploads {
			if err == nil && u.Initiated.Before(before) && strings.HasPrefix(u.Key, s.prefix) {
				err = s.try(ctx, strings.TrimPrefix(u.Key, s.prefix), s.patience, func(ctx context.Context, _ *watch) error {
					return s.client.AbortMultipartUpload(ctx, s.bucket, u.Key, u.UploadID)
				})
			}
			if errors.As(err, &refused) && refused.Code == minio.NoSuchUpload {
				err = nil // it has ended a moment ago
			}
		}
		if errors.As(err, &refused) {
			return 0, nil
		}
		if err != nil || !page.IsTruncated || page.NextKeyMarker == key && page.NextUploadIDMarker == id {
			return 0, err
		}
		key, id = page.NextKeyMarker, page.NextUploadIDMarker
	}
}

// s3Uploads is how many unfinished uploads are asked for at once.
const s3Uploads = 1000

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
