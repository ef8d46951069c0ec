package repo_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lifeboat/clone"
	"lifeboat/clone/extent"
	"lifeboat/clone/repo"
	"lifeboat/internal/fixture"
)

// TestChunkSizes prints what each chunk size costs over a week of a system: files
// of this machine on an ext4 that the kernel itself writes; each day logs grow, a
// database changes pages, and small files come and go, twice a week packages are
// upgraded. docs/REPOSITORY.md has the table.
func TestChunkSizes(t *testing.T) {
	fixture.Long(t)
	fixture.Root(t)
	fixture.Need(t, "mke2fs", "losetup", "mount", "umount")
	w := newWeek(t)
	type cost struct{ first, week, read, chunks, index int64 }
	sizes := []int64{256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20}
	repos, costs, before := make([]*repo.Repo, len(sizes)), make([]cost, len(sizes)), make([][]repo.ID, len(sizes))
	for i, size := range sizes {
		repos[i] = fresh(t, newMemory(true), repo.InitOptions{Chunk: size}, repo.Options{})
	}
	for day := range 8 {
		if day > 0 {
			w.wake()
			w.live(day)
		}
		w.sync()
		disk, err := os.Open(w.image)
		if err != nil {
			t.Fatal(err)
		}
		st, _ := disk.Stat()
		blocks, err := clone.NewBlocks(disk, st.Size(), 512)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range repos {
			k, err := r.Save(repo.SaveOptions{Identity: somebody})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := clone.Save(t.Context(), blocks, blocks.Head(), k, nil); err != nil {
				t.Fatal(err)
			}
			s, c := k.Snapshot(), &costs[i]
			c.index, c.chunks = s.Index.Size, c.chunks+s.Chunks
			ids := idsOf(t, r, s)
			if day == 0 {
				c.first = s.Added
			} else {
				c.week += s.Added
				c.read += changedBytes(ids, before[i], sizes[i], blocks.Used())
			}
			before[i] = ids
			if c.week > c.read {
				t.Fatalf("chunks of %d bytes: %d bytes were put up to day %d, of %d in chunks that changed", sizes[i], c.week, day, c.read)
			}
		}
		t.Logf("day %d: %d MB in use, %d MB really changed", day, blocks.Used().Bytes()>>20, w.changed(blocks)>>20)
		if err := blocks.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i, size := range sizes {
		c := costs[i]
		t.Logf("| %d KiB | %.0f MB | %.0f MB | %.0f MB | %d | %.0f KB |", size>>10, float64(c.first)/1e6, float64(c.week)/1e6, float64(c.read)/1e6, c.chunks, float64(c.index)/1e3)
	}
}

// idsOf reads the index of a snapshot in a memory.
func idsOf(t *testing.T, r *repo.Repo, s *repo.Snapshot) []repo.ID {
	t.Helper()
	src, err := r.Source(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	return slices.Clone(src.IDs())
}

// changedBytes is what an increment reads: what is in use of each chunk that is
// another one.
func changedBytes(now, was []repo.ID, size int64, used extent.Set) int64 {
	var changed extent.Set
	for n := range now {
		if now[n] != was[n] {
			changed = changed.Append(extent.Extent{Off: int64(n) * size, Len: size})
		}
	}
	return changed.Intersect(used).Bytes()
}

// A week is a file system that is lived in.
type week struct {
	t     *testing.T
	rnd   *rand.Rand
	image string
	dir   string
	files []string // of packages
	last  map[int64][]byte
}

const (
	weekDisk = 2 << 30
	weekData = 200 << 20
	weekBase = 48 << 20 // the database
)

func newWeek(t *testing.T) *week {
	w := &week{t: t, rnd: rand.New(rand.NewPCG(7, 7)), dir: t.TempDir()}
	w.image = fixture.Sparse(t, "card.img", weekDisk)
	fixture.Run(t, "mke2fs", "-q", "-t", "ext4", w.image)
	w.wake()
	t.Cleanup(func() { exec.Command("umount", w.dir).Run() }) // where a day went wrong
	sum := int64(0)
	err := filepath.WalkDir("/usr", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil || len(data) > 30<<20 || w.rnd.IntN(3) == 0 {
			return nil
		}
		to := filepath.Join(w.dir, path)
		os.MkdirAll(filepath.Dir(to), 0o755)
		if err := os.WriteFile(to, data, 0o644); err != nil {
			return err
		}
		w.files = append(w.files, to)
		if sum += int64(len(data)); sum > weekData {
			return fs.SkipAll
		}
		return nil
	})
	for _, dir := range []string{"var/log", "var/lib/db", "home/pi"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(w.dir, dir), 0o755))
	}
	err = errors.Join(err, os.WriteFile(filepath.Join(w.dir, "var/lib/db/data"), w.text(weekBase), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// text packs about as well as records and logs do.
func (w *week) text(n int) []byte {
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%08x Nov 24 03:15:%02d raspberrypi service[%d]: request %x done\n", w.rnd.Uint32(), w.rnd.IntN(60), w.rnd.IntN(9999), w.rnd.Uint64())
	}
	return b.Bytes()[:n]
}

// live is one day.
func (w *week) live(day int) {
	check := func(err error) {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	for i := range 20 {
		f, err := os.OpenFile(filepath.Join(w.dir, fmt.Sprintf("var/log/log%d", i)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		check(err)
		_, err = f.Write(w.text(20<<10 + w.rnd.IntN(300<<10)))
		check(errors.Join(err, f.Close()))
	}
	db, err := os.OpenFile(filepath.Join(w.dir, "var/lib/db/data"), os.O_RDWR, 0)
	check(err)
	hot := w.rnd.Int64N(weekBase/4096 - 3000)
	for i := range 600 {
		page := w.rnd.Int64N(weekBase / 4096)
		if i%3 > 0 { // most writes go where others went
			page = hot + w.rnd.Int64N(3000)
		}
		_, err := db.WriteAt(w.text(4096), page*4096)
		check(err)
	}
	check(db.Close())
	for i := range 150 {
		check(os.WriteFile(filepath.Join(w.dir, fmt.Sprintf("home/pi/%d-%d", day, i)), w.text(500+w.rnd.IntN(30<<10)), 0o644))
	}
	if day > 2 {
		for i := range 100 {
			check(os.Remove(filepath.Join(w.dir, fmt.Sprintf("home/pi/%d-%d", day-2, i))))
		}
	}
	if day%3 == 2 {
		w.upgrade()
	}
}

// upgrade replaces whole files, as dpkg does: a new one is written and renamed.
func (w *week) upgrade() {
	some := min(800, len(w.files)/8)
	start := w.rnd.IntN(len(w.files) - some)
	for _, path := range w.files[start : start+some] {
		if !strings.HasPrefix(path, w.dir) {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			w.t.Fatal(err)
		}
		data = append(w.text(100), data...) // all behind it is shifted
		if err := errors.Join(os.WriteFile(path+".dpkg-new", data, 0o644), os.Rename(path+".dpkg-new", path)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// sync brings all to the image, and lets it hold still.
func (w *week) sync() { fixture.Run(w.t, "umount", w.dir) }

// wake mounts it again.
func (w *week) wake() { fixture.Run(w.t, "mount", "-o", "loop", w.image, w.dir) }

// changed is how many bytes of blocks in use are others than at the last call.
func (w *week) changed(b *clone.Blocks) int64 {
	sum, now := int64(0), map[int64][]byte{}
	buf := make([]byte, 4096)
	for _, e := range b.Used() {
		for off := e.Off; off < e.End(); off += 4096 {
			if _, err := b.ReadAt(buf, off); err != nil {
				w.t.Fatal(err)
			}
			id := repo.Digest(buf)
			if !bytes.Equal(w.last[off], id) {
				sum += 4096
			}
			now[off] = id
		}
	}
	w.last = now
	return sum
}
