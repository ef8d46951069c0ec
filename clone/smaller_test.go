package clone_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/manifest"
	"lifeboat/internal/fixture"
)

// scattered makes a card of 160 MiB whose root part has files up to its end, and
// room before them.
func scattered(tb testing.TB, options ...string) string {
	tb.Helper()
	fixture.Need(tb, "sfdisk", "mke2fs", "debugfs", "mkfs.vfat")
	const start, size = 20 << 20, 140 << 20
	dir := filepath.Join(tb.TempDir(), "root")
	write := func(name string, n int64) {
		path := filepath.Join(dir, name)
		b := make([]byte, n)
		rand.Read(b)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o640)); err != nil {
			tb.Fatal(err)
		}
	}
	write("0pad", 60<<20)
	for i := range 300 {
		write(fmt.Sprintf("d%d/e%d/f%d", i%7, i%31, i), int64(i*i)*3)
	}
	write("large", 20<<20)
	root := fixture.Sparse(tb, "root.img", size)
	fixture.Run(tb, "mke2fs", append(append([]string{"-q", "-F", "-t", "ext4", "-d", dir}, options...), root)...)
	fixture.Run(tb, "debugfs", "-w", "-R", "rm 0pad", root)
	fixture.Try(tb, "e2fsck", "-fy", root)
	card := fixture.Sparse(tb, "card.img", 160<<20)
	fixture.Run(tb, "sh", "-c", fmt.Sprintf("printf '4M,16M,c\\n%dM,,83\\n' | sfdisk -q %s", start>>20, card))
	fixture.Run(tb, "mkfs.vfat", "--offset", fmt.Sprint(4<<20/512), card, fmt.Sprint(16<<10))
	fixture.Run(tb, "dd", "if="+root, "of="+card, "bs=1M", fmt.Sprintf("seek=%d", start>>20), "conv=notrunc", "status=none")
	return card
}

// once is a source that is not to be read at any place.
type once struct{ clone.Source }

// moving yields some records again at the end, as a live source does.
type moving struct{ clone.Source }

func (m moving) Open(ctx context.Context, want extent.Set) (clone.Pass, error) {
	p, err := m.Source.Open(ctx, want)
	return &movingPass{Pass: p}, err
}

type movingPass struct {
	clone.Pass
	n     int
	again []extent.Record
	ended bool
}

func (p *movingPass) Next(ctx context.Context) (extent.Record, error) {
	if !p.ended {
		rec, err := p.Pass.Next(ctx)
		if err != io.EOF {
			if p.n++; p.n%5 == 0 && rec.Kind == extent.Data {
				kept := rec
				kept.Data = append([]byte(nil), rec.Data...)
				p.again = append(p.again, kept)
				clear(rec.Data[:512]) // what it said first was not the last word
			}
			return rec, err
		}
		p.ended = true
	}
	if len(p.again) == 0 {
		return extent.Record{}, io.EOF
	}
	rec := p.again[0]
	p.again = p.again[1:]
	return rec, nil
}

// A squeezing is a restore to a smaller target.
type squeezing struct {
	src  clone.Source // what is read
	look clone.Source // what is looked at beforehand
	now  io.ReaderAt  // for a source that moves
	head *manifest.Head
	bare bool // without FUSE
	most int64
	to   string
	o    clone.Options
	logf func(format string, args ...any)
}

func (s squeezing) run(ctx context.Context, tb testing.TB) (*clone.Plan, *clone.Report, error) {
	tb.Helper()
	sys := disk.Host()
	facts, err := sys.Look(s.to)
	if err != nil {
		tb.Fatal(err)
	}
	run := clone.Runner{Tools: filesystem.Tools{Run: filesystem.Exec}, Logf: s.logf, Clock: time.Now, Fuse: sys.OpenFuse, Memory: s.most}
	if s.bare {
		run.Fuse = nil
	}
	s.o.Random = rand.Reader
	if s.o.Smaller, err = run.LookSmaller(ctx, s.look, s.head, clone.GrowLast, s.now); err != nil {
		return nil, nil, err
	}
	plan, err := clone.PlanRestore(s.head, facts, s.o)
	if err == nil {
		err = run.Try(ctx, plan)
	}
	if err != nil {
		return nil, nil, err
	}
	target, err := disk.Claim(ctx, sys, facts, nil)
	if err != nil {
		tb.Fatal(err)
	}
	report, err := run.Execute(ctx, plan, s.src, target)
	return plan, report, errors.Join(err, target.Close())
}

