package ext4_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/ext4"
	"lifeboat/internal/fixture"
)

var update = flag.Bool("update", false, "write the seeds of FuzzOpen anew")

// seeds are layouts and what debugfs does to them.
var seeds = []struct {
	name string
	l    layout
	cmds string
}{
	{"ext2", layout{"", fuzzSize, "-t ext2 -b 1024 -N 64 -m 0", false}, ""},
	{"ext4", layout{"", fuzzSize, "-t ext4 -b 1024 -g 1024 -N 64 -m 0 -O ^has_journal,^resize_inode", false}, ""},
	{"old", layout{"", fuzzSize, "-t ext4 -b 1024 -N 64 -m 0 -O ^metadata_csum,^resize_inode,uninit_bg,inline_data,^has_journal -I 256", false}, ""},
	{"dirty", layout{"", fuzzSize, "-t ext4 -b 1024 -N 64 -m 0 -J size=1 -O ^metadata_csum,^64bit,^resize_inode", false}, "jo\njw -b 2000,2001 FILE\njw -r 2000\njw -b 2002 FILE\njc\n"},
	{"dirty v3", layout{"", fuzzSize, "-t ext4 -b 1024 -N 64 -m 0 -J size=1 -O metadata_csum,64bit,^resize_inode", false}, "jo -c -v 3\njw -b 2000,2001 FILE\njw -r 2000\njw -b 2002 FILE\njc\n"},
}

// TestSeeds holds the committed seeds for images that Open takes, and writes
// them anew with -update.
func TestSeeds(t *testing.T) {
	t.Parallel()
	for _, s := range seeds {
		path := filepath.Join("testdata", "fuzz", "FuzzOpen", s.name)
		if *update {
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.WriteFile(path, fmt.Appendf(nil, "go test fuzz v1\n[]byte(%q)\n", pack(seedImage(t, s.l, s.cmds))), 0o644))
		}
		var packed []byte
		text, err := os.ReadFile(path)
		must(t, err)
		if _, err := fmt.Sscanf(string(text), "go test fuzz v1\n[]byte(%q)\n", &packed); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		f, err := ext4.Open(bytes.NewReader(unpack(packed)), fuzzSize)
		must(t, err)
		if _, err := f.Used(); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		if b, err := fs.ReadFile(f.Files(), "etc/fstab"); err != nil || len(b) == 0 {
			t.Errorf("%s: etc/fstab: got %q, %v", s.name, b, err)
		}
	}
}

func seedImage(t *testing.T, l layout, cmds string) []byte {
	t.Helper()
	src := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(src, "etc"), 0o755))
	must(t, os.WriteFile(filepath.Join(src, "etc/fstab"), []byte("/dev/sda / ext4 defaults 0 1\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(src, "two"), bytes.Repeat([]byte{'x'}, 2048), 0o644))
	must(t, os.Symlink("etc", filepath.Join(src, "link")))
	path := filepath.Join(t.TempDir(), "seed")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Truncate(path, l.size))
	fixture.Run(t, "mke2fs", append(strings.Fields(l.args), "-q", "-F", "-U", "01234567-89ab-cdef-0123-456789abcdef", "-d", src, path)...)
	if cmds != "" {
		debugfs(t, path, strings.ReplaceAll(cmds, "FILE", filepath.Join(src, "two")))
	}
	img, err := os.ReadFile(path)
	must(t, err)
	return img
}

// pack keeps only the pieces of an image that are not zero: offset, length,
// bytes. So the fuzzer changes what counts.
func pack(img []byte) []byte {
	const piece = 64
	var packed []byte
	for off := 0; off < len(img); {
		end := off
		for end < len(img) && end-off < 1<<15 && !extent.IsZero(img[end:min(len(img), end+piece)]) {
			end += piece
		}
		if end = min(end, len(img)); end > off {
			packed = binary.LittleEndian.AppendUint32(packed, uint32(off))
			packed = binary.LittleEndian.AppendUint16(packed, uint16(end-off))
			packed = append(packed, img[off:end]...)
		}
		off = max(end, off+piece)
	}
	return packed
}

const fuzzSize = 4 * mib

func unpack(packed []byte) []byte {
	img := make([]byte, fuzzSize)
	for len(packed) > 6 {
		off, n := int(binary.LittleEndian.Uint32(packed)), int(binary.LittleEndian.Uint16(packed[4:]))
		packed = packed[6:]
		n = min(n, len(packed))
		if off < fuzzSize {
			copy(img[off:], packed[:n])
		}
		packed = packed[n:]
	}
	return img
}

// FuzzOpen wants no panic, no endless work and no unbounded memory of what a
// damaged or hostile image says.
func FuzzOpen(f *testing.F) {
	f.Fuzz(func(t *testing.T, packed []byte) {
		img := unpack(packed)
		e, err := ext4.Open(bytes.NewReader(img), fuzzSize)
		if err != nil {
			return
		}
		if used, err := e.Used(); err == nil {
			if err := used.Check(fuzzSize); err != nil {
				t.Fatal(err)
			}
		}
		askGeometry(t, e, img)
		budget := 200 // a hostile folder may hold itself under each of its names
		_ = fs.WalkDir(e.Files(), ".", func(name string, d fs.DirEntry, err error) error {
			if budget--; budget < 0 {
				return fs.SkipAll
			}
			if err != nil || d.IsDir() {
				return nil
			}
			if info, err := d.Info(); err == nil {
				_ = info.Sys()
			}
			_, _ = fs.ReadLink(e.Files(), name)
			if file, err := e.Files().Open(name); err == nil {
				_, _ = io.Copy(io.Discard, io.LimitReader(file, 1<<18))
				_ = file.Close()
			}
			return nil
		})
		_ = ext4.Patch(image(img), fuzzSize, "etc/fstab", func(b []byte) ([]byte, error) { return b, nil })
	})
}
