package repo_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"lifeboat/clone/repo"
	"lifeboat/clone/store"
)

// TestSeries holds the table of docs/REPOSITORY.md, section 3.
func TestSeries(t *testing.T) {
	t.Parallel()
	pi := repo.Identity{Serial: "10000000abcdef01", Machine: "0123456789abcdef0123456789abcdef", Disk: "a85f3b63"}
	with := func(change func(*repo.Identity)) repo.Identity {
		i := pi
		change(&i)
		return i
	}
	for name, c := range map[string]struct {
		other repo.Identity
		same  bool
	}{
		"the same system":                  {pi, true},
		"written otherwise":                {with(func(i *repo.Identity) { i.Serial, i.Machine = "10000000ABCDEF01\x00", i.Machine+"\n" }), true},
		"restored to a disk with a new ID": {with(func(i *repo.Identity) { i.Disk = "00000001" }), true},
		"another board":                    {with(func(i *repo.Identity) { i.Serial = "10000000abcdef02" }), false},
		"a fresh system":                   {with(func(i *repo.Identity) { i.Machine = "ff23456789abcdef0123456789abcdef" }), false},
		"in a reader":                      {with(func(i *repo.Identity) { i.Serial = "" }), false},
		"before its first boot":            {with(func(i *repo.Identity) { i.Machine = "uninitialized" }), false},
		"a serial of zeros":                {with(func(i *repo.Identity) { i.Serial = "0000000000000000" }), false},
	} {
		if got := c.other.Series() == pi.Series(); got != c.same {
			t.Errorf("%s: one series is %v, want %v", name, got, c.same)
		}
	}
	a, b := repo.Identity{Machine: "m", Disk: "a"}, repo.Identity{Machine: "m", Disk: "b"}
	if a.Series() == b.Series() {
		t.Error("two cards in a reader are one series, though their IDs differ")
	}
	for _, nobody := range []repo.Identity{{}, {Serial: "00000000"}, {Machine: "uninitialized"}} {
		if got := nobody.Series(); got != "" {
			t.Errorf("%+v has the series %q", nobody, got)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("CET", 3600)
	snap := func(host, series, id, name string, at time.Time) *repo.Snapshot {
		return &repo.Snapshot{Record: repo.Record{Host: host, Series: series, ID: id, Name: name, Time: at}}
	}
	const kitchen, attic, shed = "1111111111111111", "2222222222222222", "3333333333333333"
	all := []*repo.Snapshot{
		snap("raspberrypi", kitchen, "20261123T231500Z-00000001", "", time.Date(2026, 11, 24, 0, 15, 0, 0, zone)),
		snap("raspberrypi", attic, "20261124T021500Z-00000002", "", time.Date(2026, 11, 24, 3, 15, 0, 0, zone)),
		snap("raspberrypi", kitchen, "20261124T101500Z-00000003", "Before upgrade", time.Date(2026, 11, 24, 11, 15, 0, 0, zone)),
		snap("raspberrypi", kitchen, "20261124T221500Z-00000004", "", time.Date(2026, 11, 24, 23, 15, 0, 0, zone)),
		snap("shed", shed, "20261125T021500Z-00000005", "", time.Date(2026, 11, 25, 3, 15, 0, 0, zone)),
		snap("shed", shed, "20261126T021500Z-00000006", "2026-11-27", time.Date(2026, 11, 26, 3, 15, 0, 0, zone)),
		snap("shed", shed, "20261127T021500Z-00000007", "", time.Date(2026, 11, 27, 3, 15, 0, 0, zone)),
		snap("shed", shed, "20261128T021500Z-00000008", "latest", time.Date(2026, 11, 28, 3, 15, 0, 0, zone)), // by an older lifeboat
		snap("shed", shed, "20261129T021500Z-00000009", "", time.Date(2026, 11, 29, 3, 15, 0, 0, zone)),
	}
	for name, want := range map[string]int{
		"shed/latest": 8, shed + "/latest": 8, "shed/2026-11-27": 5, "2026-11-27T03": 6, kitchen + "/latest": 3, attic + "/latest": 1,
		"Before upgrade": 2, "raspberrypi/Before upgrade": 2,
		kitchen + "/2026-11-24": 3, kitchen + "/2026-11-24T00": 0, // by the board's clock, not by UTC
		"2026-11-25": 4, "shed/2026-11-25T03:15:00": 4, "20261124T021500Z-00000002": 1, "20261125T02": 4,
	} {
		got, err := repo.Choose(all, name)
		if err != nil || got != all[want] {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "2026", "2026-11-23", "cellar/latest", "raspberrypi/", "/", "2026-11-24T99", "latest/latest"} {
		if got, err := repo.Choose(all, name); !errors.Is(err, repo.ErrNoSnapshot) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	var many *repo.AmbiguousError
	for name, want := range map[string][]string{
		"latest":             {kitchen + "/latest", attic + "/latest", "shed/latest"},
		"raspberrypi/latest": {kitchen + "/latest", attic + "/latest"},
		"2026-11-24":         {kitchen + "/2026-11-24", attic + "/2026-11-24"},
	} {
		if got, err := repo.Choose(all, name); !errors.As(err, &many) || !slices.Equal(many.Choices, want) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	for _, name := range want(all) {
		if _, err := repo.Choose(all, name); err != nil {
			t.Errorf("the label %q: %v", name, err)
		}
	}
}

// want are labels that are names by themselves.
func want(all []*repo.Snapshot) []string {
	var names []string
	for _, s := range all {
		names = append(names, s.Label())
	}
	return names
}

// TestTwoInOneSecond holds that the later one is the latest.
func TestTwoInOneSecond(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 2, 15, 0, 0, time.UTC)
	clock := func() time.Time { now = now.Add(20 * time.Millisecond); return now }
	r := fresh(t, store.NewFolder(t.TempDir()), repo.InitOptions{}, repo.Options{Clock: clock})
	c := randomContent(rand.New(rand.NewPCG(5, 6)), 4*chunk)
	for range 8 { // their random digits would have to agree with their order
		want := mustSave(t, r, c, repo.SaveOptions{})
		if got, err := r.Find(t.Context(), repo.Latest); err != nil || got.ID != want.ID {
			t.Fatalf("latest: got %v (%v), want %s", got, err, want.ID)
		}
	}
}
