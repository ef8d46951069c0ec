package live_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lifeboat/clone/repo"
	"lifeboat/internal/fixture"
)

// A change is what happens between two nights.
type change struct {
	name  string
	prep  func(testing.TB, *nights) // before the first of them
	act   func(testing.TB, *nights)
	full  string // why the second night reads all; "" = it does not
	short bool   // part of make test
}

// changes are docs/LIVE.md's, and what LIVE's study found out.
var changes = []change{
	{name: "nothing", act: func(testing.TB, *nights) {}},
	{name: "pwrite", act: func(tb testing.TB, n *nights) { n.pwrite(tb, "d01/file1", 8192, nil) }, short: true},
	{name: "fsync", act: func(tb testing.TB, n *nights) { n.pwrite(tb, "d01/file1", 8192, unix.Fsync) }},
	{name: "fdatasync", act: func(tb testing.TB, n *nights) { n.pwrite(tb, "d01/file1", 8192, unix.Fdatasync) }},
	{name: "past the page cache", act: func(tb testing.TB, n *nights) { must(tb, writeDirect(n.path("d01/file1"), 8192, 7)) }},
	{name: "the same bytes again", act: rewriteSame},
	{name: "mapping, synced", act: func(tb testing.TB, n *nights) { n.mapping(tb, "d01/file1")(5000, true) }},
	{name: "mapping that was dirty before", prep: mapBefore, act: mapAgain, short: true},
	{name: "write, then touch -d", act: writeTouch, short: true},
	{name: "punch", act: allocate("d01/file1", unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 5000, 20000)},
	{name: "punch in a block", act: allocate("d01/file1", unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 4200, 100)},
	{name: "zero", act: allocate("d01/file1", unix.FALLOC_FL_ZERO_RANGE, 5000, 20000)},
	{name: "collapse", act: allocate("d01/file1", unix.FALLOC_FL_COLLAPSE_RANGE, 4096, 8192)},
	{name: "insert", act: allocate("d01/file1", unix.FALLOC_FL_INSERT_RANGE, 4096, 8192)},
	{name: "allocate behind the end", act: allocate("d01/file1", unix.FALLOC_FL_KEEP_SIZE, 1<<20, 1<<20)},
	{name: "allocated, then written", prep: allocate("d01/file1", 0, 0, 1<<20), act: func(tb testing.TB, n *nights) { n.pwrite(tb, "d01/file1", 400000, nil) }},
	{name: "cut", act: func(tb testing.TB, n *nights) { must(tb, os.Truncate(n.path("d01/file1"), 5000)) }},
	{name: "cut and made longer", act: func(tb testing.TB, n *nights) {
		must(tb, os.Truncate(n.path("d01/file1"), 5000))
		must(tb, os.Truncate(n.path("d01/file1"), 30001))
	}},
	{name: "far behind the end", act: func(tb testing.TB, n *nights) { n.pwrite(tb, "d01/file1", 50<<20, nil) }},
	{name: "rename over", act: func(tb testing.TB, n *nights) { must(tb, os.Rename(n.path("d01/file1"), n.path("d02/file2"))) }, short: true},
	{name: "rename a folder", act: func(tb testing.TB, n *nights) { must(tb, os.Rename(n.path("d01"), n.path("d02/d01"))) }},
	{name: "exchange folders", act: func(tb testing.TB, n *nights) {
		must(tb, unix.Renameat2(unix.AT_FDCWD, n.path("d03"), unix.AT_FDCWD, n.path("d02/d01"), unix.RENAME_EXCHANGE))
	}},
	{name: "link, symlink, mode", act: linkAndMode},
	{name: "remove and make anew", act: func(tb testing.TB, n *nights) {
		must(tb, os.Remove(n.path("d04/file4")))
		must(tb, os.WriteFile(n.path("d04/file4"), noise(30004), 0o644))
	}},
	{name: "shared attributes, one dropped", prep: shareAttributes, act: func(tb testing.TB, n *nights) {
		must(tb, unix.Removexattr(n.path("d05/file5"), "user.a"))
	}, short: true},
	{name: "shared attributes, one user gone", prep: shareAttributes, act: func(tb testing.TB, n *nights) {
		must(tb, os.Remove(n.path("d05/file25")))
	}},
	{name: "shared attributes, one changed", prep: shareAttributes, act: func(tb testing.TB, n *nights) {
		must(tb, unix.Setxattr(n.path("d05/file45"), "user.a", bytes.Repeat([]byte{'q'}, 600), 0))
	}},
	{name: "many files", act: manyFiles, short: true},
	{name: "a tree of extents, written to", prep: fragment, act: func(tb testing.TB, n *nights) { n.pwrite(tb, "pieces", 8192*300, nil) }},
	{name: "a tree of extents, punched and filled", prep: fragment, act: func(tb testing.TB, n *nights) {
		allocate("pieces", unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 8192*300, 4096)(tb, n)
		n.pwrite(tb, "pieces", 8192*300, nil)
	}},
	{name: "extents moved, flat", prep: donor, act: moveExtents("d06/file6")},
	{name: "extents moved, in a tree", prep: func(tb testing.TB, n *nights) { fragment(tb, n); n.fragment(tb, "other pieces") }, act: moveExtents("pieces"), short: true},
	{name: "swap file", prep: swapFile, act: func(tb testing.TB, n *nights) { n.past(tb, "swap", 1<<20) }, short: true},
	{name: "swap file of large pages", prep: swapFileLarge, act: func(tb testing.TB, n *nights) { n.past(tb, "swap64", 1<<20) }},
	{name: "quota file in use", prep: quotaFile, act: func(tb testing.TB, n *nights) { n.past(tb, "aquota.user", 8192) }, short: true},
	{name: "chattr", act: func(tb testing.TB, n *nights) { fixture.Run(tb, "chattr", "+A", "+d", n.path("d07/file7")) }, short: true},
	{name: "open and removed", act: openRemoved},
	{name: "a file system in a file", prep: innerBefore, act: innerWrite},
	{name: "label and tune2fs", act: func(tb testing.TB, n *nights) {
		fixture.Run(tb, "e2label", n.card.root, "other")
		fixture.Run(tb, "tune2fs", "-c", "33", n.card.root)
	}, short: true},
	{name: "all is read", act: func(tb testing.TB, n *nights) {
		fixture.Run(tb, "sh", "-c", "find "+n.card.dir+" -type f -exec cat {} + >/dev/null")
	}},
	{name: "lazytime", prep: remount("lazytime"), act: func(tb testing.TB, n *nights) { must(tb, writeDirect(n.path("d13/file53"), 8192, 9)) }},
	{name: "remounted", act: func(tb testing.TB, n *nights) { remount("ro")(tb, n); remount("rw")(tb, n) }, full: "remounted", short: true},
	{name: "mounted anew", act: func(tb testing.TB, n *nights) { n.offline(tb, "true") }, full: "remounted"},
	{name: "checked", act: func(tb testing.TB, n *nights) { n.offline(tb, "e2fsck -fy "+n.card.root) }, full: "checked", short: true},
	{name: "checked, folders packed", act: func(tb testing.TB, n *nights) { n.offline(tb, "e2fsck -fyD "+n.card.root) }, full: "checked"},
	{name: "another UUID", act: func(tb testing.TB, n *nights) { n.offline(tb, "tune2fs -U random "+n.card.root) }, full: "another file system"},
	{name: "resized", act: func(tb testing.TB, n *nights) {
		n.offline(tb, "e2fsck -fy "+n.card.root+"; resize2fs "+n.card.root+" 300M")
	}, full: "resized", short: true},
	{name: "written to while it was not mounted", act: offlineWrite, full: "remounted", short: true},
	{name: "the power went", act: crash, full: "remounted", short: true},
}

