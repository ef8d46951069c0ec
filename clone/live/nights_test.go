package live_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/increment"
	"lifeboat/clone/live"
	"lifeboat/clone/manifest"
	"lifeboat/clone/repo"
	"lifeboat/clone/store"
	"lifeboat/internal/fixture"
)

// Nights are backups of one card into one repository, one after the other.
type nights struct {
	card   *card
	dir    string // the repository
	state  string
	repo   *repo.Repo
	last   *repo.Snapshot
	full   bool // read all
	far    bool // as if the repository lay on a server
	every  int
	opened func()                  // called behind the look
	asked  func()                  // … and behind the scan
	mapped func(at int, sync bool) // of mapBefore
	inner  string                  // of innerBefore
}

const series = "00112233445566aa"

func newNights(tb testing.TB, c *card) *nights {
	tb.Helper()
	n := &nights{card: c, dir: tb.TempDir(), state: filepath.Join(tb.TempDir(), "state"), every: 1000}
	s, _, err := store.Open(n.dir+"/x", store.Options{})
	must(tb, err)
	_, err = repo.Init(tb.Context(), s, repo.InitOptions{Chunk: repo.MinChunk}, repo.Options{})
	must(tb, err)
	n.repo, err = repo.Open(tb.Context(), s, repo.Options{})
	must(tb, err)
	tb.Cleanup(func() { n.repo.Close() })
	return n
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// A night is what came of one backup.
type night struct {
	increment.Report
	*repo.Snapshot
	tail *manifest.Tail
	void int64 // bytes
}

// content is how many bytes have to be read of one that is read whole.
func (n night) content() int64 { return n.Used - n.void }

// backup makes a snapshot, and holds its index against that of the frozen disk,
// which another program read whole.
func (n *nights) backup(tb testing.TB) night {
	tb.Helper()
	truth := filepath.Join(tb.TempDir(), "truth")
	defer os.Remove(truth)
	o := options(tb).WithFrozen(n.card.truth(tb, truth))
	got := n.save(tb, o)
	want := n.saveFile(tb, truth)
	if a, b := n.index(tb, got.Snapshot), n.index(tb, want); !bytes.Equal(a, b) {
		at := 0
		for a[at] == b[at] {
			at++
		}
		chunk := int64(at-64) / 40
		tb.Errorf("the index is not that of the frozen disk: chunk %d, byte %d (part 2 begins at %d)", chunk, chunk*repo.MinChunk, n.card.part2.Off)
	}
	return got
}

// save makes a snapshot, as the command does.
func (n *nights) save(tb testing.TB, o live.Options) night {
	tb.Helper()
	ctx := tb.Context()
	src, err := live.Open(ctx, disk.Host(), n.card.disk, o)
	must(tb, err)
	defer src.Close()
	with := increment.Options{
		File: n.state, Repository: n.repo.ID(), Series: series, Full: n.full, Every: n.every, Near: n.repo.Near() && !n.far,
		Clock: increment.Clock{Proc: disk.Host().Proc}, Logf: tb.Logf,
	}
	if n.last != nil {
		base, err := n.repo.Source(ctx, n.last)
		must(tb, err)
		defer base.Close()
		with.Base, with.BaseID = base, n.last.ID
	}
	run := increment.New(with)
	src.Since(func(ctx context.Context, l live.Look) (extent.Set, error) {
		if n.asked != nil {
			defer n.asked()
		}
		return run.Since(ctx, increment.Look(l))
	})
	if n.opened != nil {
		n.opened()
	}
	sink, err := n.repo.Save(repo.SaveOptions{Series: series, Base: n.last})
	must(tb, err)
	tail, err := clone.Save(ctx, src, src.Head(), sink, nil)
	must(tb, err)
	n.last = sink.Snapshot()
	open := func() (increment.Snapshot, error) { return n.repo.Source(ctx, n.last) }
	rep, err := run.Ended(n.last.ID, open, src.News().Late, src.News().Signs)
	must(tb, err)
	tb.Logf("read %d KiB of %d, %q, night %d", tail.Live.Read>>10, n.last.Used>>10, rep.Full, rep.Nights)
	return night{rep, n.last, tail, src.Void().Bytes()}
}

// saveFile makes a snapshot of an image, read whole.
func (n *nights) saveFile(tb testing.TB, image string) *repo.Snapshot {
	tb.Helper()
	f, err := os.Open(image)
	must(tb, err)
	info, err := f.Stat()
	must(tb, err)
	src, err := clone.NewBlocks(f, info.Size(), 512)
	must(tb, err)
	defer src.Close()
	sink, err := n.repo.Save(repo.SaveOptions{Series: strings.Repeat("0", 16)})
	must(tb, err)
	_, err = clone.Save(tb.Context(), src, src.Head(), sink, nil)
	must(tb, err)
	return sink.Snapshot()
}

func (n *nights) index(tb testing.TB, s *repo.Snapshot) []byte {
	tb.Helper()
	return read(tb, filepath.Join(n.dir, "snapshots", s.Series, s.ID+".caibx"))
}

// path is a file on the card.
func (n *nights) path(name string) string { return filepath.Join(n.card.dir, name) }

// fill puts many files on the card, so that there is something not to read.
func (n *nights) fill(tb testing.TB, files int) {
	tb.Helper()
	for i := range files {
		name := n.path(fmt.Sprintf("d%02d/file%d", i%20, i))
		must(tb, os.MkdirAll(filepath.Dir(name), 0o755))
		must(tb, os.WriteFile(name, noise(30000+i), 0o644))
	}
	unix.Sync()
}

func noise(n int) []byte {
	b := make([]byte, n)
	unix.Getrandom(b, 0)
	return b
}

// TestNights: a full backup, nothing changes, a little changes, all is read again.
func TestNights(t *testing.T) {
	t.Parallel()
	n := newNights(t, newCard(t, "-E", "lazy_itable_init=0"))
	n.fill(t, 1500)
	first := n.backup(t)
	if first.Full == "" || first.tail.Live.Read < first.content() {
		t.Errorf("the first backup read %d bytes of %d: %q", first.tail.Live.Read, first.content(), first.Full)
	}
	waitTick()
	idle := n.backup(t)
	must(t, os.WriteFile(n.path("d03/file3"), noise(10000), 0o644))
	few := n.backup(t)
	for i, x := range []night{idle, few} {
		if x.Full != "" || x.Nights != i+1 || x.tail.Live.Read > first.Used/3 {
			t.Errorf("increment %d read %d bytes of %d: %q", x.Nights, x.tail.Live.Read, x.Used, x.Full)
		}
	}
	n.full = true
	if all := n.backup(t); all.Full == "" || len(all.Wrong) > 0 || all.tail.Live.Read < all.content() {
		t.Errorf("told to read all: %+v", all.Report)
	}
}

// TestTypicalNight counts the sectors that the kernel read for a night with one
// file in a hundred changed, and has casync judge the snapshot.
func TestTypicalNight(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "casync")
	n := newNights(t, newCard(t, "-E", "lazy_itable_init=0", "-J", "size=4"))
	files := 1500
	if fixture.Campaign() {
		files = 9000
	}
	n.fill(t, files)
	count := func() (night, int64, time.Duration) {
		was, start := sectorsRead(t, n.card.disk), time.Now()
		got := n.save(t, options(t))
		return got, sectorsRead(t, n.card.disk) - was, time.Since(start)
	}
	first, all, slow := count()
	waitTick()
	for i := 0; i < files; i += 100 {
		must(t, os.WriteFile(n.path(fmt.Sprintf("d%02d/file%d", i/100%20, i/100)), noise(20000), 0o644))
	}
	second, few, fast := count()
	t.Logf("sectors read: all %d in %s, an increment %d in %s (%.3f)", all, slow, few, fast, float64(few)/float64(all))
	if all*512 < first.content() || few > all/2 || second.Full != "" || second.tail.Live.Read/512 < few*9/10 {
		t.Errorf("read %d sectors of %d bytes, then %d; it counted %d bytes", all, first.Used, few, second.tail.Live.Read)
	}
	truth := filepath.Join(t.TempDir(), "truth")
	must(t, fixture.Unmount(n.card.dir)) // nothing was written since, but that
	must(t, n.card.truth(t, truth)())
	must(t, unix.Mount(n.card.root, n.card.dir, "ext4", 0, ""))
	image := filepath.Join(t.TempDir(), "image")
	fixture.Run(t, "casync", "extract", "--store="+filepath.Join(n.dir, "chunks.castr"), filepath.Join(n.dir, "snapshots", second.Series, second.ID+".caibx"), image)
	n.card.check(t, image)
	n.sameFiles(t, image, truth)
}

