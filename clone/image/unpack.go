package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"lifeboat/clone/extent"
	"lifeboat/internal/progress"
)

// Unpacked is an image that was unpacked into a sparse file without a name. It
// goes away with Close, or with the process.
type Unpacked struct {
	*os.File
	Size int64      // bytes
	Data extent.Set // what of it is not a long run of zeros
}

// Unpack reads all that open yields into a file in the folder of path: for what
// wants to read a packed image anywhere, or to know its size, which of many
// stands only at their end.
func Unpack(ctx context.Context, path string, open func(context.Context, extent.Set) (Pass, error), m *progress.Meter) (*Unpacked, error) {
	file, err := nameless(path)
	if err != nil {
		return nil, err
	}
	u := &Unpacked{File: file}
	if err = u.fill(ctx, path, open, m); err == nil {
		err = file.Truncate(u.Size)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return u, nil
}

// nameless makes a file in the folder of path that goes away with the process,
// whatever happens.
func nameless(path string) (*os.File, error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.spool")
	if err != nil {
		return nil, fmt.Errorf("spool %s: %w", path, err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(explain(path, err), file.Close())
	}
	return file, nil
}

func (u *Unpacked) fill(ctx context.Context, path string, open func(context.Context, extent.Set) (Pass, error), m *progress.Meter) (err error) {
	pass, err := open(ctx, extent.Of(extent.Extent{Off: 0, Len: math.MaxInt64}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pass.Close()) }()
	out := &sparse{path: path, file: u.File}
	l := newLine(context.WithoutCancel(ctx), out.write)
	for err == nil {
		var rec extent.Record
		if rec, err = pass.Next(ctx); err != nil {
			break
		}
		m.Add(rec.End() - u.Size)
		u.Size = rec.End()
		if rec.Kind == extent.Data {
			u.Data = u.Data.Append(rec.Extent)
			err = l.put(ctx, rec, false)
		}
	}
	if err == io.EOF {
		err = nil
	}
	return errors.Join(err, l.close())
}
