package fat_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lifeboat/clone/filesystem/fat"
	"lifeboat/internal/fixture"
)

// memory is a disk in memory. Its power fails in write number fail, of which
// only the first half of the sectors gets through; negative = never.
type memory struct {
	b      []byte
	writes int
	fail   int
}

var errPower = errors.New("power cut")

func (m *memory) ReadAt(b []byte, off int64) (int, error) {
	return bytes.NewReader(m.b).ReadAt(b, off)
}

func (m *memory) WriteAt(b []byte, off int64) (int, error) {
	if m.fail >= 0 && m.writes >= m.fail {
		if m.writes == m.fail {
			m.writes++
			copy(m.b[off:], b[:len(b)/2/512*512])
		}
		return 0, errPower
	}
	m.writes++
	return copy(m.b[off:off+int64(len(b))], b), nil
}

func disk(b []byte) *memory { return &memory{b: slices.Clone(b), fail: -1} }

// mkfs makes an image with mkfs.vfat, and returns its path.
func mkfs(tb testing.TB, size int64, args ...string) string {
	tb.Helper()
	fixture.Need(tb, "mkfs.vfat", "fsck.vfat")
	path := filepath.Join(tb.TempDir(), "fat.img")
	truncate(tb, path, size)
	fixture.Run(tb, "mkfs.vfat", append(args, "-i", "1234abcd", path)...)
	return path
}

func truncate(tb testing.TB, path string, size int64) {
	tb.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close())
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// open opens an image as FS.
func open(tb testing.TB, path string) *fat.FS {
	tb.Helper()
	f, size := openFile(tb, path)
	v, err := fat.Open(f, size)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func openFile(tb testing.TB, path string) (*os.File, int64) {
	tb.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		tb.Fatal(err)
	}
	return f, st.Size()
}

// edit opens an image for changes, at a fixed time.
func edit(tb testing.TB, rw fat.ReadWriterAt, size int64) *fat.Editor {
	tb.Helper()
	e, err := fat.Edit(rw, size)
	if err != nil {
		tb.Fatal(err)
	}
	e.Clock = noon
	return e
}

func noon() time.Time { return time.Date(2024, 2, 29, 12, 34, 56, 0, time.UTC) }

// clean lets fsck.vfat judge.
func clean(tb testing.TB, path string) {
	tb.Helper()
	if out, code := fixture.Try(tb, "fsck.vfat", "-n", path); code != 0 {
		tb.Fatalf("fsck.vfat -n: exit code %d\n%s", code, out)
	}
}

// check is our own judgement, as hard as fsck.vfat's on clusters.
func check(tb testing.TB, v *fat.FS) {
	tb.Helper()
	if leaked, err := v.Check(); err != nil || leaked != 0 {
		tb.Errorf("Check: got %d leaked bytes, error %v, want none", leaked, err)
	}
}

// tree is all files and folders of v: content by path, folders with a slash.
func tree(tb testing.TB, v fs.FS) map[string]string {
	tb.Helper()
	t := map[string]string{}
	err := fs.WalkDir(v, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if d.IsDir() {
			t[name+"/"] = ""
			return nil
		}
		b, err := fs.ReadFile(v, name)
		t[name] = string(b)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// sameTree compares two trees.
func sameTree(tb testing.TB, got, want map[string]string) {
	tb.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[name]; !ok {
			tb.Errorf("%s: is missing", name)
		} else if g != want[name] {
			tb.Errorf("%s: got %d bytes %.20q, want %d bytes %.20q", name, len(g), g, len(want[name]), want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			tb.Errorf("%s: got %d bytes, want no such file", name, len(got[name]))
		}
	}
}

// samples are n files with names of all sorts and sizes from 0 to a few
// clusters.
func samples(n int, largest int) map[string]string {
	rnd := rand.New(rand.NewPCG(1, 2))
	files := map[string]string{}
	for i := range n {
		b := make([]byte, rnd.IntN(largest))
		if i%9 == 0 {
			b = nil
		}
		for k := range b {
			b[k] = byte(rnd.Uint32())
		}
		files[sampleName(i)] = string(b)
	}
	return files
}

func sampleName(i int) string {
	switch i % 10 {
	case 0:
		return fmt.Sprintf("FILE%d.TXT", i)
	case 1:
		return fmt.Sprintf("lower%d.txt", i)
	case 2:
		return fmt.Sprintf("a rather long name with spaces %d.config", i)
	case 3:
		return fmt.Sprintf("dots.in.the.name.%d.tar.gz", i)
	case 4:
		return fmt.Sprintf("Grüße-äöü-%d.txt", i)
	case 5:
		return fmt.Sprintf("日本語-😀-%d", i)
	case 6:
		return fmt.Sprintf(".hidden%d", i)
	case 7:
		return fmt.Sprintf("%d-%s.dtbo", i, strings.Repeat("x", 170))
	case 8:
		return fmt.Sprintf("noext%d", i)
	}
	return fmt.Sprintf("bcm2711-rpi-%d-b.dtb", i)
}

// write puts files into a folder of this machine.
func write(tb testing.TB, files map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(data), 0o600))
		if err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

// mcopyOut reads the whole image with mtools.
func mcopyOut(tb testing.TB, image string) map[string]string {
	tb.Helper()
	dir := tb.TempDir()
	if out := mtools(tb, "mdir", "-b", "-i", image, "::/"); strings.TrimSpace(out) != "" {
		mtools(tb, "mcopy", "-s", "-n", "-m", "-i", image, "::/*", dir)
	}
	return tree(tb, os.DirFS(dir))
}

// mtools runs one of the mtools in a locale that has all characters.
func mtools(tb testing.TB, program string, args ...string) string {
	tb.Helper()
	fixture.Need(tb, program)
	return fixture.Run(tb, "env", append([]string{"LC_ALL=C.UTF-8", program}, args...)...)
}

// asMtools has the names as mtools shows them, which knows no character behind
// U+FFFF.
func asMtools(t map[string]string) map[string]string {
	r := map[string]string{}
	for name, data := range t {
		r[asMtoolsName(name)] = data
	}
	return r
}

func asMtoolsName(name string) string {
	var s strings.Builder
	for _, c := range name {
		if c > 0xffff {
			s.WriteString("__")
		} else {
			s.WriteRune(c)
		}
	}
	return s.String()
}
