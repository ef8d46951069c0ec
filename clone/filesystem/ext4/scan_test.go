package ext4_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/ext4"
	"lifeboat/internal/fixture"
)

// TestScanRefuses what increments were not tried with.
func TestScanRefuses(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs")
	for name, args := range map[string]string{
		"encryption": "-t ext4 -O encrypt", "casefold": "-t ext4 -O casefold", "verity": "-t ext4 -O verity",
		"no journal": "-t ext4 -O ^has_journal", "large blocks": "-t ext4 -b 65536",
	} {
		_, err := ext4.ScanMounted(t.Context(), made(t, args), 64*mib, ext4.ScanOptions{})
		var unsure *ext4.UnsureError
		if !errors.As(err, &unsure) {
			t.Errorf("%s: got %v, want a doubt", name, err)
		}
	}
}

// TestScanOfNothing finds nothing to be the same without an earlier state, and
// nearly all with it.
func TestScanOfNothing(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs")
	r := made(t, "-t ext4 -d .")
	first, err := ext4.ScanMounted(t.Context(), r, 64*mib, ext4.ScanOptions{Look: time.Now().Add(time.Hour)})
	must(t, err)
	if len(first.Same) > 0 || first.Reset != "" {
		t.Errorf("without a state %v are the same, %q", first.Same, first.Reset)
	}
	again, err := ext4.ScanMounted(t.Context(), r, 64*mib, ext4.ScanOptions{Was: first.State, Look: time.Now()})
	must(t, err)
	f, err := ext4.Open(r, 64*mib)
	must(t, err)
	used, err := f.Used()
	must(t, err)
	if rest := used.Subtract(again.Same).Bytes(); rest > 5*mib || len(again.Same) == 0 {
		t.Errorf("%d bytes are not proven, more than the journal", rest)
	}
	again.State.Forget(extent.Set{{Off: 0, Len: 64 << 20}})
	third, err := ext4.ScanMounted(t.Context(), r, 64*mib, ext4.ScanOptions{Was: again.State, Look: time.Now()})
	must(t, err)
	if known := third.Same.Intersect(used).Bytes(); known > 8*mib {
		t.Errorf("%d bytes are proven by what was forgotten", known)
	}
}

// TestScanYoung takes no inode for known that changed just before the look.
func TestScanYoung(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs")
	src := t.TempDir()
	must(t, os.WriteFile(src+"/file", bytes.Repeat([]byte{'x'}, mib), 0o644))
	for _, c := range []struct {
		args  string
		after time.Duration // its change
		known bool
	}{
		{"-t ext4", 19 * time.Millisecond, false},
		{"-t ext4", 21 * time.Millisecond, true},
		{"-t ext4", -time.Hour, false},
		{"-t ext4 -I 128", 900 * time.Millisecond, false},
		{"-t ext4 -I 128", 1100 * time.Millisecond, true},
	} {
		r := made(t, c.args+" -d "+src)
		f, err := ext4.Open(r, 64*mib)
		must(t, err)
		info, err := fs.Stat(f.Files(), "file")
		must(t, err)
		changed := info.Sys().(*ext4.Stat).ChangeTime
		first, err := ext4.ScanMounted(t.Context(), r, 64*mib, ext4.ScanOptions{Look: changed.Add(c.after)})
		must(t, err)
		again, err := ext4.ScanMounted(t.Context(), r, 64*mib, ext4.ScanOptions{Was: first.State, Look: changed.Add(time.Hour)})
		must(t, err)
		used, err := f.Used()
		must(t, err)
		if known := used.Subtract(again.Same).Bytes() < 5*mib; known != c.known {
			t.Errorf("%s, looked at %s behind its change: known %v, want %v", c.args, c.after, known, c.known)
		}
	}
}

