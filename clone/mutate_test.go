package clone_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/clone"
	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/internal/fixture"
)

// A patched disk shows other bytes in one place.
type patched struct {
	io.ReaderAt
	off int64
	b   []byte
}

func (p patched) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.ReaderAt.ReadAt(b, off)
	here := extent.Extent{Off: off, Len: int64(n)}
	if cut := here.Intersect(extent.Extent{Off: p.off, Len: int64(len(p.b))}); cut.Len > 0 {
		copy(b[cut.Off-off:cut.End()-off], p.b[cut.Off-p.off:])
	}
	return n, err
}

func (p patched) String() string { return fmt.Sprintf("% x at %d", p.b, p.off) }

// mutations are other values of the bytes from off on: each flipped, zero and
// 255, and fields of 2 and 4 bytes that are zero or as large as they can be.
func mutations(of io.ReaderAt, was []byte, off int64) []patched {
	var all []patched
	for i := range was {
		for _, b := range []byte{^was[i], was[i] ^ 1, 0, 0xff} {
			all = append(all, patched{of, off + int64(i), []byte{b}})
		}
		for _, n := range []int{2, 4} {
			if i%n == 0 && i+n <= len(was) {
				all = append(all, patched{of, off + int64(i), make([]byte, n)}, patched{of, off + int64(i), bytes.Repeat([]byte{0xff}, n)})
			}
		}
	}
	return all
}

// tally counts what became of mutations.
type tally struct{ all, refused, whole, used, judged int }

func (c tally) String() string {
	return fmt.Sprintf("%d mutations: %d refused, %d all bytes, %d by what is in use, %d of these judged", c.all, c.refused, c.whole, c.used, c.judged)
}

// look surveys a disk, which must end soon, with a sentence or with parts that
// lie on the disk. It returns one that something could be lost of.
func (c *tally) look(t *testing.T, m patched, size int64) *clone.Blocks {
	t.Helper()
	c.all++
	start := time.Now()
	b, err := clone.NewBlocks(io.NewSectionReader(m, 0, size), size, 512)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("%v: it took %v", m, took)
	}
	if err != nil {
		c.refused++
		if len(err.Error()) < 20 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %q is no sentence", m, err)
		}
		return nil
	}
	for _, p := range b.Head().Parts {
		if err := (extent.Set{p.Extent}).Check(size); err != nil {
			t.Errorf("%v: part %d: %v", m, p.Num, err)
		}
	}
	if err := b.Used().Check(size); err != nil {
		t.Errorf("%v: used: %v", m, err)
	}
	if b.Used().Contains(extent.Extent{Len: size}) {
		c.whole++
		return nil
	}
	c.used++
	return b
}

// TestMutatedTables changes each byte and field of tables that real tools made.
// Where the table is taken, sfdisk sees the same parts, or all bytes are in use.
// sfdisk judges some of them; all of them in the campaign.
func TestMutatedTables(t *testing.T) {
	t.Parallel()
	mutatedTables(t, 60)
}

func TestLongMutatedTables(t *testing.T) {
	fixture.Long(t)
	mutatedTables(t, 1)
}

func mutatedTables(t *testing.T, nth int) {
	t.Helper()
	fixture.Need(t, "sfdisk")
	for _, card := range []string{"pi-mbr-fat-ext4", "pi-noobs", "gpt-fat-ext4"} {
		t.Run(card, func(t *testing.T) {
			path := fixture.Card(t, card)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			head := blocksOf(t, path).Head()
			var c tally
			for _, e := range tableBytes(head) {
				for i, m := range mutations(f, bytesOf(t, path, e), e.Off) {
					if nth > 1 && i%4 != 0 {
						continue
					}
					b := c.look(t, m, head.Size)
					if b != nil && c.used%nth == 0 {
						c.judged++
						tableJudged(t, f, m, b)
					}
				}
			}
			t.Log(c)
		})
	}
}

// tableBytes are the bytes of a table that mean something: of an MBR's sectors
// ID, lines and signature, of a GPT its headers and first entries too.
func tableBytes(h *manifest.Head) []extent.Extent {
	at := func(off, n int64) extent.Extent { return extent.Extent{Off: off, Len: n} }
	all := []extent.Extent{at(440, 72)}
	if h.Table.Kind == manifest.GPT {
		return append(all, at(512, 92), at(1024, 4*128), at(h.Size-512, 92))
	}
	for _, e := range h.Table.Entries {
		if e.EBR > 0 {
			all = append(all, at(e.EBR+446, 66))
		}
	}
	return all
}

