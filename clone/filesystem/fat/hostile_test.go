package fat_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/fat"
	"lifeboat/internal/fixture"
)

func TestNotFAT(t *testing.T) {
	t.Parallel()
	good := formatted(t, fat.Options{Size: 1 << 20})
	for name, patch := range map[string]func(b []byte){
		"zeros":       func(b []byte) { clear(b) },
		"signature":   func(b []byte) { b[510] = 0 },
		"jump":        func(b []byte) { b[0] = 0 },
		"sector":      func(b []byte) { b[12] = 3 },
		"small":       func(b []byte) { b[11], b[12] = 128, 0 },
		"cluster":     func(b []byte) { b[13] = 3 },
		"no cluster":  func(b []byte) { b[13] = 0 },
		"NTFS":        func(b []byte) { b[14], b[15] = 0, 0 },
		"no FATs":     func(b []byte) { b[16] = 0 },
		"media":       func(b []byte) { b[21] = 0x12 },
		"no FAT":      func(b []byte) { b[22], b[23] = 0, 0 },
		"no root":     func(b []byte) { b[17], b[18] = 0, 0 },
		"odd root":    func(b []byte) { b[17] = 3 },
		"all FAT":     func(b []byte) { b[22], b[23] = 0xff, 0xff },
		"no clusters": func(b []byte) { b[19], b[20] = 40, 0 },
	} {
		b := slices.Clone(good)
		patch(b)
		if _, err := fat.Open(bytes.NewReader(b), int64(len(b))); !errors.Is(err, fat.ErrNotFAT) {
			t.Errorf("%s: got %v, want ErrNotFAT", name, err)
		}
	}
	if _, err := fat.Open(bytes.NewReader(good), 1<<19); err == nil || errors.Is(err, fat.ErrNotFAT) {
		t.Errorf("half a file system: got %v, want another error than ErrNotFAT", err)
	}
	if _, err := fat.Open(bytes.NewReader(good[:100]), 100); !errors.Is(err, fat.ErrNotFAT) {
		t.Errorf("100 bytes: got %v, want ErrNotFAT", err)
	}
}

