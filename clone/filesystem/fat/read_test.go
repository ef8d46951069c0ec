package fat_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/fat"
	"lifeboat/internal/fixture"
)

// matrix is what mkfs.vfat can make.
func matrix() []kind {
	var all []kind
	for _, fats := range []string{"1", "2"} {
		for _, sector := range []string{"512", "4096"} {
			for _, per := range []string{"1", "8", "32"} {
				size := func(clusters int64) int64 { // what so many clusters and the rest take
					s, _ := strconv.ParseInt(sector, 10, 64)
					p, _ := strconv.ParseInt(per, 10, 64)
					return clusters*s*p + clusters*8 + 80*s
				}
				for bits, n := range map[string]int64{"12": 1500, "16": 9000, "32": 70000} {
					name := fmt.Sprintf("fat%s-s%s-S%s-f%s", bits, per, sector, fats)
					all = append(all, kind{name, size(n), []string{"-F", bits, "-s", per, "-S", sector, "-f", fats, "-n", "BOOTFS"}})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b kind) int { return strings.Compare(a.name, b.name) })
	return all
}

// mtools writes 70 files of all sorts into each kind of file system; we must
// read the same, and know the used bytes exactly: with all others poisoned,
// fsck.vfat finds nothing and mtools reads the same.
func TestReadMatrix(t *testing.T) {
	t.Parallel()
	files := samples(70, 12000)
	maps.DeleteFunc(files, func(name, _ string) bool { return asMtoolsName(name) != name })
	from := write(t, files)
	for _, k := range matrix() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			path := mkfs(t, k.size, k.args...)
			want := map[string]string{"sub/": "", "sub/deeper/": ""}
			mtools(t, "mmd", "-i", path, "::sub", "::sub/deeper")
			names := slices.Sorted(maps.Keys(files))
			copyIn(t, path, from, "::", names[:10])
			copyIn(t, path, from, "::sub", names[10:40])
			copyIn(t, path, from, "::sub/deeper", names[40:])
			// holes, so that chains are broken up
			gone := []string{"-i", path}
			for i, name := range names {
				dir := []string{"", "sub/", "sub/deeper/"}[min((i+20)/30, 2)]
				if i%4 == 0 {
					gone = append(gone, "::"+dir+name)
				} else {
					want[dir+name] = files[name]
				}
			}
			mtools(t, "mdel", gone...)
			big := string(bytes.Repeat([]byte("0123456789abcdef"), 20000))
			want["big.bin"] = big
			copyIn(t, path, write(t, map[string]string{"big.bin": big}), "::", []string{"big.bin"})

			v := open(t, path)
			sameTree(t, tree(t, v), want)
			check(t, v)
			checkFacts(t, v, path, k)
			poison(t, v, path)
			clean(t, path)
			sameTree(t, mcopyOut(t, path), want)
		})
	}
}

func copyIn(t *testing.T, image, dir, to string, names []string) {
	t.Helper()
	args := []string{"-m", "-i", image}
	for _, n := range names {
		args = append(args, filepath.Join(dir, n))
	}
	mtools(t, "mcopy", append(args, to)...)
}

// checkFacts compares what v says of itself with what mkfs.vfat was told, and
// with what fsck.vfat counts.
func checkFacts(t *testing.T, v *fat.FS, path string, k kind) {
	t.Helper()
	if got, want := v.Type(), "fat"+k.args[1]; got != want {
		t.Errorf("Type: got %s, want %s", got, want)
	}
	if got := v.Label(); got != "BOOTFS" {
		t.Errorf("Label: got %q, want BOOTFS", got)
	}
	if got := v.Serial(); got != "1234-ABCD" {
		t.Errorf("Serial: got %q, want 1234-ABCD", got)
	}
	if v.Dirty() {
		t.Error("Dirty: got true, want false")
	}
	if notes := v.Notes(); len(notes) != 0 {
		t.Errorf("Notes: got %q, want none", notes)
	}
	out := fixture.Run(t, "fsck.vfat", "-n", "-v", path)
	number := func(pattern string) int64 {
		m := regexp.MustCompile(pattern).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("fsck.vfat -v says nothing like %q:\n%s", pattern, out)
		}
		n, _ := strconv.ParseInt(m[1], 10, 64)
		return n
	}
	cluster := number(`(\d+) bytes per cluster`)
	if v.ClusterSize() != cluster {
		t.Errorf("ClusterSize: got %d, want %d", v.ClusterSize(), cluster)
	}
	taken, all := number(`, (\d+)/\d+ clusters`), number(`, \d+/(\d+) clusters`)
	used, err := v.Used()
	if err != nil {
		t.Fatal(err)
	}
	data := number(`Data area starts at byte (\d+)`)
	if got, want := used.Bytes(), data+taken*cluster; got != want {
		t.Errorf("Used: got %d bytes, want %d", got, want)
	}
	if got, want := v.FreeBytes(), (all-taken)*cluster; got != want {
		t.Errorf("FreeBytes: got %d, want %d", got, want)
	}
	if got, want := v.Size(), number(`(\d+) sectors total`)*number(`(\d+) bytes per logical sector`); got != want {
		t.Errorf("Size: got %d, want %d", got, want)
	}
	if err := used.Check(v.Size()); err != nil {
		t.Errorf("Used: %v", err)
	}
}