// tableJudged writes the mutation for sfdisk to see, and takes it back.
func tableJudged(t *testing.T, f *os.File, m patched, b *clone.Blocks) {
	t.Helper()
	was := make([]byte, len(m.b))
	_, err := f.ReadAt(was, m.off)
	_, werr := f.WriteAt(m.b, m.off)
	if err := errors.Join(err, werr); err != nil {
		t.Fatal(err)
	}
	theirs, ours := map[int]string{}, map[int]string{}
	for _, p := range fixture.Parts(t, f.Name()) {
		if p.Size == 0 {
			continue // a line that holds something, but no part
		}
		theirs[p.Num] = fmt.Sprint(p.Off, p.Size)
	}
	for _, p := range b.Head().Parts {
		if p.Num > 0 {
			ours[p.Num] = fmt.Sprint(p.Extent.Off, p.Extent.Len)
		}
	}
	if fmt.Sprint(ours) != fmt.Sprint(theirs) {
		t.Errorf("%v: sfdisk sees %v, we see %v", m, theirs, ours)
	}
	if _, err := f.WriteAt(was, m.off); err != nil {
		t.Fatal(err)
	}
}

// TestMutatedFATs does the same to file systems of mkfs.vfat: boot sector, FSInfo
// and the front of the FAT. Where used clusters are told, a copy of them over
// noise is to fsck.vfat what the original is.
func TestMutatedFATs(t *testing.T) {
	t.Parallel()
	mutatedFATs(t, 60)
}

func TestLongMutatedFATs(t *testing.T) {
	fixture.Long(t)
	mutatedFATs(t, 1)
}

func mutatedFATs(t *testing.T, nth int) {
	t.Helper()
	fixture.Need(t, "mkfs.vfat", "fsck.vfat", "mcopy")
	for _, kind := range []struct {
		bits     string
		size     int64
		reserved int64
	}{{"12", 1 << 20, 512}, {"16", 9 << 20, 2048}, {"32", 34 << 20, 32 * 512}} {
		t.Run("FAT"+kind.bits, func(t *testing.T) {
			path := fatWithFiles(t, kind.bits, kind.size)
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			at := func(off, n int64) extent.Extent { return extent.Extent{Off: off, Len: n} }
			var c tally
			for _, e := range []extent.Extent{at(0, 96), at(508, 12), at(996, 16), at(kind.reserved, 32)} {
				for i, m := range mutations(f, bytesOf(t, path, e), e.Off) {
					if nth > 1 && i%4 != 0 {
						continue
					}
					b := c.look(t, m, kind.size)
					if b != nil && c.used%nth == 0 {
						c.judged++
						fatJudged(t, m, b)
					}
				}
			}
			t.Log(c)
		})
	}
}

func fatWithFiles(t *testing.T, bits string, size int64) string {
	t.Helper()
	path := fixture.Sparse(t, "fat.img", size)
	fixture.Run(t, "mkfs.vfat", "--invariant", "-F", bits, "-s", "1", path)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, bytes.Repeat([]byte("content "), 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"A.TXT", "a long name.txt"} {
		fixture.Run(t, "mcopy", "-i", path, file, "::"+name)
	}
	return path
}

func fatJudged(t *testing.T, m patched, b *clone.Blocks) {
	t.Helper()
	size := b.Head().Size
	source, copied := make([]byte, size), bytes.Repeat([]byte{0xa5}, int(size))
	if _, err := m.ReadAt(source, 0); err != nil {
		t.Fatal(err)
	}
	for _, e := range b.Used() {
		copy(copied[e.Off:e.End()], source[e.Off:])
	}
	want, got := fsckVFAT(t, source), fsckVFAT(t, copied)
	if want != got {
		t.Errorf("%v: fsck.vfat says of the source\n%sof the copy\n%s", m, want, got)
	}
}

func fsckVFAT(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fat.img")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	out, code := fixture.Try(t, "fsck.vfat", "-n", "-v", path)
	return fmt.Sprintf("exit code %d\n%s", code, strings.ReplaceAll(out, path, "FAT"))
}
