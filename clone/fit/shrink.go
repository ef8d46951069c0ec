package fit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// fsckFixed is the exit code of e2fsck(8) where all errors were repaired.
const fsckFixed = 1

// Shrink makes the file system smaller: e2fsck, which replays a journal, and
// resize2fs, on the virtual device. Whoever asked for it checks the result. Inodes behind the end get
// new numbers, and now as the time of their last change; directories keep their
// times, which resize2fs sets where it renumbers. *NoRoomError means that the
// file system does not fit.
func (p *Parker) Shrink(ctx context.Context) error {
	d := p.dev
	d.mu.Lock()
	err := p.closeFragment()
	d.mu.Unlock()
	if err != nil {
		return err
	}
	s, err := serve(d, p.o.OpenFuse)
	if err != nil {
		return fmt.Errorf("a device for resize2fs: %w", err)
	}
	err = p.shrink(ctx, s.Path())
	if err = errors.Join(err, s.Close()); err != nil {
		return p.explain(err)
	}
	d.mu.Lock()
	err = d.flush()
	d.mu.Unlock()
	if err != nil {
		return err
	}
	if p.final, err = Survey(d, d.room*d.block); err != nil {
		return fmt.Errorf("what resize2fs made: %w", err)
	}
	return nil
}

func (p *Parker) shrink(ctx context.Context, path string) error {
	d := p.dev
	if err := p.check(ctx, path); err != nil {
		return err
	}
	now, ext, err := survey(d, d.blocks*d.block)
	if err != nil {
		return fmt.Errorf("what e2fsck left: %w", err)
	}
	data, err := ext.FileData(d.room * d.block)
	if err != nil {
		return fmt.Errorf("file data: %w", err)
	}
	times, err := p.dirTimes(now, ext)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.moves.data = data
	d.mu.Unlock()
	// -f: after e2fsck nothing is left to ask for.
	if err := p.run(ctx, []int{0}, "resize2fs", "-f", path, strconv.FormatInt(d.room, 10)); err != nil {
		return err
	}
	if p.o.Facts.geo.ClusterBlocks > 1 { // resize2fs 1.47.0 leaves wrong counts
		if err := p.check(ctx, path); err != nil {
			return err
		}
	}
	return p.setDirTimes(ctx, times)
}

func (p *Parker) check(ctx context.Context, path string) error {
	return p.run(ctx, []int{0, fsckFixed}, "e2fsck", "-f", "-y", path)
}

// run runs a program, whose exit code must be one of good.
func (p *Parker) run(ctx context.Context, good []int, name string, args ...string) error {
	out, code, err := p.o.Run(ctx, name, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p.logf("%s: exit code %d", name, code)
	for _, g := range good {
		if code == g {
			return nil
		}
	}
	words := lastLines(out)
	err = fmt.Errorf("%s: exit code %d: %s", name, code, words)
	if strings.Contains(words, "No space left") || strings.Contains(words, "not enough space") {
		return &NoRoomError{p.o.Size, err}
	}
	return err
}

// explain joins a program's last words with what went wrong below it.
func (p *Parker) explain(err error) error {
	p.dev.mu.Lock()
	fault := p.dev.fault
	p.dev.mu.Unlock()
	var small *NoRoomError
	switch {
	case fault == nil || errors.As(err, &small):
		return err
	case errors.Is(fault, errNoRoom):
		return &NoRoomError{p.o.Size, fmt.Errorf("%w (%w)", fault, err)}
	}
	return fmt.Errorf("%w (%w)", fault, err)
}
