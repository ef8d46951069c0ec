package repo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// A Snapshot is a record that was read and held against its place and, where
// keys are trusted, its signature.
type Snapshot struct {
	Record
	Signed bool `json:"signed"` // by a trusted key
}

// A BadSnapshotError is a record that cannot be used.
type BadSnapshotError struct {
	Series, ID string
	Err        error
}

func (e *BadSnapshotError) Error() string {
	return fmt.Sprintf("snapshot %s of series %s: %v", e.ID, e.Series, e.Err)
}
func (e *BadSnapshotError) Unwrap() error { return e.Err }

// Lasting tells whether it stays so: its files are damaged or missing. A server
// that does not answer may do so later.
func (e *BadSnapshotError) Lasting() bool {
	var large *TooLargeError
	return errors.Is(e.Err, errBound) || errors.As(e.Err, &large) || errors.Is(e.Err, fs.ErrNotExist) || errors.Is(e.Err, syscall.EIO)
}

// A key names a snapshot.
type key struct{ series, id string }

func (k key) stem() string { return stem(k.series, k.id) }

// recordReaders is how many records are read at once.
const recordReaders = 8

// Snapshots reads the records of a series ("" = of all), oldest first. Of what
// cannot be used the errors are joined, all others are returned nevertheless.
func (r *Repo) Snapshots(ctx context.Context, series string) ([]*Snapshot, error) {
	prefix := snapshotsDir
	if series != "" {
		prefix += series + "/"
	}
	keys, err := r.keys(ctx, prefix)
	if err != nil {
		return nil, err
	}
	found, errs := make([]*Snapshot, len(keys)), make([]error, len(keys))
	var group errgroup.Group
	group.SetLimit(recordReaders)
	for i, k := range keys {
		group.Go(func() error {
			found[i], errs[i] = r.snapshot(ctx, k)
			if errors.Is(errs[i], fs.ErrNotExist) {
				errs[i] = nil // forgotten a moment ago
			}
			return nil
		})
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(s *Snapshot) bool { return s == nil })
	slices.SortFunc(found, func(a, b *Snapshot) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.host(), b.host()), cmp.Compare(a.ID, b.ID))
	})
	return found, errors.Join(errs...)
}

// record reads one, and does not ask who signed it. The bytes are those of its
// file.
func (r *Repo) record(ctx context.Context, k key) (*Record, []byte, error) {
	data, err := r.read(ctx, k.stem()+recordExt, maxRecord)
	if err != nil {
		return nil, nil, err
	}
	rec, err := r.decodeRecord(data, k.series, k.id)
	return rec, data, err
}

// snapshot reads one record, and holds it against its signature.
func (r *Repo) snapshot(ctx context.Context, k key) (*Snapshot, error) {
	bad := func(err error) error { return &BadSnapshotError{k.series, k.id, err} }
	rec, data, err := r.record(ctx, k)
	if err != nil {
		return nil, bad(err)
	}
	if len(r.o.Trust) > 0 {
		signature, err := r.read(ctx, k.stem()+signatureExt, maxSignature)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, bad(ErrSignature)
		}
		if err == nil {
			err = checkSignature(r.o.Trust, data, signature)
		}
		if err != nil {
			return nil, bad(err)
		}
	}
	return &Snapshot{*rec, len(r.o.Trust) > 0}, nil
}

// keys lists the snapshots whose records are below a prefix. Where the store
// cannot list, the catalog says what there may be.
func (r *Repo) keys(ctx context.Context, prefix string) ([]key, error) {
	var keys []key
	for info, err := range r.s.List(ctx, prefix) {
		if errors.Is(err, errors.ErrUnsupported) {
			all, err := r.catalog(ctx)
			if errors.Is(err, fs.ErrNotExist) {
				err = errNoCatalog
			}
			return slices.DeleteFunc(all, func(k key) bool { return !strings.HasPrefix(k.stem(), prefix) }), err
		}
		if err != nil {
			return nil, fmt.Errorf("list snapshots: %w", err)
		}
		if series, id, ok := parseStem(info.Name, recordExt); ok && info.Size != 0 {
			keys = append(keys, key{series, id})
		}
	}
	return keys, nil
}

// errNoCatalog is not that there are no snapshots: nobody can tell.
var errNoCatalog = errors.New(catalogName + " is not there, without which the snapshots on a web server cannot be found: none was made yet, or lifeboat repo prune, where the repository lies, writes it anew")

// maxCatalog bounds the catalog: some 100,000 snapshots.
const maxCatalog = 8 << 20

// catalog reads the hint of what there is.
func (r *Repo) catalog(ctx context.Context) ([]key, error) {
	data, err := r.read(ctx, catalogName, maxCatalog)
	if err != nil {
		return nil, err
	}
	return decodeCatalog(data)
}

func decodeCatalog(data []byte) ([]key, error) {
	var names []string
	if err := json.Unmarshal(data, &names); err != nil {
		return nil, fmt.Errorf("%s: %w", catalogName, err)
	}
	var keys []key
	for _, name := range names {
		series, id, ok := parseStem(snapshotsDir+name, "")
		if !ok {
			return nil, fmt.Errorf("%s: %q names no snapshot", catalogName, name)
		}
		keys = append(keys, key{series, id})
	}
	return keys, nil
}

// catalogTries is how often the catalog is written again where another changed
// the snapshots meanwhile.
const catalogTries = 3

// writeCatalog renews the hint. Who may not list or write over leaves it alone.
func (r *Repo) writeCatalog(ctx context.Context) error {
	var last []byte
	for range catalogTries {
		keys, err := r.keys(ctx, snapshotsDir)
		if err != nil {
			return ignoreForbidden(err)
		}
		names := make([]string, len(keys))
		for i, k := range keys {
			names[i] = k.series + "/" + k.id
		}
		slices.Sort(names)
		data := encodeJSON(names)
		if slices.Equal(data, last) {
			return nil
		}
		if err := putBytes(ctx, r.s, catalogName, data); err != nil {
			return ignoreForbidden(err)
		}
		last = data
	}
	return nil
}

// ignoreForbidden lets a key that may only add go on.
func ignoreForbidden(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrExist) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// Forget removes the records of snapshots: from then on they do not exist. Their
// chunks are left to Prune.
func (r *Repo) Forget(ctx context.Context, snaps ...*Snapshot) error {
	for _, s := range snaps {
		if err := r.s.Remove(ctx, s.stem()+recordExt); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget %s: %w", s.Label(), err)
		}
		if err := r.endIntents(ctx, s.ID); err != nil {
			return fmt.Errorf("forget %s: %w", s.Label(), err)
		}
	}
	return r.writeCatalog(ctx)
}

// endIntents removes what a snapshot's backup had told, behind its record.
func (r *Repo) endIntents(ctx context.Context, id string) error {
	for info, err := range r.s.List(ctx, intentsDir+id) {
		if err == nil {
			err = gone(r.s.Remove(ctx, info.Name))
		}
		if err != nil {
			return ignoreForbidden(err)
		}
	}
	return nil
}

// ForgetID removes a record that need not be readable.
func (r *Repo) ForgetID(ctx context.Context, series, id string) error {
	name := stem(series, id) + recordExt
	if _, _, ok := parseStem(name, recordExt); !ok {
		return fmt.Errorf("%s/%s: %w", series, id, ErrNoSnapshot)
	}
	if err := r.s.Remove(ctx, name); err != nil {
		return fmt.Errorf("forget %s/%s: %w", series, id, err)
	}
	if err := r.endIntents(ctx, id); err != nil {
		return err
	}
	return r.writeCatalog(ctx)
}
