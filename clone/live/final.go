package live

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
)

// An againError says that a freeze was in vain, and another may not be.
type againError struct {
	why   string
	lost  bool // writes were missed: all is to be copied again
	loose bool // only a vfat part did not hold still
}

func (e *againError) Error() string { return e.why }

// A catch is what a freeze found.
type catch struct {
	Surveyed
	need extent.Set // what differs from what was copied, or may
	err  error      // of the capture itself
}

// final freezes, captures, thaws, and makes of what was captured the last
// patches.
func (p *pass) final(ctx context.Context) error {
	var c catch
	if err := p.arena.pin(); err != nil {
		return err
	}
	err := p.s.still(ctx, p.limit(), func() error {
		c.err = p.capture(ctx, &c)
		return c.err
	})
	if err == nil {
		err = p.settled(ctx, &c)
	}
	p.keep()
	if err == nil {
		return p.finish(&c)
	}
	return p.again(ctx, err, &c)
}

// limit is when the watchdog thaws.
func (p *pass) limit() time.Duration {
	limit := p.s.o.MaxFreeze
	if p.s.method == Compared {
		limit += 3 * time.Duration(p.s.used.Bytes()/slowCard) * time.Second
	}
	return limit
}

// capture runs while all is frozen: nothing here writes or logs.
func (p *pass) capture(ctx context.Context, c *catch) error {
	p.arena.reset()
	dirty, err := p.s.tracker.take()
	var loss *lossError
	if errors.As(err, &loss) {
		return &againError{why: loss.why, lost: true}
	}
	if err != nil {
		return err
	}
	if c.Surveyed, err = p.s.survey(); err != nil {
		p.s.tracker.again(dirty)
		return err
	}
	p.late = p.late.Union(dirty)
	used := p.whole(c.Used)
	c.need = dirty.Intersect(used).Subtract(p.s.void).Union(used.Subtract(p.ever))
	if what := p.s.changed(c.Surveyed); what != "" {
		return fmt.Errorf("%s while the disk was copied: start again", what)
	}
	err = p.arena.capture(ctx, p.s.content(), c.need, p.s.sieve)
	if errors.Is(err, errFull) {
		p.missing = p.missing.Union(c.need)
		return &againError{why: fmt.Sprintf("%d MiB had changed, %d MiB can be held", c.need.Bytes()>>20, p.arena.size()>>20)}
	}
	if err != nil {
		return err
	}
	p.ever = p.ever.Union(c.need)
	if p.s.o.frozen != nil {
		if err := p.s.o.frozen(); err != nil {
			return err
		}
	}
	return p.canary()
}

// canary finds writers that go past the file systems, and those to parts that
// are not frozen.
func (p *pass) canary() error {
	moved, err := p.s.tracker.moved()
	var loss *lossError
	if errors.As(err, &loss) {
		return &againError{why: loss.why, lost: true}
	}
	if err != nil {
		return err
	}
	moved = moved.Subtract(p.s.swap)
	if len(moved) == 0 {
		return nil
	}
	p.s.tracker.again(moved)
	loose := in(p.s.parts, loose)
	if rest := moved.Subtract(loose); len(rest) > 0 && len(rest.Intersect(p.want)) > 0 {
		return &againError{why: fmt.Sprintf("something wrote to byte %d of the disk past its frozen file systems", rest[0].Off)}
	}
	return &againError{why: "a FAT part was written to within the freeze", loose: true}
}

// settled looks, after the thaw, whether what cannot be frozen held still.
func (p *pass) settled(ctx context.Context, c *catch) error {
	parts, err := p.s.host.partsOf(p.s.disk.Facts().Disk, p.s.disk.InUse())
	if err != nil {
		return errors.New(err.Error()) // no refusal any more
	}
	if what := sameUse(p.s.parts, parts); what != "" {
		return fmt.Errorf("%s while the disk was copied: start again", what)
	}
	if err := p.stillSwap(parts); err != nil {
		return err
	}
	fat := in(p.s.parts, loose)
	if len(fat) == 0 {
		return nil
	}
	if err := p.s.freezer.syncLoose(); err != nil {
		return err
	}
	var wrote extent.Set
	if p.s.sieve != nil {
		wrote, err = p.s.sieve.differ(ctx, p.s.disk, p.whole(c.Used.Intersect(fat)))
	} else {
		wrote, err = p.s.tracker.moved()
		p.s.tracker.again(wrote)
		wrote = wrote.Intersect(fat)
	}
	var loss *lossError
	if errors.As(err, &loss) {
		return &againError{why: loss.why, lost: true}
	}
	if err == nil && len(wrote) > 0 {
		err = &againError{why: "a FAT part changed around the freeze", loose: true}
	}
	return err
}