// TestScanTree exchanges two blocks of a file in its tree of extents, as
// EXT4_IOC_MOVE_EXT does: neither its inode nor the bitmaps tell. debugfs is the
// judge of where they lie.
func TestScanTree(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs", "debugfs")
	src := t.TempDir()
	pieces, err := os.Create(src + "/pieces")
	must(t, err)
	for i := range int64(400) { // with a hole behind each
		_, err := pieces.WriteAt(bytes.Repeat([]byte{byte(i)}, 4096), 8192*i)
		must(t, err)
	}
	must(t, pieces.Close())
	path := fixture.Sparse(t, "card", 64*mib)
	fixture.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-O", "^metadata_csum", "-d", src, path)
	at := func(logical int) (block int64) {
		_, err := fmt.Sscan(fixture.Run(t, "debugfs", "-R", fmt.Sprintf("bmap /pieces %d", logical), path), &block)
		must(t, err)
		return block
	}
	scan := func(was *ext4.State) *ext4.Scan {
		img, err := os.ReadFile(path)
		must(t, err)
		s, err := ext4.ScanMounted(t.Context(), bytes.NewReader(img), 64*mib, ext4.ScanOptions{Was: was, Look: time.Now().Add(time.Hour)})
		must(t, err)
		return s
	}
	a, b := at(20), at(22)
	two := extent.Set{{Off: a * 4096, Len: 4096}}.Union(extent.Set{{Off: b * 4096, Len: 4096}})
	first := scan(nil)
	if known := scan(first.State).Same.Intersect(two).Bytes(); known != 8192 {
		t.Errorf("nothing changed, and %d bytes of two blocks are known", known)
	}
	exchange(t, path, uint32(a), uint32(b))
	if at(20) != b || at(22) != a {
		t.Fatal("they are not exchanged")
	}
	if known := scan(first.State).Same.Intersect(two); len(known) > 0 {
		t.Errorf("%v are taken for what they were", known)
	}
}

// exchange exchanges two blocks in a leaf of a tree (Linux v6.12,
// fs/ext4/ext4_extents.h: 12 bytes of header, and of each extent, whose block's
// low half is at 8).
func exchange(t *testing.T, path string, a, b uint32) {
	t.Helper()
	img, err := os.ReadFile(path)
	must(t, err)
	le := binary.LittleEndian
	for at := 0; at < len(img); at += 4096 {
		leaf := img[at:][:4096]
		if le.Uint16(leaf) != 0xf30a || le.Uint16(leaf[6:]) != 0 {
			continue
		}
		for i := 1; i <= int(le.Uint16(leaf[2:])); i++ {
			switch start := leaf[12*i+8:]; le.Uint32(start) {
			case a:
				le.PutUint32(start, b)
			case b:
				le.PutUint32(start, a)
			}
		}
	}
	must(t, os.WriteFile(path, img, 0o600))
}

// made is a file system of 64 MiB.
func made(t *testing.T, args string) io.ReaderAt {
	t.Helper()
	path := fixture.Sparse(t, "card", 64*mib)
	fixture.Run(t, "mke2fs", append(strings.Fields(args), "-q", "-F", path)...)
	b, err := os.ReadFile(path)
	must(t, err)
	return bytes.NewReader(b)
}

// FuzzScan meets hostile file systems: no panic, and all in bounds.
func FuzzScan(f *testing.F) {
	f.Fuzz(func(t *testing.T, packed []byte) {
		img := unpack(packed)
		r := bytes.NewReader(img)
		s, err := ext4.ScanMounted(t.Context(), r, int64(len(img)), ext4.ScanOptions{Look: time.Unix(2e9, 0)})
		if err != nil {
			return
		}
		again, err := ext4.ScanMounted(t.Context(), r, int64(len(img)), ext4.ScanOptions{Was: s.State, Look: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Same.Check(int64(len(img))); err != nil {
			t.Error(err)
		}
		again.State.Forget(extent.Set{{Off: 0, Len: int64(len(img))}})
	})
}
