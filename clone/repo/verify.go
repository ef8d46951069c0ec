package repo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"lifeboat/internal/progress"
)

// VerifyOptions say how much is read.
type VerifyOptions struct {
	Series   string  // only its snapshots; "" = all
	Fraction float64 // of the chunks, another part each time; 0 or 1 = all
	Meter    *progress.Meter
}

// A VerifyReport says what was read, and what was wrong.
type VerifyReport struct {
	Snapshots int   `json:"snapshots"` // whose record, index and manifest are right
	Chunks    int64 `json:"chunks"`    // that they need
	Read      int64 `json:"read"`      // chunks that were read
	// Bad are sentences, each of one file: what is wrong, and which snapshots need it.
	Bad []string `json:"bad,omitempty"`
}

// Verify reads every record, index and manifest, and chunks, and holds them
// against their digests. An error says that it could not be done to its end; what
// is damaged stands in the report.
func (r *Repo) Verify(ctx context.Context, o VerifyOptions) (*VerifyReport, error) {
	snaps, bad := r.Snapshots(ctx, o.Series)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v := &verifying{r: r, need: map[ID]int32{}}
	for _, err := range split(bad) {
		var one *BadSnapshotError
		if !errors.As(err, &one) {
			return nil, err
		}
		v.say("%v", err)
	}
	for i, s := range snaps {
		if err := v.snapshot(ctx, s, int32(i)); err != nil {
			return nil, err
		}
	}
	v.report.Chunks = int64(len(v.need))
	err := v.chunks(ctx, snaps, o)
	return &v.report, err
}

// split takes joined errors apart.
func split(err error) []error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}

// A verifying is one run.
type verifying struct {
	r      *Repo
	need   map[ID]int32 // the first snapshot that needs it
	mu     sync.Mutex
	report VerifyReport
}

func (v *verifying) say(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Bad = append(v.report.Bad, fmt.Sprintf(format, args...))
}

func (v *verifying) snapshot(ctx context.Context, s *Snapshot, n int32) error {
	src, err := v.r.Source(ctx, s)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		v.say("%s: %v", s.Label(), err)
		return nil
	}
	v.report.Snapshots++
	for _, id := range src.index.ids {
		if _, ok := v.need[id]; !ok {
			v.need[id] = n
		}
	}
	return src.Close()
}

// chunks reads them, or those whose keyed number is below the fraction.
func (v *verifying) chunks(ctx context.Context, snaps []*Snapshot, o VerifyOptions) error {
	turn := make([]byte, 8)
	if _, err := v.r.o.Random.Read(turn); err != nil {
		return err
	}
	salt := binary.LittleEndian.Uint64(turn)
	picked := func(id ID) bool {
		if o.Fraction <= 0 || o.Fraction >= 1 {
			return true
		}
		x := (binary.LittleEndian.Uint64(id[:]) ^ salt) * 0x9e3779b97f4a7c15
		return float64(x>>11)/(1<<53) < o.Fraction
	}
	total := int64(0)
	for id := range v.need {
		if picked(id) {
			total++
		}
	}
	o.Meter.Phase("verify", total*v.r.config.Chunk)
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(v.r.o.Workers)
	for id, first := range v.need {
		if inner.Err() != nil {
			break
		}
		if !picked(id) {
			continue
		}
		group.Go(func() error {
			err := v.r.check(inner, id)
			o.Meter.Add(v.r.config.Chunk)
			if inner.Err() != nil {
				return context.Cause(inner)
			}
			if err != nil {
				v.say("%v (needed by %s, and maybe others)", err, snaps[first].Label())
			}
			v.mu.Lock()
			v.report.Read++
			v.mu.Unlock()
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}
