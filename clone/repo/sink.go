package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"aead.dev/minisign"
	"golang.org/x/sync/errgroup"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
)

// SaveOptions say what a snapshot is.
type SaveOptions struct {
	Series   string // "" = that of Identity
	Identity Identity
	Host     string
	Name     string // that a person gave; "" = none
	Type     string // of a schedule
	ID       string // of NewID, where another record is to name it; "" = made here
	// Time is when the backup began; zero = now
	Time time.Time
	// Pair names the snapshot of the other disk, where a system lies on two
	Pair *manifest.Pair
	// Base is a snapshot of the same series, whose chunks are not looked up again,
	// and which records of kind Same refer to. nil = none
	Base   *Snapshot
	Areas  map[string][]byte    // what the boot areas hold that the head names
	Sign   *minisign.PrivateKey // nil = not signed
	Verify bool                 // read back what was put
	// Mend reads the chunks that are in the store already, and puts those anew that
	// are damaged
	Mend  bool
	Meter *progress.Meter
}

// A Sink takes a backup into a snapshot. It is a clone.Sink and a clone.Patcher.
// The snapshot exists when Commit has returned nil.
type Sink struct {
	// config
	r    *Repo
	o    SaveOptions
	rec  Record
	head *manifest.Head
	base *Source // nil = none

	// state
	w     *writer
	life  context.Context // from Start to Commit or Abort
	stop  context.CancelFunc
	group *errgroup.Group
	ctx   context.Context // of the group
	ids   []ID            // of each chunk; the zero value is a chunk of zeros
	cur   *making
	at    int64      // where the last record ended
	put   extent.Set // what came
	again []extent.Extent
	later patches
	done  *Snapshot
}

// A making is a chunk that records are put into.
type making struct {
	n    int64
	buf  []byte     // nil = nothing needed it yet
	same extent.Set // as in the base
	data bool       // something else came as well
}

// Save begins a snapshot. It is refused here if nothing says which series it
// belongs to.
func (r *Repo) Save(o SaveOptions) (*Sink, error) {
	if o.Time.IsZero() {
		o.Time = r.o.Clock()
	}
	var err error
	if o.ID == "" {
		o.ID, err = r.NewID(o.Time)
	} else if !idForm.MatchString(o.ID) {
		err = fmt.Errorf("%q is no ID of a snapshot", o.ID)
	}
	if err != nil {
		return nil, err
	}
	k := &Sink{r: r, o: o, rec: Record{
		Version: configVersion, Repository: r.config.ID, Series: o.Series,
		ID: o.ID, Time: o.Time.Round(0).Truncate(time.Millisecond), // two may begin in one second
		Host: o.Host, Name: o.Name, Type: o.Type, Identity: o.Identity, Pair: o.Pair,
	}}
	if k.rec.Series == "" {
		k.rec.Series = o.Identity.Series()
	}
	if !isHex(k.rec.Series, seriesLen) {
		return nil, ErrSeries
	}
	if o.Base != nil {
		k.rec.Base = o.Base.ID
	}
	return k, errors.Join(checkWord("host", o.Host), checkName(o.Name), checkWord("type", o.Type), checkPair(o.Pair))
}

// ErrSeries is what Save gives where no series can be named.
var ErrSeries = errors.New("nothing on the disk says which system it is of: name its series by 16 hex digits")

// NewID makes the ID of a snapshot that is begun at a time.
func (r *Repo) NewID(at time.Time) (string, error) {
	random, err := randomHex(r.o.Random, 4)
	return at.UTC().Format(idTime) + "-" + random, err
}

// Start implements clone.Sink.
func (k *Sink) Start(ctx context.Context, h *manifest.Head) error {
	if h == nil || h.Size <= 0 {
		return errors.New("the size of the disk is not known")
	}
	chunks := count(h.Size, k.r.config.Chunk)
	if chunks > maxItems {
		return fmt.Errorf("a disk of %d bytes has more than %d chunks: make a repository with larger ones", h.Size, maxItems)
	}
	k.head, k.rec.Size, k.ids = h, h.Size, make([]ID, chunks)
	from := ""
	if b := k.o.Base; b != nil {
		from = b.Series + "/" + b.ID
	}
	var err error
	if k.w, err = k.r.begin(ctx, k.rec.ID, from); err != nil {
		return err
	}
	k.w.mend = k.o.Mend
	if k.o.Base != nil {
		if err := k.openBase(ctx); err != nil {
			return err
		}
	}
	// Chunks are under way between two calls, and end with Commit or Abort.
	k.life, k.stop = context.WithCancel(context.WithoutCancel(ctx))
	k.renew()
	return nil
}

