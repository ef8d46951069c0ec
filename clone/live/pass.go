package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
)

const (
	// mostRounds bounds the rounds before the disk's dirty pages are limited.
	mostRounds = 6
	// mostLimited bounds those after it.
	mostLimited = 4
	// shortRound and shortTime are the bytes and the time of a round that is short
	// enough.
	shortRound = 4 << 20
	shortTime  = 150 * time.Millisecond
	// mostTries is how often it is frozen in vain.
	mostTries = 6
	// mostLoose is how often a vfat part that does not hold still is tried again.
	mostLoose = 3
	// mostLosses is how often everything is copied again because writes were missed.
	mostLosses = 3
)

// Pass is clone.Pass.
type Pass = interface {
	Next(ctx context.Context) (extent.Record, error)
	Tail() *manifest.Tail
	Close() error
}

// Open begins a pass: the used blocks in ascending order, then rounds of what
// was written meanwhile, and last, read within a freeze, what makes all of it of
// one instant. There is one pass at a time.
func (s *Source) Open(ctx context.Context, want extent.Set) (Pass, error) {
	if !s.busy.CompareAndSwap(false, true) {
		return nil, errors.New("BUG: two passes over a live disk at once")
	}
	size := s.o.arena
	if size == 0 {
		size = arenaSize
	}
	arena, err := newArena(size)
	if err != nil {
		s.busy.Store(false)
		return nil, err
	}
	p := &pass{s: s, want: want, arena: arena, frozen: s.frozen}
	p.read = &reader{r: s.content(), sieve: s.sieve}
	return p, p.begin(ctx)
}

// A pass copies in rounds.
type pass struct {
	// config
	s     *Source
	want  extent.Set
	arena *arena

	// state
	read    *reader
	left    []piece    // of the arena, to be yielded
	same    extent.Set // of the first pass: what is as in the base, and not yielded yet
	ever    extent.Set // what was read at least once, or is the same
	late    extent.Set // what was written after the look
	missing extent.Set // what the next round has to read, written or not
	rounds  int
	started time.Time // of the round
	count   int64     // what the reader had yielded when it started
	first   int64     // what the first pass yielded
	least   int64     // bytes of the shortest round
	worse   int       // rounds that were not shorter
	limited int       // rounds with few dirty pages
	tries   int
	loose   int
	hushed  bool   // services were stopped
	wake    func() // starts them again; nil: nothing to do
	losses  int
	caught  int64 // bytes in the arena, in all
	frozen  time.Duration
	tail    *manifest.Tail
}

// begin starts the first round. What was written before is read anew anyway, but
// for what is left out since it is the same: that is the next round's.
func (p *pass) begin(ctx context.Context) error {
	if p.s.sieve != nil {
		p.s.sieve.forget()
	}
	var loss *lossError
	dirty, err := p.s.tracker.take()
	if err != nil && (!errors.As(err, &loss) || p.s.method == NoneMounted) {
		return errors.Join(err, p.Close())
	}
	same, err := p.s.unchanged(ctx, err)
	if err != nil {
		return errors.Join(err, p.Close())
	}
	p.start(p.s.used, same)
	if len(same) > 0 {
		p.missing = dirty
	}
	p.late = dirty
	return nil
}

// start begins a round: it reads what is not the same.
func (p *pass) start(set, same extent.Set) {
	set = p.whole(set)
	p.ever = p.ever.Union(set)
	p.same = same.Intersect(set)
	p.read.begin(set.Subtract(p.same))
	p.started, p.count = time.Now(), p.read.count
}

// whole is a set in whole chunks, as far as wanted.
func (p *pass) whole(set extent.Set) extent.Set {
	return set.Align(p.s.granule, p.s.disk.Size()).Intersect(p.want)
}

// Next yields what there is to read, and goes a step on where there is nothing.
// What a freeze in vain captured is older than the round behind it, so it goes
// first: the last one counts.
func (p *pass) Next(ctx context.Context) (extent.Record, error) {
	for {
		if len(p.left) > 0 {
			return p.patch(), nil
		}
		if len(p.same) > 0 && p.same[0].Off < p.read.at() {
			rec := extent.Record{Extent: p.same[0], Kind: extent.Same}
			p.same = p.same[1:]
			return rec, nil
		}
		rec, ok, err := p.read.next(ctx)
		if ok || err != nil {
			return rec, err
		}
		if p.tail != nil {
			return extent.Record{}, io.EOF
		}
		if err := p.advance(ctx); err != nil {
			return extent.Record{}, err
		}
	}
}