// ways are the kinds of sources.
func ways(src *clone.Blocks) map[string]squeezing {
	return map[string]squeezing{
		"planned": {src: src, look: src, head: src.Head()},
		"stream":  {src: once{src}, look: once{src}, head: src.Head()},
		"moving":  {src: moving{src}, look: src, now: src, head: src.Head()},
	}
}

// TestRestoreSmaller brings a card to smaller ones, from each kind of source. The
// file systems' own tools judge, the files, and the times of directories.
func TestRestoreSmaller(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	card := scattered(t)
	poison(t, card)
	src := blocksOf(t, card)
	want := trees(t, card, 2)
	least := clone.SmallestDisk(src.Head())
	for _, size := range []int64{src.Head().Size - 1<<20, 100 << 20, least} {
		for name, s := range ways(src) {
			t.Run(fmt.Sprintf("%s/%d", name, size>>20), func(t *testing.T) {
				t.Parallel()
				s.to, s.logf = fill(t, size), t.Logf
				_, report, err := s.run(t.Context(), t)
				if err != nil {
					t.Fatal(err)
				}
				s.judge(t, report, want)
				if most := src.Used().Bytes()*105/100 + 4<<20; report.Written > most {
					t.Errorf("%d bytes were written for %d in use", report.Written, src.Used().Bytes())
				}
			})
		}
	}
}

// judge holds that the target is verified and clean, and has the files.
func (s squeezing) judge(t *testing.T, report *clone.Report, want map[string]string) {
	t.Helper()
	if !report.Verified {
		t.Error("it was not verified")
	}
	fixture.Check(t, s.to)
	same(t, want, trees(t, s.to, 2))
}

// trees are the lines of tree, and one for each folder.
func trees(tb testing.TB, path string, num int) map[string]string {
	tb.Helper()
	lines := tree(tb, path, num)
	b := blocksOf(tb, path)
	p, _ := b.Head().Part(num)
	files, err := filesystem.Files(io.NewSectionReader(b, p.Extent.Off, p.Extent.Len), p.Extent.Len, p.FS)
	if err != nil {
		tb.Fatal(err)
	}
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		info, err := d.Info()
		lines[name] = fmt.Sprintf("%v %v", info.Mode(), info.ModTime())
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return lines
}

func same(tb testing.TB, want, got map[string]string) {
	tb.Helper()
	if len(want) < 300 || len(got) != len(want) {
		tb.Errorf("got %d files and folders, want %d", len(got), len(want))
	}
	for name, line := range want {
		if got[name] != line {
			tb.Errorf("%s: got %q, want %q", name, got[name], line)
		}
	}
}

// TestSmallerInterrupted breaks restores to a smaller card at records spread over
// them: there is no table and no superblock, and a second run is right.
func TestSmallerInterrupted(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	card := scattered(t)
	src := blocksOf(t, card)
	want := trees(t, card, 2)
	for _, name := range []string{"planned", "stream"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ways(src)[name]
			s.to, s.logf = fill(t, 110<<20), t.Logf
			whole := s.src
			for at := 1; ; at = at*2 + 1 {
				seen, hit := 0, false
				s.src = faulty{whole, at, func() error { return errFault }, &seen, &hit}
				_, _, err := s.run(t.Context(), t)
				if !hit {
					break
				}
				var touched *clone.TouchedError
				if !errors.As(err, &touched) {
					t.Fatalf("at record %d: got %v, want a TouchedError", at, err)
				}
				notMountable(t, s.to, src.Head(), at)
			}
			same(t, want, trees(t, s.to, 2))
			fixture.Check(t, s.to)
			s.src = whole
			_, report, err := s.run(t.Context(), t)
			if err != nil {
				t.Fatal(err)
			}
			if report.Written > report.Used/5 {
				t.Errorf("another run wrote %d of %d bytes", report.Written, report.Used)
			}
			fixture.Check(t, s.to)
		})
	}
}

