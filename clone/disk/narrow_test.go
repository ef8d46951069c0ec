package disk_test

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
)

func TestNarrow(t *testing.T) {
	t.Parallel()
	const sector = 512
	at := func(first, n int64) extent.Extent { return extent.Extent{Off: first * sector, Len: n * sector} }
	for _, c := range []struct {
		name string
		ask  extent.Extent
		bad  extent.Set
		want extent.Extent
	}{
		{"first sector", at(0, 2048), extent.Of(at(0, 1)), at(0, 1)},
		{"last sector", at(0, 2048), extent.Of(at(2047, 1)), at(2047, 1)},
		{"a granule", at(0, 2048), extent.Of(at(1000, 8)), at(1000, 8)},
		{"across granules", at(64, 2048), extent.Of(at(1003, 20)), at(1003, 20)},
		{"two runs, the first counts", at(0, 2048), extent.Of(at(100, 3), at(900, 9)), at(100, 3)},
		{"all of it, in pieces", at(0, 2048), extent.Of(at(0, 4096)), at(0, 128)},
		{"began before", at(8, 2048), extent.Of(at(0, 11)), at(8, 3)},
		{"one sector asked for", at(5, 1), extent.Of(at(5, 1)), at(5, 1)},
		{"well when asked again", at(0, 2048), nil, extent.Extent{}},
		{"not a whole number of sectors", extent.Extent{Off: 0, Len: 1000}, extent.Of(at(1, 1)), extent.Extent{Off: 512, Len: 488}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tries := 0
			got := disk.Narrow(c.ask, sector, func(e extent.Extent) error {
				tries++
				if !c.ask.Contains(e) || e.Len <= 0 {
					t.Fatalf("tried %v, which is not in %v", e, c.ask)
				}
				if len(c.bad.Clip(e)) > 0 {
					return unix.EIO
				}
				return nil
			})
			if got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if tries > 60 {
				t.Errorf("%d tries, each of which may take seconds", tries)
			}
		})
	}
}

// Whatever is bad: the run that is told begins with the first bad sector, ends
// with a bad one, and never reaches behind what was asked for.
func TestNarrowAnyDamage(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		unit := int64(512) << r.IntN(4)
		ask := extent.Extent{Off: unit * r.Int64N(50), Len: 1 + r.Int64N(300*unit)}
		var bad extent.Set
		for range 1 + r.IntN(3) {
			bad = bad.Union(extent.Of(extent.Extent{Off: ask.Off + unit*r.Int64N((ask.Len+unit-1)/unit), Len: unit * (1 + r.Int64N(30))}))
		}
		is := func(e extent.Extent) bool { return len(bad.Clip(e)) > 0 }
		got := disk.Narrow(ask, unit, func(e extent.Extent) error {
			if is(e) {
				return unix.EIO
			}
			return nil
		})
		first := bad.Clip(ask)[0].Off
		last := extent.Extent{Off: (got.End() - 1) / unit * unit, Len: 1}
		if got.Off != first || !is(last) || !ask.Contains(got) {
			t.Fatalf("asked for %v with %v bad: got %v", ask, bad, got)
		}
	}
}