// sameFiles has the kernel read all files of two images.
func (n *nights) sameFiles(tb testing.TB, images ...string) {
	tb.Helper()
	var sums [2]string
	for i, image := range images {
		part := fixture.Cut(tb, image, fixture.Part{Num: 2, Off: n.card.part2.Off, Size: n.card.part2.Len})
		node, dir := fixture.Loop(tb, part), tb.TempDir()
		must(tb, unix.Mount(node, dir, "ext4", unix.MS_RDONLY, ""))
		sums[i] = fixture.Run(tb, "sh", "-c", "cd "+dir+" && find . -type f -exec sha256sum {} + | sort")
		must(tb, fixture.Unmount(dir))
	}
	if sums[0] != sums[1] || len(sums[0]) < 1000 {
		tb.Error("the files differ, or there are none")
	}
}

// sectorsRead is what the kernel counts: Documentation/block/stat.rst, the third
// field.
func sectorsRead(tb testing.TB, node string) (n int64) {
	tb.Helper()
	fields := strings.Fields(string(read(tb, filepath.Join("/sys/class/block", filepath.Base(node), "stat"))))
	_, err := fmt.Sscan(fields[2], &n)
	must(tb, err)
	return n
}

// waitTick waits until what was written is too old to be taken for unknown.
func waitTick() { time.Sleep(1100 * time.Millisecond) }
