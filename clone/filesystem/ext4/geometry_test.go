package ext4_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/ext4"
	"lifeboat/internal/fixture"
)

var (
	groupLine = regexp.MustCompile(`^Group \d+: \(Blocks (\d+)-(\d+)\)`)
	tablePart = regexp.MustCompile(`(?:superblock|Group descriptors?|GDT blocks|bitmap|Inode table) at (\d+)(?:-(\d+))?`)
	freeCount = regexp.MustCompile(`^  (\d+) free (?:blocks|clusters), (\d+) free inodes`)
)

// holdGeometry holds groups and tables against dumpe2fs, and what they use against
// used.
func holdGeometry(t *testing.T, f *ext4.FS, img []byte, used extent.Set, path string) {
	t.Helper()
	g, err := f.Geometry()
	must(t, err)
	groups, err := f.Groups()
	must(t, err)
	if got := g.GroupsOf(g.Blocks); got != int64(len(groups)) {
		t.Errorf("got %d groups of %d blocks, want %d", got, g.Blocks, len(groups))
	}
	bytesOf := func(from, to string) extent.Extent {
		a, _ := strconv.ParseInt(from, 10, 64)
		b, err := strconv.ParseInt(to, 10, 64)
		if err != nil {
			b = a
		}
		return extent.Extent{Off: a * g.Block, Len: (b + 1 - a) * g.Block}
	}
	tables, i := []extent.Extent{{Off: 0, Len: max(g.Block, ext4.SuperOff+1024)}}, int64(-1)
	for line := range strings.Lines(fixture.Run(t, "dumpe2fs", path)) {
		if m := groupLine.FindStringSubmatch(line); m != nil {
			i++
			if got, want := g.Extent(i), bytesOf(m[1], m[2]); got != want {
				t.Errorf("group %d: got %v, want %v", i, got, want)
			}
			continue
		}
		for _, m := range tablePart.FindAllStringSubmatch(line, -1) {
			if i >= 0 {
				tables = append(tables, bytesOf(m[1], m[2]))
			}
		}
		if m := freeCount.FindStringSubmatch(line); m != nil && m[2] != fmt.Sprint(groups[i].FreeInodes) {
			t.Errorf("group %d: got %d free inodes, want %s", i, groups[i].FreeInodes, m[2])
		}
	}
	if i != int64(len(groups))-1 {
		t.Fatalf("dumpe2fs has %d groups, want %d", i+1, len(groups))
	}
	if got, want := g.Tables(groups), extent.Of(tables...); len(got.Subtract(want))+len(want.Subtract(got)) > 0 {
		t.Errorf("tables: extra %v, missing %v", got.Subtract(want), want.Subtract(got))
	}
	holdUse(t, g, groups, img, used)
}

// holdUse holds what the bitmaps of groups say against used.
func holdUse(t *testing.T, g ext4.Geometry, groups []ext4.Group, img []byte, used extent.Set) {
	t.Helper()
	sum := g.Tables(groups)
	for i, x := range groups {
		if x.Unwritten {
			continue
		}
		set, known := g.Used(int64(i), x, img[x.BlockBitmap*g.Block:][:g.Block])
		if !known {
			t.Errorf("group %d: its bitmap is not known", i)
		}
		sum = sum.Union(set)
	}
	if len(sum.Subtract(used))+len(used.Subtract(sum)) > 0 {
		t.Errorf("groups: extra %v, missing %v", sum.Subtract(used), used.Subtract(sum))
	}
	if x := groups[0]; !x.Unwritten {
		if _, known := g.Used(0, x, make([]byte, g.Block)); known {
			t.Error("a bitmap of zeros: got known, want doubt")
		}
	}
}