func notMountable(t *testing.T, path string, h *manifest.Head, at int) {
	t.Helper()
	if parts := fixture.Parts(t, path); len(parts) > 0 {
		t.Fatalf("record %d: there is a table with %d parts", at, len(parts))
	}
	p, _ := h.Part(2)
	if out, code := fixture.Try(t, "dumpe2fs", "-h", fmt.Sprintf("%s?offset=%d", path, p.Extent.Off)); code == 0 {
		t.Fatalf("record %d: the file system can be opened:\n%s", at, out)
	}
}

// TestSmallerIsReadBack flips a bit of a file when all have come, before the
// programs do their part: verify must find it.
func TestSmallerIsReadBack(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	src := blocksOf(t, scattered(t))
	for name, s := range ways(src) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.to = fill(t, 110<<20)
			s.logf = func(format string, args ...any) {
				if strings.HasPrefix(format, "copied") {
					flip(t, s.to, inFile(t, src))
				}
			}
			_, _, err := s.run(t.Context(), t)
			var lost *clone.LostError
			if !errors.As(err, &lost) {
				t.Errorf("got %v, want a LostError", err)
			}
		})
	}
}

// inFile is a byte of the root part that a file holds and that keeps its place.
func inFile(t *testing.T, src *clone.Blocks) int64 {
	t.Helper()
	root, _ := src.Head().Part(2)
	for _, e := range src.Used().Clip(extent.Extent{Off: root.Extent.Off, Len: 88 << 20}) {
		b := make([]byte, 1)
		if _, err := src.ReadAt(b, max(0, e.End()-1<<20)); err != nil {
			t.Fatal(err)
		}
		if e.Len > 2<<20 && b[0] != 0 {
			return e.End() - 1<<20
		}
	}
	t.Fatal("there is no large file")
	return 0
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Error(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, at); err != nil {
		t.Error(err)
	}
}

// TestSmallerRefused asks for what cannot be: a refusal with the reason, and not
// a byte is written.
func TestSmallerRefused(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	for _, c := range []struct {
		name    string
		options []string
		size    int64
		want    string
	}{
		{"blocks", nil, 40 << 20, "bytes are missing"},
		{"inodes", []string{"-N", "800"}, 100 << 20, "files more than a file system of"},
		{"stable", []string{"-O", "stable_inodes,encrypt"}, 120 << 20, "stable_inodes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			src := blocksOf(t, scattered(t, c.options...))
			for name, s := range ways(src) {
				s.to, s.logf = fixture.Sparse(t, name+".img", c.size), t.Logf
				_, _, err := s.run(t.Context(), t)
				var no *clone.Refusal
				if !errors.As(err, &no) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: got %v, want a refusal with %q", name, err, c.want)
				}
				untouched(t, s.to)
			}
		})
	}
}

// TestSmallerWithoutFUSE holds that a runner that cannot serve a device refuses,
// and says so.
func TestSmallerWithoutFUSE(t *testing.T) {
	t.Parallel()
	src := blocksOf(t, fixture.Card(t, "pi-mbr-fat-ext4"))
	s := ways(src)["planned"]
	s.bare, s.to = true, fixture.Sparse(t, "small.img", src.Head().Size-1<<20)
	_, _, err := s.run(t.Context(), t)
	var no *clone.Refusal
	if !errors.As(err, &no) || !strings.Contains(err.Error(), "needs FUSE") {
		t.Errorf("got %v, want a refusal that names FUSE", err)
	}
	untouched(t, s.to)
}
