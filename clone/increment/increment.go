// Package increment answers: what may have changed since the last snapshot? It
// holds the metadata of a disk's mounted ext4 parts against what they said then,
// and keeps what they say now for the next time. docs/LIVE.md, section 5, tells
// the rules as prose.
//
// It stands between a live source, which asks it, and a repository, which has
// the earlier snapshot; it knows neither, and reads no content of files but that of
// two snapshots which it checks itself by.
package increment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/filesystem/ext4"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
)

// Every is how often all is read unless told: each seventh backup.
const Every = 7

// A Snapshot is what is asked of one.
type Snapshot interface {
	io.ReaderAt // the disk's bytes; what was not in use is zero
	Head() *manifest.Head
	Used() extent.Set
	Granule() int64                                       // bytes of a chunk
	ID(e extent.Extent) (digest manifest.Digest, ok bool) // of the chunk that e is
}

// Options of New.
type Options struct {
	File               string // where the state lies
	Repository, Series string
	BaseID             string   // of the series' last snapshot; "" = there is none
	Base               Snapshot // that snapshot
	Full               bool     // read all
	Near               bool     // the repository's chunks are quick to read: of one with changes only those are read
	Every              int      // read all each Nth time; 0 = Every
	Clock              Clock
	Logf               func(format string, args ...any)
}

// A Look is what a disk was when its writes began to be noticed: live.Look.
type Look struct {
	Disk  io.ReaderAt
	Head  *manifest.Head
	Used  extent.Set
	Parts []int
	At    time.Time
	Blind string
}

// A Run is one backup's.
type Run struct {
	// config
	o Options

	// state
	was     *state // nil = none that helps
	is      *state // nil = none can be kept
	same    extent.Set
	compare bool   // same is to be checked
	full    string // why all is read; "" = it is not
}