// patch yields from the arena.
func (p *pass) patch() extent.Record {
	x := &p.left[0]
	rec := extent.Front(x.Off, x.data)
	x.Off, x.Len, x.data = x.Off+rec.Len, x.Len-rec.Len, x.data[rec.Len:]
	if len(x.data) == 0 {
		p.left = p.left[1:]
	}
	return rec
}

// advance decides what comes after a round: another one, a last one with few
// dirty pages, or the freeze.
func (p *pass) advance(ctx context.Context) error {
	size := p.read.count - p.count
	took := time.Since(p.started)
	if p.rounds == 0 {
		p.first = p.read.count
		p.s.logf("copied %s in %s; what was written meanwhile follows", progress.Bytes(size), took.Round(time.Millisecond))
	} else {
		p.s.logf("round %d: %s in %s", p.rounds, progress.Bytes(size), took.Round(time.Millisecond))
	}
	switch {
	case p.s.method == NoneMounted || p.limited > 0 && !p.worthwhile(size):
		return p.final(ctx)
	case p.limited > 0:
		p.limited++
	case p.s.method == Compared || p.hushed || p.rounds > 0 && p.enough(size, took):
		if again, err := p.hush(ctx); again || err != nil {
			return err
		}
		p.limited, p.least = 1, size
		if err := p.s.limiter.on(); err != nil {
			return err
		}
	}
	return p.round(ctx)
}

// hush lets services be stopped, and then begins a round for what they wrote:
// that is to be copied before anybody has to wait.
func (p *pass) hush(ctx context.Context) (again bool, err error) {
	if p.hushed || p.s.o.BeforeFreeze == nil {
		return false, nil
	}
	p.hushed, p.wake = true, p.s.o.AfterThaw
	if err := p.s.o.BeforeFreeze(ctx); err != nil {
		return false, err
	}
	return true, p.round(ctx)
}

// unhush lets them be started again.
func (p *pass) unhush() {
	if p.wake != nil {
		p.wake()
		p.wake = nil
	}
}

// enough tells whether more rounds would bring no more.
func (p *pass) enough(size int64, took time.Duration) bool {
	if p.rounds > 1 && size > p.least*9/10 {
		p.worse++
	}
	if p.rounds == 1 || size < p.least {
		p.least = size
	}
	return size < shortRound || took < shortTime || p.worse >= 2 || p.rounds >= mostRounds
}

// worthwhile tells whether one more round with few dirty pages would shorten the
// freeze: the last one was long, and yet shorter than the one before. (The first
// of them has to catch up with what was dirty before the limit.)
func (p *pass) worthwhile(size int64) bool {
	was := p.least
	p.least = size
	return p.s.method == Traced && p.limited < mostLimited && size > shortRound && (p.limited == 1 || size < was*3/4)
}

// round copies what was written since the last one.
func (p *pass) round(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := p.s.freezer.sync(); err != nil {
		return err
	}
	dirty, err := p.s.tracker.take()
	if err != nil {
		if dirty, err = p.lost(err); err != nil {
			return err
		}
	}
	if p.s.sieve != nil {
		dirty = dirty.Intersect(p.ever)
	}
	p.rounds++
	p.late = p.late.Union(dirty)
	p.start(dirty.Union(p.missing).Subtract(p.s.void), nil)
	p.missing = nil
	return nil
}

// lost is what has to be copied after writes were missed: all.
func (p *pass) lost(err error) (extent.Set, error) {
	var loss *lossError
	if !errors.As(err, &loss) || p.s.method == NoneMounted {
		return nil, err
	}
	if p.losses++; p.losses > mostLosses {
		return nil, fmt.Errorf("writes were missed %d times: %w", p.losses, err)
	}
	p.s.logf("%v: everything is copied again", err)
	p.late = extent.Of(extent.Extent{Off: 0, Len: p.s.disk.Size()})
	return p.ever.Union(p.s.used), nil
}

// Tail is what holds since the freeze.
func (p *pass) Tail() *manifest.Tail { return p.tail }

// Close ends the pass.
func (p *pass) Close() error {
	if p.arena == nil {
		return nil
	}
	err := errors.Join(p.s.limiter.off(), p.arena.close())
	p.unhush()
	p.read.close()
	p.arena, p.left = nil, nil
	p.s.busy.Store(false)
	return err
}