// TestChanges has each of them happen between two nights: the index must be that
// of the frozen disk, read whole by others.
func TestChanges(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mkswap", "filefrag", "chattr", "debugfs", "e2label", "tune2fs", "resize2fs", "touch")
	n := oneNight(t, 400)
	for i, c := range changes {
		if !c.short && !fixture.Campaign() {
			continue
		}
		n.far = i%2 == 0
		t.Run(c.name, func(t *testing.T) { c.night(t, n) })
	}
	if fixture.Campaign() { // the other way round, on another card
		n = oneNight(t, 400)
		for i, c := range changes {
			n.far = i%2 == 1
			t.Run("again: "+c.name, func(t *testing.T) { c.night(t, n) })
		}
	}
}

// oneNight has a card with as many files, and a snapshot of it.
func oneNight(t *testing.T, files int) *nights {
	t.Helper()
	n := newNights(t, newCard(t, "-E", "lazy_itable_init=0"))
	n.fill(t, files)
	n.save(t, options(t))
	return n
}

func (c change) night(t *testing.T, n *nights) {
	if c.prep != nil {
		c.prep(t, n)
		age()
		n.save(t, options(t))
	}
	age()
	c.act(t, n)
	got := n.backup(t)
	if c.full != "" && !strings.Contains(got.Full, c.full) || c.full == "" && got.Full != "" {
		t.Errorf("all is read for %q, want %q", got.Full, c.full)
	}
	if t.Failed() {
		n.save(t, options(t)) // the next one begins anew
	}
}

