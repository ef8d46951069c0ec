package nightly

import (
	"context"
	"time"
)

// A Backup is made by whoever knows how.
type Backup interface {
	// Estimate tells how much there is, and refuses what cannot work, such as a
	// folder on the disk that is to be frozen. Nothing is written.
	Estimate(ctx context.Context, s Settings, place string) (Estimate, error)
	// Open opens what this system's snapshots stand in, at a place: a folder that
	// is mounted, or an address. Nothing is made yet. Where a run has written there
	// before (known), a repository that is not there is an error.
	Open(ctx context.Context, h Host, s Settings, place string, known bool) (Shelf, error)
}

// A Shelf is where the snapshots of one system stand: a folder of images, or a
// repository.
type Shelf interface {
	// List has the snapshots of all schedules.
	List(ctx context.Context) ([]Snapshot, error)
	// Save makes a snapshot.
	Save(ctx context.Context, r Request) (Saved, error)
	// Remove takes snapshots away, and returns how many, also with an error.
	Remove(ctx context.Context, gone []Snapshot) (int, error)
	Close() error
}

// A Tended shelf wants to be looked after: a repository.
type Tended interface {
	// Prune frees the room that no snapshot needs, and returns how much, in bytes.
	Prune(ctx context.Context) (int64, error)
	// Verify reads a part of this system's snapshots back. It returns how many
	// chunks it read, and what is wrong, in sentences.
	Verify(ctx context.Context, part Percent) (read int64, bad []string, err error)
}

// A Request is for one snapshot.
type Request struct {
	Settings Settings
	Schedule string
	Pinned   string // the name that a person gave
	Time     time.Time
	Full     bool // read all, also what cannot have changed
	// BeforeFreeze stops services, AfterThaw starts them again: live.Options. Both
	// are nil where there are none.
	BeforeFreeze func(ctx context.Context) error
	AfterThaw    func()
	Pace         func(ctx context.Context) // before each step: memory may be short
	Logf         func(format string, args ...any)
}

// Saved is what came of a request that succeeded.
type Saved struct {
	Name         string // of the snapshot
	Size         int64  // bytes: of its file, or what the disk has in use
	Added        int64  // bytes by which the destination grew
	Read         int64  // bytes of the disk in use that were read; 0 is unknown
	FrozenMS     int64
	Reservations []string
}
