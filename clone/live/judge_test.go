package live_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lifeboat/clone/extent"
	"lifeboat/internal/fixture"
)

// judge holds an image against what another program read of the frozen disk: no
// byte that dumpe2fs does not call free may differ, nor one outside of the ext4
// part; but the journal's body is zeros. Then e2fsck and the writer's checksums
// have their say.
func (c *card) judge(tb testing.TB, image, truth string) {
	tb.Helper()
	want := extent.Of(extent.Extent{Off: mib, Len: c.part2.Off - mib}).Union(c.usedByDumpe2fs(tb, truth))
	a, b := read(tb, image), read(tb, truth)
	for _, e := range c.journalByDebugfs(tb, truth) {
		if !extent.IsZero(a[e.Off:e.End()]) {
			tb.Errorf("the image has more than zeros in the journal's body at %v", e)
		}
		clear(b[e.Off:e.End()])
	}
	for _, e := range want {
		if !bytes.Equal(a[e.Off:e.End()], b[e.Off:e.End()]) {
			off := e.Off
			for a[off] == b[off] {
				off++
			}
			tb.Errorf("the image differs from the frozen disk at byte %d, which is in use", off)
			break
		}
	}
	c.check(tb, image)
}

func read(tb testing.TB, file string) []byte {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// usedByDumpe2fs are the bytes of the ext4 part that dumpe2fs does not list as
// free.
func (c *card) usedByDumpe2fs(tb testing.TB, image string) extent.Set {
	tb.Helper()
	part := fixture.Cut(tb, image, fixture.Part{Num: 2, Off: c.part2.Off, Size: c.part2.Len})
	defer os.Remove(part)
	block := int64(0)
	var free []extent.Extent
	for line := range strings.Lines(fixture.Run(tb, "dumpe2fs", part)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case key == "Block size":
			fmt.Sscan(value, &block)
		case key == "Free blocks" && strings.HasPrefix(line, " "):
			for _, run := range strings.Split(value, ",") {
				var first, last int64
				switch n, _ := fmt.Sscanf(strings.TrimSpace(run), "%d-%d", &first, &last); n {
				case 1:
					free = append(free, extent.Extent{Off: first * block, Len: block})
				case 2:
					free = append(free, extent.Extent{Off: first * block, Len: (last - first + 1) * block})
				}
			}
		}
	}
	if block == 0 || len(free) == 0 {
		tb.Fatal("dumpe2fs is not understood")
	}
	return extent.Of(extent.Extent{Off: 0, Len: c.part2.Len}).Subtract(extent.Of(free...)).Shift(c.part2.Off)
}

// journalByDebugfs is the body of the ext4 part's journal: inode 8 without its first
// block. It is empty where there is no journal.
func (c *card) journalByDebugfs(tb testing.TB, image string) extent.Set {
	tb.Helper()
	part := fixture.Cut(tb, image, fixture.Part{Num: 2, Off: c.part2.Off, Size: c.part2.Len})
	defer os.Remove(part)
	var block int64
	for line := range strings.Lines(fixture.Run(tb, "dumpe2fs", "-h", part)) {
		if value, ok := strings.CutPrefix(line, "Block size:"); ok {
			fmt.Sscan(value, &block)
		}
	}
	var body []extent.Extent
	for _, m := range mapped.FindAllStringSubmatch(fixture.Run(tb, "debugfs", "-R", "stat <8>", part), -1) {
		first, last, at := number(m[1]), max(number(m[1]), number(m[2])), number(m[3])
		if first == 0 {
			first, at = 1, at+1
		}
		body = append(body, extent.Extent{Off: at * block, Len: (last - first + 1) * block})
	}
	return extent.Of(body...).Shift(c.part2.Off)
}

// mapped is a run of a file in what debugfs says: (FIRST-LAST):BLOCK-BLOCK.
var mapped = regexp.MustCompile(`\((\d+)(?:-(\d+))?\):(\d+)`)

// number is 0 for what is none.
func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// check lets e2fsck judge the image's root, and the writer's own checksums.
// Files that were deleted while open are cleared first, as every mount does.
func (c *card) check(tb testing.TB, image string) {
	tb.Helper()
	part := fixture.Cut(tb, image, fixture.Part{Num: 2, Off: c.part2.Off, Size: c.part2.Len})
	defer os.Remove(part)
	if out := fixture.Run(tb, "dumpe2fs", "-h", part); strings.Contains(out, "needs_recovery") {
		tb.Error("the image's journal waits for a replay: it was not frozen")
	}
	if out, code := fixture.Try(tb, "e2fsck", "-p", part); code > 1 {
		tb.Errorf("e2fsck -p: exit code %d\n%s", code, out)
	}
	if out, code := fixture.Try(tb, "e2fsck", "-fn", part); code != 0 {
		tb.Errorf("e2fsck -fn: exit code %d\n%s", code, out)
	}
	node, dir := fixture.Loop(tb, part), tb.TempDir()
	if err := unix.Mount(node, dir, "ext4", unix.MS_RDONLY, ""); err != nil {
		tb.Errorf("mount the image: %v", err)
		return
	}
	defer fixture.Unmount(dir)
	if _, err := os.Stat(filepath.Join(dir, "work")); err != nil {
		return // nobody wrote
	}
	if err := checkWritten(filepath.Join(dir, "work")); err != nil {
		tb.Error(err)
	}
}
