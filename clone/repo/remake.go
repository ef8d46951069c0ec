package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"lifeboat/clone/store"
)

// remnant is what repository.json said where only that was lost: each snapshot
// knows its repository, and each index the size of its chunks. The grace stands
// nowhere else. It also tells how many snapshots there are; with none it is nil.
func remnant(ctx context.Context, s store.Store, o Options) (*config, int, error) {
	r := &Repo{s: s, o: o}
	keys, err := r.keys(ctx, snapshotsDir)
	if err != nil || len(keys) == 0 {
		return nil, 0, err
	}
	r.config.Version = configVersion
	switch _, err := r.stat(ctx, keyName); {
	case err == nil:
		r.config.Encrypted = true
		if r.seal, err = openKey(ctx, r, o.Keys); err != nil {
			return nil, 0, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, 0, err
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Compare(b.id, a.id) }) // the newest first
	var errs []error
	for _, k := range keys {
		if err := r.learn(ctx, k); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", k.stem(), err))
			continue
		}
		return &r.config, len(keys), nil
	}
	return nil, 0, fmt.Errorf("%s is lost, and none of %d snapshots tells what it said: %w", configName, len(keys), errors.Join(errs...))
}

// learn takes from a snapshot what its repository is.
func (r *Repo) learn(ctx context.Context, k key) error {
	data, err := r.read(ctx, k.stem()+recordExt, maxRecord)
	if err != nil {
		return err
	}
	rec, err := r.openRecord(data, k.series, k.id)
	if err != nil {
		return err
	}
	if data, err = r.read(ctx, k.stem()+indexExt, maxIndexFile); err != nil {
		return err
	}
	if err := rec.Index.check(data); err != nil {
		return err
	}
	x, err := decodeIndex(data)
	if err != nil {
		return err
	}
	r.config.ID, r.config.Chunk, r.config.GraceSeconds = rec.Repository, x.chunk, int64(minGrace.Seconds())
	return errors.Join(r.config.check(), rec.check(r.config, k.series, k.id))
}
