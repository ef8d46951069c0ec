// Package clone is the engine: it joins one source to one sink, and fills a
// disk by a plan of steps. Sources and sinks live in the stages below it and
// satisfy its interfaces by their shape; they never import it.
//
// A flow is: Probe reads, PlanRestore decides (and prints), Execute does what
// the plan says and nothing else.
package clone

import (
	"context"
	"errors"
	"io"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// ErrOnce is what Open of a source returns that can be read only once, and was.
var ErrOnce = errors.New("this source can be read only once")

// A Source yields a disk's bytes.
type Source interface {
	// Head is what the source knows of itself before a byte of content is read.
	// Probe completes it.
	Head() *manifest.Head
	// Open begins a pass over the bytes in want, ascending. Again means a second
	// pass, or ErrOnce.
	Open(ctx context.Context, want extent.Set) (Pass, error)
	Close() error
}

// A Pass yields records until io.EOF. Records ascend and do not overlap, but
// for the patches of a live source, which come last and may repeat what was
// yielded before: the last one counts.
//
// What lies in want and is never yielded is not in use.
//
// It is an alias, so that stages can return one without importing the engine.
type Pass = interface {
	Next(ctx context.Context) (extent.Record, error)
	Tail() *manifest.Tail // after io.EOF
	Close() error
}

// A Sink takes records. It promises nothing until Commit returned nil. After an
// error the caller calls Abort, after Commit or Abort nothing.
type Sink interface {
	Start(ctx context.Context, h *manifest.Head) error
	Put(ctx context.Context, r extent.Record) error // keeps nothing of r.Data
	Commit(ctx context.Context, t *manifest.Tail) error
	Abort(ctx context.Context) error
}

// A Patcher is a sink that can take a record again: the last one counts. A live
// source needs one.
type Patcher interface {
	Patch(ctx context.Context, r extent.Record) error
}

// A Readable source can be read at any place at any time.
type Readable interface {
	Source
	io.ReaderAt
}