// poison fills all that is not used; of long stretches both ends, which is
// where a wrong answer would lie.
func poison(t *testing.T, v *fat.FS, path string) {
	t.Helper()
	used, err := v.Used()
	if err != nil {
		t.Fatal(err)
	}
	f, size := openFile(t, path)
	fill := bytes.Repeat([]byte{0xa5}, 2<<20)
	for _, e := range extent.Of(extent.Extent{Len: size}).Subtract(used) {
		b := fill[:min(e.Len, int64(len(fill)))]
		for _, off := range []int64{e.Off, e.End() - int64(len(b))} {
			if _, err := f.WriteAt(b, off); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// All rules of io/fs, and the two more that our files promise.
func TestFS(t *testing.T) {
	t.Parallel()
	path := mkfs(t, 8<<20, "-F", "16", "-s", "1")
	f, size := openFile(t, path)
	e := edit(t, f, size)
	var names []string
	for name, data := range samples(30, 5000) {
		name = "folder/" + name
		if err := errors.Join(e.MkdirAll("folder"), e.WriteFile(name, []byte(data))); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	v := open(t, path)
	if err := fstest.TestFS(v, names...); err != nil {
		t.Error(err)
	}
	if _, err := v.Stat("FOLDER/LOWER11.TXT"); err != nil {
		t.Errorf("another case: %v", err)
	}
	if _, err := v.Stat("folder/ARATHE~1.CON"); err != nil {
		t.Errorf("short name: %v", err)
	}
	st, err := v.Stat("folder/lower11.txt")
	if err != nil || !st.ModTime().Equal(noon()) {
		t.Errorf("ModTime: got %v, %v, want %v", st.ModTime(), err, noon())
	}
	if _, err := v.Open("folder/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: got %v, want fs.ErrNotExist", err)
	}
	file, err := v.Open("folder/lower11.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := make([]byte, 100)
	if n, err := file.(io.ReaderAt).ReadAt(b, st.Size()-10); n != 10 || err != io.EOF {
		t.Errorf("ReadAt near the end: got %d, %v, want 10, EOF", n, err)
	}
	if at, err := file.(io.Seeker).Seek(-3, io.SeekEnd); at != st.Size()-3 || err != nil {
		t.Errorf("Seek: got %d, %v, want %d", at, err, st.Size()-3)
	}
}

// Names in 8.3 with the lower-case flags of Windows NT, and characters of code
// page 437.
func TestShortNames(t *testing.T) {
	t.Parallel()
	b := formatted(t, fat.Options{Size: 1 << 20})
	m := disk(b)
	e := edit(t, m, int64(len(b)))
	for _, name := range []string{"CONFIG.TXT", "KERNEL8.IMG", "START.ELF", "PLAIN", "XBER.TXT"} {
		if err := e.WriteFile(name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	patch := func(name string, off int, c byte) {
		at := bytes.Index(m.b, []byte(name))
		if at < 0 {
			t.Fatalf("no slot %q", name)
		}
		m.b[at+off] = c
	}
	patch("CONFIG  TXT", 12, 0x18)
	patch("KERNEL8 IMG", 12, 0x08)
	patch("START   ELF", 12, 0x10)
	patch("XBER    TXT", 0, 0x9a) // Ü
	list, err := edit(t, m, int64(len(b))).FS().ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range list {
		got = append(got, d.Name())
	}
	want := []string{"PLAIN", "START.elf", "config.txt", "kernel8.IMG", "ÜBER.TXT"}
	if !slices.Equal(got, want) {
		t.Errorf("names: got %q, want %q", got, want)
	}
	image := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(image, m.b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := mcopyOut(t, image)["kernel8.IMG"]; !ok {
		t.Error("mtools does not find kernel8.IMG")
	}
}

// formatted is an image that Format made.
func formatted(tb testing.TB, o fat.Options) []byte {
	tb.Helper()
	m := &memory{b: make([]byte, o.Size), fail: -1}
	if err := fat.Format(m, o); err != nil {
		tb.Fatal(err)
	}
	return m.b
}