// stillSwap holds that what was not copied again, because it is swapped to, is
// nothing else now.
func (p *pass) stillSwap(parts []part) error {
	swap, err := p.s.host.swapOn(parts)
	if err == nil && len(p.s.swap.Subtract(swap)) > 0 {
		err = errors.New("swap was switched off while the disk was copied: start again")
	}
	return err
}

// keep makes patches of what the arena holds: also of a freeze in vain, where
// they are one more round.
func (p *pass) keep() {
	for _, x := range p.arena.pieces {
		p.read.sign(x.Off, x.data)
		for _, e := range p.want.Clip(x.Extent) {
			p.left = append(p.left, piece{e, x.data[e.Off-x.Off : e.End()-x.Off]})
		}
		p.caught += x.Len
	}
}

// again prepares the next try, or gives up.
func (p *pass) again(ctx context.Context, err error, c *catch) error {
	var again *againError
	known, late := errors.As(err, &again), errors.Is(err, errThawed)
	if !known && (!late || c.err != nil) {
		return err
	}
	if !known {
		again = &againError{}
	}
	if late {
		again.why = fmt.Sprintf("writers would have had to wait longer than %s", p.limit())
	}
	if p.tries++; again.loose {
		if p.loose++; p.loose >= mostLoose {
			p.s.note("the FAT part is written to all the time: it may not be of one instant")
			return p.finish(c)
		}
	}
	if p.tries >= mostTries {
		return fmt.Errorf("frozen %d times in vain: %w", p.tries, err)
	}
	if again.lost {
		all, err := p.lost(&lossError{again.why})
		if err != nil {
			return err
		}
		p.missing = p.missing.Union(all)
	} else {
		p.s.logf("%s: once more", again.why)
	}
	return p.round(ctx)
}

// finish makes the tail.
func (p *pass) finish(c *catch) error {
	if err := p.s.limiter.off(); err != nil {
		return err
	}
	p.unhush()
	method := p.s.method
	if !anyWritable(p.s.parts) {
		method = NoneMounted
	}
	waited := p.s.frozen - p.frozen
	p.s.logf("writers waited %d ms in all; %s were read within the freeze", p.s.frozen.Milliseconds(), progress.Bytes(p.caught))
	p.s.used = c.Used
	p.s.news = &News{Late: p.late, Signs: p.read.signs}
	p.tail = &manifest.Tail{Used: c.Used, Live: &manifest.LiveFacts{
		Method: method, FrozenMS: waited.Milliseconds(), Rounds: p.rounds,
		Caught: p.read.count - p.first + p.caught, Read: p.s.disk.n.Load(),
	}}
	return nil
}

func (s *Source) note(text string) {
	s.logf("%s", text)
	s.notes = append(s.notes, text)
}

// changed tells what about the disk must not change while it is copied, and did.
func (s *Source) changed(is Surveyed) string {
	if what := changed(s.head, is.Head); what != "" {
		return what
	}
	if now := is.Void.Union(s.swap); len(s.void.Subtract(now)) > 0 {
		return "a journal was made anew or became damaged"
	}
	return ""
}

// changed is that of two heads.
func changed(was, is *manifest.Head) string {
	if !reflect.DeepEqual(was.Table, is.Table) || len(was.Parts) != len(is.Parts) {
		return "the partition table was changed"
	}
	for i, a := range was.Parts {
		b := is.Parts[i]
		switch {
		case a.Extent != b.Extent || a.FS.Type != b.FS.Type || a.FS.UUID != b.FS.UUID:
			return fmt.Sprintf("part %d got another file system", a.Num)
		case a.FS.Size != b.FS.Size:
			return fmt.Sprintf("the file system of part %d was resized", a.Num)
		}
	}
	return ""
}
