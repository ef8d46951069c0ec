package repo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"lifeboat/clone/manifest"
)

// BootSeries names the series of the disk that boots a system, where its root
// lies on another one: docs/REPOSITORY.md, section 10. It follows from the series
// of the root's disk; "" is that of "".
func BootSeries(root string) string {
	if root == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("lifeboat boot series\x00" + root))
	return hex.EncodeToString(sum[:])[:seriesLen]
}

// Ref names a snapshot for another one's record: SERIES/ID.
func (r *Record) Ref() string { return r.Series + "/" + r.ID }

// OfBoot tells whether it is of the disk that only boots a system, whose root is
// in another snapshot.
func (r *Record) OfBoot() bool { return r.Pair != nil && !r.Pair.Boots }

// bootSuffix tells the disk that boots a host from the one with its root.
const bootSuffix = ".boot"

// host is what a name has in front of its slash; "" = unknown.
func (r *Record) host() string {
	if r.Host != "" && r.OfBoot() {
		return r.Host + bootSuffix
	}
	return r.Host
}

func checkPair(p *manifest.Pair) error {
	if p == nil {
		return nil
	}
	if _, _, ok := parseStem(snapshotsDir+p.File, ""); !ok || p.Size <= 0 {
		return fmt.Errorf("the other disk's snapshot %q, of %d bytes, is not possible", p.File, p.Size)
	}
	return checkWord("disk ID", p.ID)
}

// paired tells whether two records name each other, and one of them boots.
func (r *Record) paired(o *Record) bool {
	return r.Pair != nil && o.Pair != nil && r.Pair.File == o.Ref() && o.Pair.File == r.Ref() && r.Pair.Boots != o.Pair.Boots
}

// ErrHalf is what Other gives where the other disk's snapshot is not there.
var ErrHalf = errors.New("the snapshot of the other disk is not there")

// Other reads the record of the other disk; nil where the system lies on one.
func (r *Repo) Other(ctx context.Context, s *Snapshot) (*Snapshot, error) {
	if s.Pair == nil {
		return nil, nil
	}
	series, id, _ := parseStem(snapshotsDir+s.Pair.File, "")
	o, err := r.snapshot(ctx, key{series, id})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, ErrHalf
	case err == nil && !s.paired(&o.Record):
		return nil, fmt.Errorf("%w: %s names another one", ErrHalf, s.Pair.File)
	}
	return o, err
}

// OtherOf is Other among snapshots that were read; nil also where it is missing.
func OtherOf(all []*Snapshot, s *Snapshot) *Snapshot {
	for _, o := range all {
		if s.paired(&o.Record) {
			return o
		}
	}
	return nil
}

// Whole is some of all snapshots, each with that of its other disk. The one with
// the root comes first: Forget, which may end in between, then leaves no root
// that names what is gone.
func Whole(all, some []*Snapshot) []*Snapshot {
	var whole []*Snapshot
	for _, s := range some {
		two := []*Snapshot{s}
		if o := OtherOf(all, s); o != nil && s.OfBoot() {
			two = []*Snapshot{o, s}
		} else if o != nil {
			two = []*Snapshot{s, o}
		}
		for _, x := range two {
			if !slices.Contains(whole, x) {
				whole = append(whole, x)
			}
		}
	}
	return whole
}

// Strays are what backups left that ended between their two records: of disks
// that boot, without the root's, without a name, and followed by a whole pair
// that was begun more than grace later: no backup is under way for so long.
func Strays(all []*Snapshot, grace time.Duration) []*Snapshot {
	var strays []*Snapshot
	for _, s := range all {
		later := func(x *Snapshot) bool {
			return x.Series == s.Series && x.Time.Sub(s.Time) > grace && OtherOf(all, x) != nil
		}
		if s.OfBoot() && s.Name == "" && OtherOf(all, s) == nil && slices.ContainsFunc(all, later) {
			strays = append(strays, s)
		}
	}
	return strays
}