// New reads the state of the last backup. One that is missing or damaged is none.
func New(o Options) *Run {
	if o.Every <= 0 {
		o.Every = Every
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	r := &Run{o: o}
	was, err := readState(o.File)
	if err != nil {
		r.full = fmt.Sprintf("nothing is known of the last backup: %v", err)
		return r
	}
	r.was = was
	return r
}

// Since is live.Since: what is as in the base. It returns nil where all is to be
// read, and finds out nevertheless, for the check.
func (r *Run) Since(ctx context.Context, l Look) (extent.Set, error) {
	now, err := r.o.Clock.read()
	if err != nil {
		return nil, err
	}
	useless := r.useless(l, now)
	if useless != "" {
		r.full, r.was = useless, nil
	}
	if l.Blind != "" {
		r.o.Logf("all is read: %s", r.full)
		return nil, nil
	}
	r.is = &state{header: header{Version: version, Repository: r.o.Repository, Series: r.o.Series, moment: now}}
	if err := r.scan(ctx, l); err != nil {
		return nil, err
	}
	if r.full == "" {
		r.full = r.check()
		r.compare = r.full != ""
	}
	if r.full != "" {
		r.o.Logf("all is read: %s", r.full)
		return nil, nil
	}
	r.is.Nights = r.was.Nights + 1
	r.o.Logf("%s of %s need not be read", progress.Bytes(r.same.Bytes()), progress.Bytes(l.Used.Bytes()))
	return r.same, nil
}

// useless tells why the earlier state proves nothing.
func (r *Run) useless(l Look, now moment) string {
	switch w := r.was; {
	case l.Blind != "":
		return l.Blind
	case r.o.BaseID == "" || r.o.Base == nil:
		return "there is no earlier snapshot"
	case w == nil:
		return r.full
	case w.Repository != r.o.Repository || w.Series != r.o.Series || w.Snapshot != r.o.BaseID:
		return "what is known here is not of the series' last snapshot"
	case r.o.Base.Head().Size != l.Head.Size:
		return "the disk has another size"
	case now.Boot == "" || w.Boot != now.Boot:
		return "the system was started anew"
	case w.Offset-now.Offset > int64(clockBack):
		return fmt.Sprintf("the clock was set back by %s", time.Duration(w.Offset-now.Offset).Round(time.Millisecond))
	}
	return ""
}

// check tells why all is read though it need not be.
func (r *Run) check() string {
	switch {
	case r.o.Full:
		return "as told"
	case r.was.Alarm:
		return "the last check found a difference"
	case r.was.Nights+1 >= r.o.Every:
		return fmt.Sprintf("each %dth time, to check", r.o.Every)
	}
	return ""
}

// scan looks at the parts.
func (r *Run) scan(ctx context.Context, l Look) error {
	var same extent.Set
	var whole []string
	for _, p := range l.Head.Parts {
		if !filesystem.IsExt(p.FS.Type) || !slices.Contains(l.Parts, p.Num) {
			continue
		}
		why, proven, err := r.part(ctx, l, p)
		if err != nil {
			return fmt.Errorf("part %d: %w", p.Num, err)
		}
		if why != "" {
			whole = append(whole, fmt.Sprintf("part %d: %s", p.Num, why))
		}
		same = same.Union(proven.Shift(p.Extent.Off).Clip(p.Extent))
	}
	if r.was == nil {
		return nil
	}
	r.same = r.leftOut(l.Used, l.Head.Size, same)
	switch {
	case len(whole) > 0 && len(same) == 0:
		r.full = strings.Join(whole, "; ")
	case len(same) == 0:
		r.full = "no ext4 part is mounted for writing"
	case len(whole) > 0:
		r.o.Logf("read whole: %s", strings.Join(whole, "; "))
	}
	return nil
}

// part looks at one, and tells why it is to be read whole, if so.
func (r *Run) part(ctx context.Context, l Look, p manifest.Part) (why string, same extent.Set, err error) {
	if p.Why != "" {
		return p.Why, nil, nil
	}
	o := ext4.ScanOptions{Look: l.At}
	if r.was != nil {
		if o.Was = r.was.part(p.Extent); o.Was == nil {
			why = "it was not there before"
		}
		o.Signs = r.was.Signs.Clip(p.Extent).Shift(-p.Extent.Off)
	}
	s, err := ext4.ScanMounted(ctx, io.NewSectionReader(l.Disk, p.Extent.Off, p.Extent.Len), p.Extent.Len, o)
	var unsure *ext4.UnsureError
	if errors.As(err, &unsure) || errors.Is(err, ext4.ErrNotExt) {
		return err.Error(), nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	r.is.parts = append(r.is.parts, part{p.Extent, s.State})
	if s.Reset != "" {
		why = s.Reset
	}
	return why, s.Same, nil
}

// leftOut is what need not be read: the blocks that are proven to be the same, of
// which the base has all. Where its chunks are far, only such chunks in which no
// block changed, came or went.
func (r *Run) leftOut(used extent.Set, size int64, same extent.Set) extent.Set {
	was := r.o.Base.Used()
	if r.o.Near {
		return used.Intersect(same).Intersect(was)
	}
	changed := used.Subtract(same).Union(used.Subtract(was)).Union(was.Subtract(used))
	return used.Subtract(changed.Align(r.o.Base.Granule(), size))
}

// A Report is what came of it.
type Report struct {
	Full   string     // why all was read; "" = an increment
	Nights int        // increments since all was read
	Wrong  extent.Set // what had changed, and would not have been read
}

// Ended holds the snapshot that was made against what an increment would have
// left out, where that was to be checked, and keeps the state for the next one.
// open opens it, late is what was written since the look, signs where swap
// signatures were seen. An error says that the state could not be kept, or that
// nothing was checked; the report holds nevertheless.
func (r *Run) Ended(id string, open func() (Snapshot, error), late, signs extent.Set) (Report, error) {
	rep := Report{Full: r.full}
	if r.compare {
		made, err := open()
		if err == nil {
			rep.Wrong, err = r.wrong(made, late)
		}
		if err != nil {
			return rep, fmt.Errorf("check what an increment would have left out: %w", err)
		}
	}
	if r.is == nil {
		return rep, nil
	}
	r.is.Snapshot, r.is.Alarm = id, len(rep.Wrong) > 0
	r.is.Signs = signs // all of them: what owns one is never left out
	rep.Nights = r.is.Nights
	for _, p := range r.is.parts {
		p.state.Forget(late.Clip(p.extent).Shift(-p.extent.Off))
	}
	if err := r.is.write(r.o.File); err != nil {
		return rep, fmt.Errorf("keep what the next backup needs to read less: %w", err)
	}
	return rep, nil
}

// wrong is what would not have been read, and did change before the look: what
// came later would have been copied.
func (r *Run) wrong(made Snapshot, late extent.Set) (extent.Set, error) {
	size, granule := made.Head().Size, made.Granule()
	same := r.leftOut(made.Used(), size, r.same.Subtract(late))
	var wrong extent.Set
	for _, e := range same.Align(granule, size) {
		for off := e.Off; off < e.End(); off += granule {
			chunk := extent.Extent{Off: off, Len: min(granule, size-off)}
			was, ok := r.o.Base.ID(chunk)
			is, ok2 := made.ID(chunk)
			if ok && ok2 && was == is {
				continue
			}
			differs, err := r.differs(made, chunk, same)
			if err != nil {
				return nil, err
			}
			wrong = wrong.Union(differs)
		}
	}
	return wrong, nil
}

// tell is how exactly it is told what would have been missed, bytes.
const tell = 4096

// differs is what of a chunk that has another ID now would have been left out
// wrongly: all of it, or what its bytes tell.
func (r *Run) differs(made Snapshot, chunk extent.Extent, same extent.Set) (extent.Set, error) {
	if !r.o.Near {
		return extent.Of(chunk), nil
	}
	was, is := make([]byte, chunk.Len), make([]byte, chunk.Len)
	if err := errors.Join(extent.ReadFull(r.o.Base, was, chunk.Off), extent.ReadFull(made, is, chunk.Off)); err != nil {
		return nil, err
	}
	var set extent.Set
	for _, e := range same.Clip(chunk) {
		for off := e.Off; off < e.End(); off += tell {
			part := extent.Extent{Off: off, Len: min(tell, e.End()-off)}
			if a, b := part.Off-chunk.Off, part.End()-chunk.Off; !bytes.Equal(was[a:b], is[a:b]) {
				set = set.Append(part)
			}
		}
	}
	return set, nil
}
