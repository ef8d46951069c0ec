package main

import (
	"context"
	"errors"

	"lifeboat/clone"
	"lifeboat/clone/image"
	"lifeboat/internal/speech"
)

// openSources opens what a disk is to be filled from: one source, or two that
// are merged. The options are the first one's.
func (e *env) openSources(ctx context.Context, o restoreOptions, first image.Options) (*origin, error) {
	if o.from == stdinPlace && o.with == stdinPlace {
		return nil, usage("standard input is one source: the other one is a file, a disk or an address")
	}
	src, err := e.openOrigin(ctx, o.from, first)
	if err != nil || o.with == "" {
		return src, err
	}
	second, err := e.openOrigin(ctx, o.with, image.Options{KeepGoing: o.keepGoing, Logf: e.logf})
	if err != nil {
		return nil, errors.Join(err, src.Close())
	}
	if src.pair != nil && src.pair.Boots { // whatever was named first
		src, second = second, src
	}
	var both *origin
	if err = belong(src, second); err == nil {
		both, err = e.merge(src, second)
	}
	if err != nil {
		return nil, errors.Join(err, src.Close(), second.Close())
	}
	return both, nil
}

// merge makes one source of two. Closing it closes both.
func (e *env) merge(src, second *origin) (*origin, error) {
	m, err := clone.Merge(src.Source, second.Source, src.head, second.head, e.random)
	if err != nil {
		return nil, err
	}
	notes := m.Notes()
	for _, g := range m.Guests() {
		was := speech.New("part %d of %s", g.Was, second.place)
		if g.Was == 0 {
			was = speech.Plain(second.place)
		}
		notes = append(notes, speech.New("part %d is %s", g.Num, was))
	}
	return &origin{
		Source: m.Source(), head: m.Head(), place: src.place + " + " + second.place,
		disk: src.disk, areas: src.areas, lost: append(src.lost, second.lost...), second: second, guests: m.Guests(), notes: notes,
	}, nil
}
