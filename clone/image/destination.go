package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"lifeboat/clone/store"
	"lifeboat/internal/atomicfile"
)

// A destination takes the bytes of a packed image, and gives it its name.
type destination interface {
	// free refuses a name that is taken.
	free(ctx context.Context) error
	begin(ctx context.Context) (io.Writer, error)
	// whole says that all bytes are written: they can be read back then.
	whole() error
	// back reads what lies there, from front to back.
	back(ctx context.Context, size int64) (io.ReadCloser, error)
	publish(ctx context.Context, s *Sidecar) error
	// halt lets go who waits in a write; drop leaves nothing behind.
	halt()
	drop(ctx context.Context) error
}

// fileDestination is a file of this machine.
type fileDestination struct {
	// config
	path string
	o    SinkOptions

	// state
	file *atomicfile.File
}

func (d *fileDestination) free(context.Context) error { return free(d.path, d.o) }

func (d *fileDestination) begin(context.Context) (io.Writer, error) {
	var err error
	if d.file, err = atomicfile.Create(d.path, filePerm); err != nil {
		return nil, err
	}
	return d.file.File, nil
}

func (d *fileDestination) whole() error { return nil }

func (d *fileDestination) back(_ context.Context, size int64) (io.ReadCloser, error) {
	if err := settle(d.path, d.file.File, size); err != nil {
		return nil, err
	}
	return io.NopCloser(io.NewSectionReader(d.file, 0, size)), nil
}

func (d *fileDestination) publish(_ context.Context, s *Sidecar) error {
	return publish(d.path, d.file, d.o, s, nil)
}

func (d *fileDestination) halt() {}

func (d *fileDestination) drop(context.Context) error { return d.file.Cleanup() }

// storeDestination is a file of a store, which is put while it is packed: no
// copy lies here. Where it may be read back, and take the place of another, it
// has a name of its own until then; else one that is bad is removed again.
type storeDestination struct {
	// config
	s    store.Store
	name string
	at   string // where its bytes lie until it is published: name, or beside it
	path string // for messages
	o    SinkOptions

	// state
	pipe   *io.PipeWriter
	cancel context.CancelFunc
	done   chan error // of the put
	stored bool
}

func (d *storeDestination) free(ctx context.Context) error {
	if d.o.Overwrite {
		return nil // whether there is one, a key that may only add cannot tell
	}
	_, err := store.Stat(ctx, d.s, d.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%s is there already, and overwriting it was not asked for: %w", d.path, fs.ErrExist)
}

func (d *storeDestination) begin(ctx context.Context) (io.Writer, error) {
	ctx, d.cancel = context.WithCancel(ctx)
	r, w := io.Pipe()
	d.pipe, d.done = w, make(chan error, 1)
	go func() {
		err := d.s.Put(ctx, d.at, -1, r)
		r.CloseWithError(err) // whoever still writes hears why
		d.done <- err
	}()
	return w, nil
}

func (d *storeDestination) whole() error {
	d.pipe.Close()
	err := <-d.done
	d.done <- err // drop waits for it, too
	d.stored = err == nil
	return err
}

func (d *storeDestination) back(ctx context.Context, _ int64) (io.ReadCloser, error) {
	body, _, err := store.Resume(ctx, d.s, d.at, store.ResumeOptions{Logf: d.o.Logf})
	return body, err
}

// publish brings the head. Side files of an image that was there before must not
// lie beside this one: the head is replaced, and map and boot areas go.
func (d *storeDestination) publish(ctx context.Context, s *Sidecar) error {
	head, err := s.encode()
	if err != nil {
		return err
	}
	if d.o.Overwrite {
		err := d.remove(ctx, d.name+bmapExt)
		if err = errors.Join(err, d.removeAreas(ctx)); err != nil {
			return err
		}
	}
	if d.at != d.name {
		if err := store.Move(ctx, d.s, d.at, d.name); err != nil {
			return err
		}
		d.at = d.name
	}
	for _, a := range s.Head.Areas {
		if err := store.PutBytes(ctx, d.s, AreaFile(d.name, a.Name), d.o.Areas[a.Name]); err != nil {
			return err
		}
	}
	if err := store.PutBytes(ctx, d.s, d.name+headExt, head); err != nil {
		return err
	}
	d.cancel()
	return nil
}

func (d *storeDestination) halt() {
	d.cancel()
	d.pipe.CloseWithError(context.Canceled)
}

func (d *storeDestination) drop(ctx context.Context) error {
	d.halt()
	if err := <-d.done; err != nil || !d.stored {
		return nil // the put itself leaves nothing
	}
	err := d.s.Remove(ctx, d.at)
	if d.at != d.name { // the side files are still another's
		return err
	}
	return errors.Join(err, d.removeAreas(ctx))
}

// remove takes a file away that may be there, as far as the key may.
func (d *storeDestination) remove(ctx context.Context, name string) error {
	err := d.s.Remove(ctx, name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

func (d *storeDestination) removeAreas(ctx context.Context) error {
	var errs []error
	for _, area := range areaNames {
		errs = append(errs, d.remove(ctx, AreaFile(d.name, area)))
	}
	return errors.Join(errs...)
}

// CreateIn is Create in a store, for packed images. path is what messages call
// it. With Verify the image is read back. With Overwrite too, that is done under a
// name beside its own, and the one before stays where the new one is bad.
func CreateIn(s store.Store, name, path string, o SinkOptions) (Sink, error) {
	format, err := packedFormat(path, name, o)
	if err != nil {
		return nil, err
	}
	at := name
	if o.Overwrite && o.Verify {
		at = aside(name)
	}
	return &packedSink{path: path, format: format, o: o, dest: &storeDestination{s: s, name: name, at: at, path: path, o: o}}, nil
}

// aside is where an image lies until it may take the place of another. What a
// killed program leaves there, the next one for the same name replaces.
func aside(name string) string {
	dir, base := path.Split(name)
	return dir + "." + base + ".new"
}
