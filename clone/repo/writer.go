package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"lifeboat/clone/store"
)

// A writer keeps to the rules by which several write and one prunes:
// docs/REPOSITORY.md, section 5.
type writer struct {
	// config
	r    *Repo
	id   string
	base map[ID]struct{} // chunks of the base, which the intent names
	from string          // the base, as SERIES/ID
	puts store.Batch     // of chunks
	mend bool            // those that are there are read, and put anew if damaged

	// state
	lock    chan struct{}   // holds one token while somebody changes what follows
	mine    map[ID]struct{} // put or kept, not in base
	put     []ID            // of mine
	unnamed []ID            // of mine
	risk    map[ID]struct{} // stand on a list that may be swept soon
	all     bool            // the lists cannot be read: all that is found is risky
	kept    []ID            // found, and risky when they were
	n       int             // of the next intent
	named   time.Time       // of the last intent, by the store's clock
	local   time.Time       // the same by ours
	grow    int64           // bytes put
}

// begin publishes the intent. Only behind it may the base be read.
func (r *Repo) begin(ctx context.Context, id, base string) (*writer, error) {
	w := &writer{r: r, id: id, from: base, lock: make(chan struct{}, 1), mine: map[ID]struct{}{}}
	err := w.name(ctx)
	if err == nil {
		w.puts, err = store.NewBatch(ctx, r.s)
	}
	if err != nil {
		return nil, errors.Join(err, w.end(context.WithoutCancel(ctx)))
	}
	return w, nil
}

// A StaleError says that a backup stood still for longer than the repository
// waits for it: what it counted on may be gone.
type StaleError struct{ Gap, Limit time.Duration }

func (e *StaleError) Error() string {
	return fmt.Sprintf("the backup stood still for %v, and the repository waits for %v only: start it again", e.Gap.Round(time.Second), e.Limit)
}

// name puts an intent that names what was put or kept since the last one, and
// reads the condemned lists. The caller holds the lock, or is alone.
func (w *writer) name(ctx context.Context) error {
	r := w.r
	file := intentName(w.id, w.n)
	w.n++
	data := encodeJSON(intent{configVersion, w.from, joinIDs(w.unnamed)})
	if err := putBytes(ctx, r.s, file, data); err != nil {
		return fmt.Errorf("tell the repository of this backup: %w", err)
	}
	now := r.o.Clock().Round(0)
	info, err := store.Stat(ctx, r.s, file)
	if err != nil && ignoreForbidden(err) != nil {
		return err
	}
	if !w.local.IsZero() {
		if err := w.fresh(info.Time, now); err != nil {
			return err
		}
	}
	w.named, w.local, w.unnamed = info.Time, now, nil
	return w.readLists(ctx)
}

// fresh minds when the last intent was too long ago, by the store's clock where
// that is known, and by ours.
func (w *writer) fresh(server, local time.Time) error {
	limit := w.r.Grace() / 2
	gap := local.Sub(w.local)
	if !server.IsZero() && !w.named.IsZero() {
		gap = server.Sub(w.named)
	}
	if gap > limit {
		return &StaleError{gap, limit}
	}
	return nil
}

// readLists finds out what may be removed soon.
func (w *writer) readLists(ctx context.Context) error {
	w.risk, w.all = map[ID]struct{}{}, false
	for info, err := range w.r.s.List(ctx, condemnedDir) {
		if err != nil {
			w.all = true
			return ignoreForbidden(err)
		}
		if !strings.HasSuffix(info.Name, ".json") {
			continue // a prune asks for the time
		}
		if !info.Time.IsZero() && !w.named.IsZero() && w.named.Sub(info.Time) <= w.r.Grace()/2 {
			continue
		}
		list, err := w.r.readCondemned(ctx, info.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was swept to its end
		}
		if err != nil {
			w.all = true
			if ignoreForbidden(err) != nil {
				return err
			}
			continue
		}
		eachID(list.Chunks, func(id ID) { w.risk[id] = struct{}{} })
	}
	return nil
}

func (r *Repo) readCondemned(ctx context.Context, name string) (condemned, error) {
	data, err := r.read(ctx, name, maxIntent)
	if err != nil {
		return condemned{}, err
	}
	list, err := decodeCondemned(data)
	if err != nil {
		return list, fmt.Errorf("%s: %w", name, err)
	}
	return list, nil
}