// renew begins a group of chunks that are on their way.
func (k *Sink) renew() {
	k.group, k.ctx = errgroup.WithContext(k.life)
	k.group.SetLimit(k.r.o.Workers)
}

// openBase reads the base, behind the intent that names it.
func (k *Sink) openBase(ctx context.Context) error {
	again, err := k.r.snapshot(ctx, key{k.o.Base.Series, k.o.Base.ID}) // it may have been forgotten
	if err == nil {
		k.base, err = k.r.Source(ctx, again)
	}
	if err != nil {
		return fmt.Errorf("the snapshot that this one is to follow: %w", err)
	}
	k.w.base = make(map[ID]struct{}, len(k.base.index.ids))
	for _, id := range k.base.index.ids {
		k.w.base[id] = struct{}{}
	}
	return nil
}

// Put implements clone.Sink.
func (k *Sink) Put(ctx context.Context, r extent.Record) error { return k.take(ctx, r, false) }

// Patch implements clone.Patcher.
func (k *Sink) Patch(ctx context.Context, r extent.Record) error { return k.take(ctx, r, true) }

func (k *Sink) take(ctx context.Context, r extent.Record, patch bool) error {
	if err := k.fits(r); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	patch = patch || r.Off < k.at
	k.at = max(k.at, r.End())
	for r.Len > 0 {
		n := r.Off / k.r.config.Chunk
		piece := cut(r, span(n, k.r.config.Chunk, k.head.Size).End())
		if patch {
			if err := k.patch(ctx, n, piece); err != nil {
				return err
			}
		} else if err := k.add(n, piece); err != nil {
			return err
		}
		r = behind(r, piece.Len)
	}
	return nil
}

// fits checks a record before it is taken.
func (k *Sink) fits(r extent.Record) error {
	switch {
	case r.Kind == extent.Same && k.base == nil:
		return errors.New("bytes are said to be the same as in a base, and there is none")
	case r.Kind == extent.Same && r.Off+r.Len > k.base.index.size:
		return fmt.Errorf("bytes %v are said to be the same as in the base, which ends before", r.Extent)
	case r.Off < 0 || r.Len < 0 || r.Len > k.head.Size || r.Off > k.head.Size-r.Len:
		return fmt.Errorf("bytes %v lie behind the end of the disk at %d", r.Extent, k.head.Size)
	case r.Kind == extent.Data && int64(len(r.Data)) != r.Len:
		return fmt.Errorf("a record of %d bytes brings %d", r.Len, len(r.Data))
	}
	return nil
}

// cut is the front of a record, up to byte end of the disk.
func cut(r extent.Record, end int64) extent.Record {
	r.Len = min(r.Len, end-r.Off)
	if r.Kind == extent.Data {
		r.Data = r.Data[:r.Len]
	}
	return r
}

// behind is a record without its first n bytes.
func behind(r extent.Record, n int64) extent.Record {
	r.Off, r.Len = r.Off+n, r.Len-n
	if r.Kind == extent.Data {
		r.Data = r.Data[n:]
	}
	return r
}

// add puts a piece into the chunk that is being made.
func (k *Sink) add(n int64, r extent.Record) error {
	if k.cur == nil || k.cur.n != n {
		if err := k.finish(); err != nil {
			return err
		}
		k.cur = &making{n: n}
	}
	switch r.Kind {
	case extent.Data:
		copy(k.bufferOf(k.cur)[r.Off-n*k.r.config.Chunk:], r.Data)
		k.cur.data = true
	case extent.Same:
		k.cur.same = k.cur.same.Append(r.Extent)
	case extent.Zero:
		k.cur.data = true
	}
	k.put = k.put.Append(r.Extent)
	return nil
}