// spoilData spoils the bytes of regular files: e2fsck must find nothing, and no
// file may have kept a byte.
func spoilData(t *testing.T, img []byte, path string) {
	t.Helper()
	f, err := ext4.Open(bytes.NewReader(img), int64(len(img)))
	must(t, err)
	data, err := f.FileData(0)
	must(t, err)
	must(t, data.Check(int64(len(img))))
	const from = 1<<20 + 100
	behind, err := f.FileData(from)
	must(t, err)
	if want := data.Clip(extent.Extent{Off: from, Len: int64(len(img))}); behind.Bytes() != want.Bytes() || len(behind.Subtract(want)) > 0 {
		t.Errorf("data from %d on: got %d bytes, want %d", from, behind.Bytes(), want.Bytes())
	}
	for _, e := range data {
		copy(img[e.Off:e.End()], bytes.Repeat([]byte{0xa5}, int(e.Len)))
	}
	must(t, os.WriteFile(path, img, 0o600))
	if code := e2fsck(t, path, "-fn"); code != 0 {
		t.Errorf("e2fsck -fn behind spoiled files: got code %d, want 0", code)
	}
	inline := strings.Contains(fixture.Run(t, "dumpe2fs", "-h", path), "inline_data")
	must(t, fs.WalkDir(f.Files(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := fs.ReadFile(f.Files(), name)
		must(t, err)
		if inline && len(b) < 500 {
			return nil
		}
		if kept := bytes.Trim(b, "\xa5\x00"); len(kept) > 0 || bytes.IndexByte(b, 0) >= 0 && name != "hole" {
			t.Errorf("%q kept some of its %d bytes", name, len(b))
		}
		return nil
	}))
}

// askGeometry wants no panic, and sets that are some.
func askGeometry(t *testing.T, f *ext4.FS, img []byte) {
	g, err := f.Geometry()
	if err != nil {
		return
	}
	size := int64(len(img))
	hold := func(s extent.Set) {
		t.Helper()
		if err := s.Check(size); err != nil {
			t.Fatal(err)
		}
	}
	for _, blocks := range []int64{0, g.Blocks / 2, g.Blocks} {
		n := g.GroupsOf(blocks)
		g.HasSuper(n - 1)
		if got := g.DescriptorBlocks(n); got > n {
			t.Fatalf("got %d blocks of descriptors for %d groups", got, n)
		}
	}
	hold(g.Descriptors())
	if groups, err := f.Groups(); err == nil {
		hold(g.Tables(groups))
		for i, x := range groups {
			used, _ := g.Used(int64(i), x, img[:g.Block])
			hold(used.Subtract(extent.Of(g.Extent(int64(i)))))
			hold(used)
		}
	}
	if data, err := f.FileData(size / 2); err == nil {
		hold(data)
	}
}

// FuzzGeometry gets behind the checksums, which FuzzOpen seldom does.
func FuzzGeometry(f *testing.F) {
	fixture.Need(f, "mke2fs")
	for _, args := range []string{"-t ext4 -b 1024", "-t ext2 -b 1024 -g 256", "-t ext4 -b 1024 -O meta_bg,^resize_inode"} {
		path := fixture.Sparse(f, "seed", mib)
		fixture.Run(f, "mke2fs", append(strings.Fields(args), "-q", "-F", path)...)
		b, err := os.ReadFile(path)
		must(f, err)
		f.Add(b[ext4.SuperOff:][:1024], b[2048:16<<10])
	}
	f.Fuzz(func(t *testing.T, super, rest []byte) {
		const offMagic, offRO, csums = 0x38, 0x64, 0x410
		img := make([]byte, mib)
		copy(img[copy(img[ext4.SuperOff:], super[:min(len(super), 1024)])+ext4.SuperOff:], rest)
		b, le := img[ext4.SuperOff:], binary.LittleEndian
		le.PutUint16(b[offMagic:], 0xef53)
		le.PutUint32(b[offRO:], le.Uint32(b[offRO:])&^csums)
		if e, err := ext4.Open(bytes.NewReader(img), mib); err == nil {
			askGeometry(t, e, img)
			_ = e.SetTimes(image(img), 2, ext4.Times{})
		}
	})
}