// age waits until what was written is too old to be unknown.
func age() { time.Sleep(60 * time.Millisecond) }

// TestAlarm changes a block past everything: no increment can know, and the check
// of the next full read says so.
func TestAlarm(t *testing.T) {
	t.Parallel()
	for far, size := range map[bool]int64{false: 4096, true: repo.MinChunk} {
		t.Run(fmt.Sprintf("far %v", far), func(t *testing.T) { alarm(t, far, size) })
	}
}

func alarm(t *testing.T, far bool, size int64) {
	n := oneNight(t, 200)
	n.far = far
	age()
	n.past(t, "d01/file1", 8192)
	if got := n.save(t, options(t)); got.Full != "" {
		t.Errorf("an increment read all: %s", got.Full)
	}
	n.every = 2
	wrong := n.backup(t)
	if len(wrong.Wrong) != 1 || !n.card.part2.Contains(wrong.Wrong[0]) || wrong.Wrong[0].Len != size {
		t.Errorf("a full read found %v, want %d bytes", wrong.Wrong, size)
	}
	n.every = 1000
	if got := n.backup(t); !strings.Contains(got.Full, "found a difference") || len(got.Wrong) > 0 {
		t.Errorf("behind an alarm: %+v", got.Report)
	}
	if got := n.backup(t); got.Full != "" {
		t.Errorf("behind a check that found nothing: %q", got.Full)
	}
}

// TestMeanwhile changes things while the backup runs: behind the look, where only
// the tracking sees it, and so that the metadata are soon what they were before.
func TestMeanwhile(t *testing.T) {
	t.Parallel()
	n := oneNight(t, 200)
	age()
	n.opened = func() { n.past(t, "d01/file1", 8192) }
	n.asked = func() {
		n.past(t, "d02/file2", 8192)
		must(t, os.WriteFile(n.path("d03/soon gone"), noise(100000), 0o600))
		unix.Sync()
	}
	n.backup(t)
	n.opened, n.asked = nil, nil
	age()
	must(t, os.Remove(n.path("d03/soon gone")))
	for range 2 {
		if got := n.backup(t); got.Full != "" {
			t.Errorf("an increment reads all: %s", got.Full)
		}
	}
}

// TestStates takes the state away, or gives one that does not belong.
func TestStates(t *testing.T) {
	t.Parallel()
	n := oneNight(t, 100)
	first := read(t, n.state)
	age()
	n.save(t, options(t))
	for _, c := range []struct {
		name, want string
		state      []byte
	}{
		{"none", "nothing is known", nil},
		{"of an earlier snapshot", "not of the series' last", first},
		{"damaged", "damaged", append(bytes.Clone(first[:200]), first[201:]...)},
	} {
		must(t, os.RemoveAll(n.state))
		if c.state != nil {
			must(t, os.WriteFile(n.state, c.state, 0o600))
		}
		if got := n.backup(t); !strings.Contains(got.Full, c.want) {
			t.Errorf("state %s: all is read for %q, want %q", c.name, got.Full, c.want)
		}
	}
}