// finish sends the chunk that was being made on its way.
func (k *Sink) finish() error {
	m := k.cur
	k.cur = nil
	if m == nil {
		return k.ctx.Err()
	}
	if err := k.ctx.Err(); err != nil {
		k.drop(m)
		return k.group.Wait()
	}
	k.group.Go(func() error {
		defer k.drop(m)
		return k.store(m)
	})
	return nil
}

// bufferOf is that of a chunk, zeros at first. Most chunks of an increment need
// none.
func (k *Sink) bufferOf(m *making) []byte {
	if m.buf == nil {
		m.buf = k.r.take()
		clear(m.buf)
	}
	return m.buf
}

// drop gives a chunk's buffer back.
func (k *Sink) drop(m *making) {
	if m.buf != nil {
		k.r.give(m.buf)
		m.buf = nil
	}
}

// store gives a chunk its ID and brings it to where it stays.
func (k *Sink) store(m *making) (err error) {
	place, id := span(m.n, k.r.config.Chunk, k.head.Size), &k.ids[m.n]
	if len(m.same) > 0 && !m.data && k.unchanged(m, place) {
		if !k.base.isZero(m.n) {
			*id = k.base.index.ids[m.n]
		}
		return nil
	}
	plain := k.bufferOf(m)[:place.Len]
	if len(m.same) == 0 {
		*id, err = k.keep(k.ctx, plain)
		return err
	}
	if *id, err = k.fillSame(m, plain); err != nil || *id == (ID{}) {
		return err
	}
	return k.w.keep(k.ctx, *id, plain)
}

// unchanged tells whether all that the base has in use of a chunk, and no more,
// is said to be the same: then the chunk is.
func (k *Sink) unchanged(m *making, place extent.Extent) bool {
	if span(m.n, k.base.index.chunk, k.base.index.size) != place {
		return false
	}
	was := k.base.Used().Clip(place)
	if len(was) != len(m.same) {
		return false
	}
	for i := range was {
		if was[i] != m.same[i] {
			return false
		}
	}
	return true
}

// A BaseError says that bytes which are the same as in the snapshot that goes
// before could not be had from it.
type BaseError struct{ Err error }

func (e *BaseError) Error() string { return fmt.Sprintf("the snapshot that goes before: %v", e.Err) }
func (e *BaseError) Unwrap() error { return e.Err }

// fillSame reads what is the same out of the base, and names the chunk; zeros by
// the zero value.
func (k *Sink) fillSame(m *making, plain []byte) (ID, error) {
	buf := k.r.take()
	defer k.r.give(buf)
	was, err := k.base.fetch(k.ctx, buf, m.n, k.r.decode)
	if err != nil {
		return ID{}, &BaseError{err}
	}
	off := m.n * k.r.config.Chunk
	for _, e := range m.same {
		copy(plain[e.Off-off:e.End()-off], was[e.Off-off:])
	}
	old, id := k.r.idsOf(was, plain)
	if want := k.base.index.ids[m.n]; old != want {
		return ID{}, &BaseError{&DamageError{want, nil}}
	}
	if extent.IsZero(plain) {
		return ID{}, nil
	}
	return id, nil
}

// keep stores a chunk, and names it; zeros are named by the zero value.
func (k *Sink) keep(ctx context.Context, plain []byte) (ID, error) {
	if extent.IsZero(plain) {
		return ID{}, nil
	}
	id := k.r.idOf(plain)
	return id, k.w.keep(ctx, id, plain)
}

// Abort implements clone.Sink. What was put is left to Prune.
func (k *Sink) Abort(ctx context.Context) error {
	if k.w == nil {
		return nil
	}
	if k.stop != nil {
		k.stop()
		k.group.Wait()
		k.stop = nil
	}
	if k.cur != nil {
		k.drop(k.cur)
		k.cur = nil
	}
	err := k.w.end(ctx)
	if k.base != nil {
		err = errors.Join(err, k.base.Close())
	}
	return err
}

// Snapshot is what was made, after Commit.
func (k *Sink) Snapshot() *Snapshot { return k.done }

var _ io.ReaderAt = (*Source)(nil)