// Where FAT 0 and FAT 1 differ, the first is read, and nothing that the second
// calls used is lost.
func TestFATsDiffer(t *testing.T) {
	t.Parallel()
	b := tiny32()
	m := disk(b)
	e := edit(t, m, int64(len(b)))
	if err := errors.Join(e.WriteFile("A.TXT", []byte("content")), e.Close()); err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(m.b[9*512+40*4:], 0x0fffffff)
	v, err := fat.Open(m, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(v.Notes(), "\n"); !strings.Contains(notes, "FAT 1 differs from FAT 0") {
		t.Errorf("Notes: got %q, want that the FATs differ", notes)
	}
	used, err := v.Used()
	if err != nil {
		t.Fatal(err)
	}
	want := extent.Extent{Off: (10 + 38) * 512, Len: 512}
	if !used.Contains(want) || used.Bytes() != 13*512 {
		t.Errorf("Used: got %v, want %v in it and 13 sectors", used, want)
	}
	if data, err := v.ReadFile("a.txt"); string(data) != "content" || err != nil {
		t.Errorf("got %q, %v, want content", data, err)
	}
}

func TestNotesAndDirt(t *testing.T) {
	t.Parallel()
	path := mkfs(t, 40<<20, "-F", "32")
	f, size := openFile(t, path)
	put := func(b string, off int64) {
		if _, err := f.WriteAt([]byte(b), off); err != nil {
			t.Fatal(err)
		}
	}
	put("\x01", 65) // Linux marks the boot sector only
	v := open(t, path)
	if !v.Dirty() || len(v.Notes()) > 0 {
		t.Errorf("got dirty %v, notes %q, want true and none", v.Dirty(), v.Notes())
	}
	put("\x00", 65)
	put("\xff\xff\xff\x07", 32*512+4)
	if v := open(t, path); !v.Dirty() {
		t.Error("Windows' mark: got clean, want dirty")
	}
	put("CHANGED", 6*512+71)
	if notes := open(t, path).Notes(); !slices.Contains(notes, "the backup boot sector differs") {
		t.Errorf("Notes: got %q", notes)
	}
	put("\x81", 40)
	if _, err := fat.Edit(f, size); err == nil {
		t.Error("Edit of a file system of which FAT 1 counts: got nil, want an error")
	}
}

// damaged is a tiny FAT32 with three files and a folder, of which the test
// breaks something. Clusters go from 2 (the root) on in the order of writing.
func damaged(t *testing.T, change func(b []byte, entry func(c, v uint32))) *memory {
	t.Helper()
	m := disk(tiny32())
	e := edit(t, m, int64(len(m.b)))
	long := bytes.Repeat([]byte("x"), 1500)
	err := errors.Join(e.WriteFile("A.BIN", long), e.WriteFile("B.BIN", long), e.Mkdir("DIR"), // 3-5, 6-8, 9
		e.Mkdir("DIR/SUB"), e.WriteFile("DIR/C.BIN", []byte("c")), e.Close()) // 10, 11
	if err != nil {
		t.Fatal(err)
	}
	change(m.b, func(c, v uint32) {
		for _, at := range []int{8, 9} {
			binary.LittleEndian.PutUint32(m.b[at*512+int(c)*4:], v)
		}
	})
	return m
}

func TestDamage(t *testing.T) {
	t.Parallel()
	const end = 0x0fffffff
	subAt := func(b []byte) int { return bytes.Index(b, []byte("SUB     ")) }
	for name, c := range map[string]struct {
		change func(b []byte, entry func(c, v uint32))
		fails  string // to be read
	}{
		"ring":                 {func(b []byte, entry func(c, v uint32)) { entry(4, 3) }, "A.BIN"},
		"ring of one":          {func(b []byte, entry func(c, v uint32)) { entry(3, 3) }, "A.BIN"},
		"short chain":          {func(b []byte, entry func(c, v uint32)) { entry(4, end) }, "A.BIN"},
		"free in the chain":    {func(b []byte, entry func(c, v uint32)) { entry(4, 0) }, "A.BIN"},
		"bad in the chain":     {func(b []byte, entry func(c, v uint32)) { entry(4, 0x0ffffff7) }, "A.BIN"},
		"outside":              {func(b []byte, entry func(c, v uint32)) { entry(4, 5000) }, "A.BIN"},
		"long chain":           {func(b []byte, entry func(c, v uint32)) { entry(5, 20); entry(20, end) }, ""},
		"cross link":           {func(b []byte, entry func(c, v uint32)) { entry(4, 7) }, ""},
		"folder in a ring":     {func(b []byte, entry func(c, v uint32)) { entry(9, 9) }, "DIR/C.BIN"},
		"folder in itself":     {func(b []byte, entry func(c, v uint32)) { b[subAt(b)+26] = 9 }, "DIR/SUB/C.BIN"},
		"folder is the root":   {func(b []byte, entry func(c, v uint32)) { b[subAt(b)+26] = 2 }, "DIR/SUB/A.BIN"},
		"folder at no cluster": {func(b []byte, entry func(c, v uint32)) { b[subAt(b)+26] = 0 }, "DIR/SUB/A.BIN"},
	} {
		m := damaged(t, c.change)
		v, err := fat.Open(m, int64(len(m.b)))
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := v.Check(); err == nil {
			t.Errorf("%s: Check: got nil, want an error", name)
		}
		walkSome(v)
		if c.fails != "" {
			if b, err := v.ReadFile(c.fails); err == nil {
				t.Errorf("%s: %s: got %d bytes, want an error", name, c.fails, len(b))
			}
		}
	}
}

// An editor does not free what two files share, nor write to what a file has
// and the FAT calls free.
func TestEditDamaged(t *testing.T) {
	t.Parallel()
	m := damaged(t, func(b []byte, entry func(c, v uint32)) {
		entry(4, 7) // A.BIN goes on in B.BIN
		entry(11, 0)
	})
	e := edit(t, m, int64(len(m.b)))
	want, err := e.ReadFile("B.BIN")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Remove("A.BIN"), e.WriteFile("NEW", bytes.Repeat([]byte("n"), int(e.FreeBytes())))); err != nil {
		t.Fatal(err)
	}
	if got, err := e.ReadFile("B.BIN"); !bytes.Equal(got, want) || err != nil {
		t.Errorf("B.BIN: got %d bytes, %v, want it unchanged", len(got), err)
	}
	if got := m.b[(10+9)*512]; got != 'c' {
		t.Errorf("C.BIN's cluster: got %q, want c", got)
	}
}

// A full disk is told in bytes, and nothing has changed. What ends early
// changes nothing either.
func TestFull(t *testing.T) {
	t.Parallel()
	m := disk(formatted(t, fat.Options{Size: 64 << 10, Cluster: 512}))
	e := edit(t, m, int64(len(m.b)))
	if err := e.WriteFile("config.txt", []byte("old")); err != nil {
		t.Fatal(err)
	}
	before := slices.Clone(m.b)
	err := e.WriteFile("config.txt", make([]byte, e.FreeBytes()+1))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "512 bytes are missing") {
		t.Errorf("got %v, want 512 bytes missing", err)
	}
	if err := e.Write("config.txt", 1<<32, nil); err == nil {
		t.Error("4 GiB: got nil, want an error")
	}
	if !bytes.Equal(m.b, before) {
		t.Error("the disk has changed")
	}
	free := e.FreeBytes()
	err = e.Write("config.txt", 3000, io.MultiReader(strings.NewReader("short"), errReader{}))
	if !errors.Is(err, errPower) {
		t.Errorf("got %v, want %v", err, errPower)
	}
	if err := e.Write("new.txt", 3000, strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want io.ErrUnexpectedEOF", err)
	}
	if e.FreeBytes() != free {
		t.Errorf("got %d bytes free, want %d", e.FreeBytes(), free)
	}
	if err := e.WriteFile("config.txt", make([]byte, free)); err != nil {
		t.Errorf("exactly what is free: %v", err)
	}
	sameTree(t, tree(t, e.FS()), map[string]string{"config.txt": string(make([]byte, free))})
	check(t, e.FS())
	if err := fillRoot(e); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("root directory: got %v, want ENOSPC", err)
	}
}