// claim tells whether somebody must look after a chunk: false where that was
// done. It renews the intent when it is time.
func (w *writer) claim(ctx context.Context, id ID) (bool, error) {
	if _, ok := w.base[id]; ok {
		return false, nil
	}
	w.lock <- struct{}{}
	defer func() { <-w.lock }()
	if w.r.o.Clock().Round(0).Sub(w.local) > w.r.Grace()/4 {
		if err := w.name(ctx); err != nil {
			return false, err
		}
	}
	if _, ok := w.mine[id]; ok {
		return false, nil
	}
	w.mine[id] = struct{}{}
	return true, nil
}

// keep makes sure that a chunk is in the store behind the next flush, and will
// stay.
func (w *writer) keep(ctx context.Context, id ID, plain []byte) error {
	if todo, err := w.claim(ctx, id); err != nil || !todo {
		return err
	}
	there, damaged, err := w.there(ctx, id)
	if err != nil {
		return err
	}
	if there && !damaged {
		w.found(id)
		return nil
	}
	size, err := w.add(ctx, id, plain, damaged)
	if errors.Is(err, fs.ErrExist) {
		w.found(id)
		return nil
	}
	if err != nil {
		return fmt.Errorf("chunk %v: %w", id, err)
	}
	w.lock <- struct{}{}
	defer func() { <-w.lock }()
	w.note(id, there)
	w.put = append(w.put, id)
	w.grow += size
	return nil
}

// add puts a chunk, also in the place of a damaged one, and returns how many bytes
// its file has.
func (w *writer) add(ctx context.Context, id ID, plain []byte, replace bool) (int64, error) {
	buf := packedBuffers.Get().(*bytes.Buffer)
	defer packedBuffers.Put(buf)
	buf.Reset()
	packed, err := w.r.pack(buf.AvailableBuffer(), id, plain)
	if err != nil {
		return 0, err
	}
	*buf = *bytes.NewBuffer(packed) // it may have grown
	put := w.puts.Put
	if replace {
		put = w.r.s.Put
	}
	size := int64(len(packed))
	return size, put(ctx, w.r.chunkName(id), size, bytes.NewReader(packed))
}

// there tells whether a chunk is in the store, and, where that is to be mended,
// whether it is damaged.
func (w *writer) there(ctx context.Context, id ID) (there, damaged bool, err error) {
	_, err = w.r.stat(ctx, w.r.chunkName(id))
	if errors.Is(err, fs.ErrNotExist) || err != nil && ignoreForbidden(err) == nil {
		return false, false, nil
	}
	if err != nil || !w.mend {
		return true, false, err
	}
	var damage *DamageError
	if err = w.r.check(ctx, id); errors.As(err, &damage) {
		w.r.o.Logf("%v: it is put anew", damage)
		return true, true, nil
	}
	return true, false, err
}

// flush has all chunks that were put lie in the store.
func (w *writer) flush(ctx context.Context) error {
	if err := w.puts.Flush(ctx); err != nil {
		return fmt.Errorf("chunks: %w", err)
	}
	return nil
}

// found notes a chunk that was there.
func (w *writer) found(id ID) {
	w.lock <- struct{}{}
	defer func() { <-w.lock }()
	w.note(id, true)
}

// note has a chunk named by the next intent. One that was there may be about to be
// removed. The caller holds the lock.
func (w *writer) note(id ID, there bool) {
	w.unnamed = append(w.unnamed, id)
	if _, risky := w.risk[id]; there && (risky || w.all) {
		w.kept = append(w.kept, id)
	}
}

// settle names all, and waits for what was risky: behind it nothing that the
// snapshot needs will be removed, if the record follows soon.
func (w *writer) settle(ctx context.Context) error {
	if err := w.name(ctx); err != nil {
		return err
	}
	if len(w.kept) == 0 {
		return nil
	}
	w.r.o.Logf("%d chunks stand on a list of what prune may be removing: looks again in %v whether they are there", len(w.kept), w.r.o.delay)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(w.r.o.delay):
	}
	for _, id := range w.kept {
		if _, err := w.r.stat(ctx, w.r.chunkName(id)); err != nil && !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("prune removed chunk %v while this backup counted on it: start it again: %w", id, err)
		}
	}
	return nil
}

// check minds when settle was too long ago.
func (w *writer) check() error { return w.fresh(time.Time{}, w.r.o.Clock().Round(0)) }

// close gives up what was not flushed, which is what a backup that came to nothing
// has.
func (w *writer) close() {
	if w.puts != nil {
		w.puts.Close()
		w.puts = nil
	}
}

// end removes the intents of a backup that came to nothing. What is left ends by
// itself.
func (w *writer) end(ctx context.Context) error {
	w.close()
	for n := range w.n {
		err := w.r.s.Remove(ctx, intentName(w.id, n))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return ignoreForbidden(err)
		}
	}
	return nil
}
