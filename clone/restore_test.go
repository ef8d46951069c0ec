package clone_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
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
	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
	"lifeboat/internal/fixture"
)

func blocksOf(tb testing.TB, path string) *clone.Blocks {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		tb.Fatal(err)
	}
	b, err := clone.NewBlocks(f, info.Size(), 512)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { b.Close() })
	return b
}

// restore plans and executes a restore to an image file in a disk's place.
func restore(ctx context.Context, tb testing.TB, src clone.Source, to string, o clone.Options) (*clone.Report, error) {
	tb.Helper()
	look := src
	if f, ok := src.(faulty); ok {
		look = f.Source // its faults are for what comes behind the plan
	}
	head, err := clone.Probe(ctx, look)
	if err != nil {
		return nil, err
	}
	sys := disk.Host()
	facts, err := sys.Look(to)
	if err != nil {
		tb.Fatal(err)
	}
	o.Random = rand.Reader
	plan, err := clone.PlanRestore(head, facts, o)
	if err != nil {
		return nil, err
	}
	target, err := disk.Claim(ctx, sys, facts, nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer target.Close()
	run := clone.Runner{Tools: filesystem.Tools{Run: filesystem.Exec}, Logf: tb.Logf, Clock: time.Now}
	return run.Execute(ctx, plan, src, target)
}

// tree is what the files of a disk's part hold: a line for each.
func tree(tb testing.TB, path string, num int) map[string]string {
	tb.Helper()
	b := blocksOf(tb, path)
	p, ok := b.Head().Part(num)
	if !ok {
		tb.Fatalf("%s has no part %d", path, num)
	}
	files, err := filesystem.Files(io.NewSectionReader(b, p.Extent.Off, p.Extent.Len), p.Extent.Len, p.FS)
	if err != nil {
		tb.Fatal(err)
	}
	lines := map[string]string{}
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%v %d %v", info.Mode(), info.Size(), info.ModTime().Unix())
		if d.Type().IsRegular() {
			content, err := fs.ReadFile(files, name)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %x", sha256.Sum256(content))
		}
		if !d.IsDir() {
			lines[name] = line
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return lines
}

func sameTree(tb testing.TB, a, b string, num int) {
	tb.Helper()
	want, got := tree(tb, a, num), tree(tb, b, num)
	if len(want) == 0 {
		tb.Fatalf("part %d of %s holds no files", num, a)
	}
	for name, line := range want {
		if got[name] != line {
			tb.Errorf("part %d: %s: got %q, want %q", num, name, got[name], line)
		}
	}
	if len(got) != len(want) {
		tb.Errorf("part %d: got %d files, want %d", num, len(got), len(want))
	}
}

// poison fills every byte of the disk that is not in use with 0xA5.
func poison(tb testing.TB, path string) {
	tb.Helper()
	b := blocksOf(tb, path)
	keep := b.Used().Union(b.Head().Table.Own)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	all := extent.Of(extent.Extent{Off: 0, Len: b.Head().Size})
	for _, e := range all.Subtract(keep) {
		if _, err := f.WriteAt([]byte(strings.Repeat("\xa5", int(e.Len))), e.Off); err != nil {
			tb.Fatal(err)
		}
	}
}

// fill makes an image file of size bytes that are all 0xA5: a used card.
func fill(tb testing.TB, size int64) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "target.img")
	if err := os.WriteFile(path, []byte(strings.Repeat("\xa5", int(size))), 0o644); err != nil {
		tb.Fatal(err)
	}
	return path
}

// TestRestoreCards brings each card, with all that it does not use poisoned, to
// a used card of the same size and to a larger one. The file systems' own tools
// judge, and the files.
func TestRestoreCards(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	fixture.Need(t, "sfdisk", "e2fsck", "resize2fs", "fsck.vfat")
	for _, name := range fixture.Cards(t) {
		for _, more := range []int64{0, 64 << 20} {
			t.Run(fmt.Sprintf("%s+%d", name, more), func(t *testing.T) {
				t.Parallel()
				card := fixture.Card(t, name)
				poison(t, card)
				src := blocksOf(t, card)
				to := fill(t, src.Head().Size+more)
				report, err := restore(t.Context(), t, src, to, clone.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if !report.Verified {
					t.Error("it was not verified")
				}
				sameParts(t, card, to, more)
				if name == "unknown-fs" { // no tool here knows it: each byte must be the same
					sameBytes(t, src, to)
					return
				}
				fixture.Check(t, to)
				for _, p := range src.Head().Parts {
					if p.FS.Type == "vfat" || filesystem.CanGrow(p.FS) && p.Why == "" {
						sameTree(t, card, to, p.Num)
					}
				}
			})
		}
	}
}

// sameParts holds the restored table against the card's, as sfdisk reads both.
func sameParts(t *testing.T, card, to string, more int64) {
	t.Helper()
	want, got := fixture.Parts(t, card), fixture.Parts(t, to)
	if len(got) != len(want) {
		t.Fatalf("got %d parts, want %d", len(got), len(want))
	}
	grown := int64(0)
	for i := range want {
		if got[i].Num != want[i].Num || got[i].Type != want[i].Type {
			t.Errorf("part %d: got %+v, want %+v", want[i].Num, got[i], want[i])
		}
		grown += got[i].Size - want[i].Size
	}
	ext := filesystem.IsExt(blocksOf(t, card).Head().Parts[0].FS.Type) || len(want) > 1
	if more > 0 && ext && grown < more-8<<20 && !strings.Contains(card, "unknown") {
		t.Errorf("the parts grew by %d bytes on a disk that is %d larger", grown, more)
	}
}

func sameBytes(t *testing.T, src *clone.Blocks, to string) {
	t.Helper()
	f, err := os.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := clone.Compare(t.Context(), src, src.Head(), f, nil)
	if err != nil || len(c.Differing) > 0 || c.Compared < src.Head().Parts[0].Extent.Len {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestSmallerIsRefusedWithTheBytesMissing(t *testing.T) {
	t.Parallel()
	src := blocksOf(t, fixture.Card(t, "pi-mbr-fat-ext4"))
	to := fixture.Sparse(t, "small.img", src.Head().Size-2<<20)
	_, err := restore(t.Context(), t, src, to, clone.Options{})
	var no *clone.Refusal
	var small *layout.TooSmallError
	if !errors.As(err, &no) || !errors.As(err, &small) {
		t.Fatalf("got %v, want a refusal", err)
	}
	if small.Missing != 2<<20 {
		t.Errorf("missing: got %d, want %d", small.Missing, 2<<20)
	}
	untouched(t, to)
}

func untouched(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !extent.IsZero(b) {
		t.Error("the target was written to")
	}
}

// TestNewIDs holds that a clone can be plugged in beside its source: no ID is
// the same, and each reference has followed.
func TestNewIDs(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	for _, name := range []string{"pi-mbr-fat-ext4", "gpt-fat-ext4", "swap-behind-root"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := blocksOf(t, fixture.Card(t, name))
			to := fixture.Sparse(t, "clone.img", src.Head().Size+200<<20) // grows by more than a block group
			report, err := restore(t.Context(), t, src, to, clone.Options{IDs: clone.NewIDs})
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Findings) == 0 {
				t.Error("no reference was looked at")
			}
			for _, f := range report.Findings {
				if !f.OK {
					t.Errorf("%s does not resolve: %s", f.Ref, f.Text)
				}
			}
			fixture.Check(t, to)
			differentIDs(t, src.Head(), blocksOf(t, to).Head())
		})
	}
}