func fillRoot(e *fat.Editor) error {
	for i := range 600 {
		if err := e.WriteFile(sampleName(i*10), nil); err != nil {
			return err
		}
	}
	return nil
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errPower }

func TestNames(t *testing.T) {
	t.Parallel()
	m := disk(formatted(t, fat.Options{Size: 1 << 20}))
	e := edit(t, m, int64(len(m.b)))
	for _, name := range []string{"", ".", "..", "a/../b", "/a", "a.", "a ", "a:b", "a\\b", "a\x01", "a?b", "\xff", strings.Repeat("x", 256), strings.Repeat("😀", 128)} {
		if err := e.WriteFile(name, nil); err == nil {
			t.Errorf("%q: got nil, want an error", name)
		}
	}
	if err := e.WriteFile("none/a", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such folder: got %v, want fs.ErrNotExist", err)
	}
	err := errors.Join(e.WriteFile("Config.txt", []byte("1")), e.Rename("config.txt", "CONFIG.txt"), e.Mkdir("d"), e.WriteFile("d/f", nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Mkdir("D"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Mkdir twice: got %v, want fs.ErrExist", err)
	}
	if err := e.Remove("d"); !errors.Is(err, syscall.ENOTEMPTY) {
		t.Errorf("Remove of a full folder: got %v, want ENOTEMPTY", err)
	}
	if err := e.Rename("d", "d/e"); err == nil {
		t.Error("Rename of a folder into itself: got nil, want an error")
	}
	if err := e.MkdirAll("d/f/g"); err == nil {
		t.Error("MkdirAll through a file: got nil, want an error")
	}
	sameTree(t, tree(t, e.FS()), map[string]string{"CONFIG.txt": "1", "d/": "", "d/f": ""})
	for i := range 2000 { // short names run out of single digits
		if err := e.WriteFile("d/a name that is long "+sampleName(i*10), nil); err != nil {
			t.Fatal(err)
		}
	}
	check(t, e.FS())
}

// Hundreds of changes, each kind, judged by fsck.vfat.
func TestManyEdits(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "fsck.vfat")
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			path := mkfs(t, k.size, k.args...)
			f, size := openFile(t, path)
			e := edit(t, f, size)
			rnd := rand.New(rand.NewPCG(7, uint64(k.size)))
			model := map[string]string{}
			for i := range 400 {
				before := maps.Clone(model)
				if err := step(e, model, byte(rnd.Uint32()), byte(rnd.Uint32())); err != nil {
					model = before
					if !expected(err) {
						t.Fatalf("step %d: %v", i, err)
					}
				}
				if i%50 == 49 {
					if err := e.Sync(); err != nil {
						t.Fatal(err)
					}
					clean(t, path)
				}
			}
			sameTree(t, tree(t, open(t, path)), model)
		})
	}
}

// A large file goes through in pieces, around what is in its way.
func TestLargeFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fat.img")
	truncate(t, path, 128<<20)
	f, size := openFile(t, path)
	if err := fat.Format(f, fat.Options{Size: size, Kind: 32}); err != nil {
		t.Fatal(err)
	}
	e := edit(t, f, size)
	var err error
	for i := range 40 {
		err = errors.Join(err, e.Write(sampleName(10*i), 1<<20, zeros{}))
	}
	for i := range 20 {
		err = errors.Join(err, e.Remove(sampleName(20*i)))
	}
	large := make([]byte, 96<<20+12345)
	rand.NewChaCha8([32]byte{}).Read(large)
	err = errors.Join(err, e.Write("image.img", int64(len(large)), bytes.NewReader(large)), e.Close())
	if err != nil {
		t.Fatal(err)
	}
	clean(t, path)
	got, err := open(t, path).ReadFile("image.img")
	if err != nil || !bytes.Equal(got, large) {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, len(large))
	}
	out := filepath.Join(t.TempDir(), "out")
	mtools(t, "mcopy", "-i", path, "::image.img", out)
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, large) {
		t.Errorf("mtools: got %d bytes, %v, want %d", len(got), err, len(large))
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
