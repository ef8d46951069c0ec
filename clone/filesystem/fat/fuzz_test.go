package fat_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"strings"
	"syscall"
	"testing"

	"lifeboat/clone/filesystem/fat"
)

// tiny32 is a FAT32 of 64 clusters, for which Format is too particular.
func tiny32() []byte {
	b := make([]byte, 128*512)
	copy(b, "\xeb\x58\x90lifeboat\x00\x02\x01\x08\x00\x02\x00\x00\x00\x00\xf8")
	b[32], b[36], b[44], b[48], b[50] = 128, 1, 2, 1, 6
	copy(b[64:], "\x80\x00\x29\xcd\xab\x34\x12BOOTFS     FAT32   ")
	b[510], b[511] = 0x55, 0xaa
	copy(b[512:], "RRaA")
	copy(b[512+484:], "rrAa\x75\x00\x00\x00\x03")
	b[1022], b[1023] = 0x55, 0xaa
	copy(b[6*512:], b[:1024])
	for _, at := range []int{8, 9} {
		copy(b[at*512:], "\xf8\xff\xff\x0f\xff\xff\xff\x0f\xff\xff\xff\x0f")
	}
	return b
}

// padded is bytes and then zeros without end.
type padded struct{ *bytes.Reader }

func (p padded) ReadAt(b []byte, off int64) (int, error) {
	n, _ := p.Reader.ReadAt(b, off)
	clear(b[n:])
	return len(b), nil
}

// FuzzOpen has large inputs: -fuzzminimizetime=5x leaves it time to find some.
func FuzzOpen(f *testing.F) {
	for _, b := range [][]byte{
		formatted(f, fat.Options{Size: 64 << 10, Cluster: 512, Label: "BOOTFS"}),
		formatted(f, fat.Options{Size: 9 << 20, Kind: 16}),
		tiny32(),
	} {
		m := disk(b)
		e := edit(f, m, int64(len(b)))
		err := errors.Join(e.MkdirAll("overlays/sub"), e.WriteFile("overlays/a long name.txt", []byte("content")),
			e.WriteFile("CONFIG.TXT", bytes.Repeat([]byte("x"), 1500)), e.WriteFile("overlays/sub/😀", nil), e.Close())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.TrimRight(m.b, "\x00"), uint32(len(b)))
	}
	f.Fuzz(func(t *testing.T, b []byte, size uint32) {
		size %= 64 << 20
		v, err := fat.Open(padded{bytes.NewReader(b)}, int64(size))
		if err != nil {
			return
		}
		used, err := v.Used()
		if err != nil {
			t.Fatalf("Used: %v", err)
		}
		if err := used.Check(v.Size()); err != nil {
			t.Fatalf("Used: %v", err)
		}
		if free := v.FreeBytes(); free < 0 || free+used.Bytes() > v.Size()+int64(len(v.Notes()))*v.Size() {
			t.Fatalf("got %d bytes free and %d used of %d", free, used.Bytes(), v.Size())
		}
		v.Check()
		v.Label()
		walkSome(v)
	})
}

// walkSome looks at up to 2000 files.
func walkSome(v *fat.FS) {
	left := 2000
	fs.WalkDir(v, ".", func(name string, d fs.DirEntry, err error) error {
		if left--; left < 0 {
			return fs.SkipAll
		}
		if err != nil || d.IsDir() {
			return nil
		}
		if file, err := v.Open(name); err == nil {
			if r, ok := file.(io.ReaderAt); ok { // a folder can have the same name
				r.ReadAt(make([]byte, 512), 100)
			}
			file.Close()
		}
		return nil
	})
}

// FuzzEdit takes each pair of bytes for a change, and holds the file system
// against a map that is changed with it.
func FuzzEdit(f *testing.F) {
	f.Add([]byte{0, 0x01, 9, 0x02, 200, 0x13, 3, 0x31, 0, 0x42, 1, 0x01, 0})
	f.Add([]byte{1, 0x30, 0, 0x31, 0, 0x05, 90, 0x06, 255, 0x57, 5, 0x41, 3, 0x21, 1})
	f.Add(bytes.Repeat([]byte{1, 0x0f, 255, 0x1f, 100, 0x2e, 1}, 20))
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) == 0 || len(ops) > 300 {
			return
		}
		b := tiny32()
		if ops[0]%2 == 0 {
			b = formatted(t, fat.Options{Size: 64 << 10, Cluster: 512})
		}
		m := disk(b)
		e := edit(t, m, int64(len(b)))
		model := map[string]string{}
		for i := 1; i+1 < len(ops); i += 2 {
			before := maps.Clone(model)
			err := step(e, model, ops[i], ops[i+1])
			if err != nil {
				model = before
				if !expected(err) {
					t.Fatalf("step %d: %v", i, err)
				}
			}
			v := e.FS()
			if leaked, err := v.Check(); leaked != 0 || err != nil {
				t.Fatalf("step %d: got %d bytes leaked, %v", i, leaked, err)
			}
			if got := tree(t, v); !maps.Equal(got, model) {
				t.Fatalf("step %d: got %q, want %q", i, got, model)
			}
			if v.FreeBytes() != e.FreeBytes() {
				t.Fatalf("step %d: got %d bytes free, want %d", i, e.FreeBytes(), v.FreeBytes())
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		again := edit(t, m, int64(len(b))).FS()
		if got := tree(t, again); !maps.Equal(got, model) || len(again.Notes()) > 1 {
			t.Fatalf("at the end: got %q, notes %q, want %q", got, again.Notes(), model)
		}
	})
}

func expected(err error) bool {
	for _, e := range []error{fs.ErrExist, fs.ErrNotExist, syscall.ENOSPC, syscall.ENOTEMPTY} {
		if errors.Is(err, e) {
			return true
		}
	}
	return strings.Contains(err.Error(), "folder")
}

// step makes one change to both.
func step(e *fat.Editor, model map[string]string, op, arg byte) error {
	names := []string{"A.TXT", "a long name of a file.txt", "x", strings.Repeat("y", 120), "dir", "dir/sub", "ü.ö", "B~1.TXT"}
	name := names[op&7]
	if op&8 != 0 {
		name = "dir/" + strings.ReplaceAll(name, "/", "-")
	}
	switch op >> 4 % 6 {
	case 0, 1, 2:
		model[name] = strings.Repeat(string(rune('a'+arg%26)), int(arg)*40)
		return e.WriteFile(name, []byte(model[name]))
	case 3:
		model[name+"/"] = ""
		return e.Mkdir(name)
	case 4:
		delete(model, name)
		delete(model, name+"/")
		return e.Remove(name)
	}
	to := names[arg&7]
	if arg&8 != 0 {
		to = "dir/" + strings.ReplaceAll(to, "/", "-")
	}
	err := e.Rename(name, to)
	if err != nil || name == to {
		return err
	}
	for old, data := range maps.Clone(model) {
		if rest, ok := strings.CutPrefix(old, name); ok && (rest == "" || rest[0] == '/') {
			delete(model, old)
			model[to+rest] = data
		}
	}
	return nil
}