func differentIDs(t *testing.T, old, new *manifest.Head) {
	t.Helper()
	if old.Table.ID == new.Table.ID {
		t.Errorf("the disk ID %s stayed", old.Table.ID)
	}
	for i, p := range old.Parts {
		if p.FS.UUID != "" && p.FS.UUID == new.Parts[i].FS.UUID {
			t.Errorf("part %d: the UUID %s stayed", p.Num, p.FS.UUID)
		}
	}
}

var errFault = errors.New("a fault made on purpose")

// faulty is a source that breaks at record number at.
type faulty struct {
	clone.Source
	at     int
	breaks func() error
	seen   *int
	hit    *bool
}

type faultyPass struct {
	clone.Pass
	f faulty
}

func (f faulty) Open(ctx context.Context, want extent.Set) (clone.Pass, error) {
	p, err := f.Source.Open(ctx, want)
	return faultyPass{p, f}, err
}

func (p faultyPass) Next(ctx context.Context) (extent.Record, error) {
	if *p.f.seen == p.f.at {
		*p.f.hit = true
		if err := p.f.breaks(); err != nil {
			return extent.Record{}, err
		}
	}
	*p.f.seen++
	return p.Pass.Next(ctx)
}

// TestFaultAtEveryRecord breaks a small restore at each record in turn, once by
// an error and once by an interrupt. The error must tell that the target was
// touched, there must be no table, and a second run must succeed.
func TestFaultAtEveryRecord(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	card := fixture.Card(t, "pi-mbr-fat-ext4")
	src := blocksOf(t, card)
	to := fill(t, src.Head().Size)
	for at := 0; ; at++ {
		for _, how := range []string{"error", "interrupt"} {
			ctx, cancel := context.WithCancel(t.Context())
			seen, hit := 0, false
			broken := func() error { return errFault }
			if how == "interrupt" {
				broken = func() error { cancel(); return nil }
			}
			_, err := restore(ctx, t, faulty{src, at, broken, &seen, &hit}, to, clone.Options{})
			cancel()
			if !hit {
				if at < 10 {
					t.Fatalf("only %d records", at)
				}
				return // behind the last record: nothing broke
			}
			var touched *clone.TouchedError
			if !errors.As(err, &touched) {
				t.Fatalf("%s at record %d: got %v, want a TouchedError", how, at, err)
			}
			if parts := fixture.Parts(t, to); len(parts) > 0 {
				t.Fatalf("%s at record %d left a table with %d parts", how, at, len(parts))
			}
		}
		if at%16 == 0 {
			if _, err := restore(t.Context(), t, src, to, clone.Options{}); err != nil {
				t.Fatalf("second run after a fault at record %d: %v", at, err)
			}
			fixture.Check(t, to)
		}
	}
}

// TestCompare holds that a restored disk equals its source, and that one
// flipped bit is found.
func TestCompare(t *testing.T) {
	t.Parallel()
	card := fixture.Card(t, "pi-mbr-fat-ext4")
	src := blocksOf(t, card)
	copied, err := os.ReadFile(card)
	if err != nil {
		t.Fatal(err)
	}
	c, err := clone.Compare(t.Context(), src, src.Head(), strings.NewReader(string(copied)), nil)
	if err != nil || len(c.Differing) != 0 || c.Compared != src.Used().Subtract(src.Void()).Bytes() {
		t.Fatalf("got %+v, %v", c, err)
	}
	at := src.Used()[len(src.Used())/2].Off
	copied[at] ^= 1
	c, err = clone.Compare(t.Context(), src, src.Head(), strings.NewReader(string(copied)), nil)
	if err != nil || len(c.Differing) != 1 || !c.Differing[0].Contains(extent.Extent{Off: at, Len: 1}) {
		t.Errorf("a flipped bit at %d: got %+v, %v", at, c, err)
	}
}
