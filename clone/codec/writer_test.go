package codec_test

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/clone/codec"
	"lifeboat/internal/fixture"
)

// packed lets our writer pack content into a file.
func packed(t testing.TB, content []byte, f codec.Format, o codec.Options) string {
	t.Helper()
	var b bytes.Buffer
	w, err := codec.NewWriter(&b, f, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "card.img"+f.Ext())
	write(t, file, b.Bytes())
	return file
}

func TestToolsTakeWhatWriterPacks(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "gzip", "zstd")
	content := sample(9_000_003) // some jobs of the zstd encoder
	for _, c := range []struct {
		format codec.Format
		tool   string
	}{{codec.Gzip, "gzip"}, {codec.Zstd, "zstd"}} {
		for _, level := range []int{0, 1, 3} {
			t.Run(fmt.Sprint(c.format, level), func(t *testing.T) {
				t.Parallel()
				file := packed(t, content, c.format, codec.Options{Level: level, Size: int64(len(content)), Workers: 3})
				fixture.Run(t, c.tool, "-q", "-t", file)
				if got := fixture.Run(t, c.tool, "-q", "-d", "-c", file); got != string(content) {
					t.Errorf("got %d other bytes, want %d", len(got), len(content))
				}
			})
		}
	}
}

// Raspberry Pi Imager takes the size of a .zst from the head of its one frame.
func TestZstdIsOneFrameWithSizeAndChecksum(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "zstd")
	content := sample(9_000_003)
	file := packed(t, content, codec.Zstd, codec.Options{Size: int64(len(content)), Workers: 2})
	got := fixture.Run(t, "zstd", "-l", "-v", file)
	for _, want := range []string{"# Zstandard Frames: 1\n", "(9000003 B)", "Check: XXH64"} {
		if !strings.Contains(got, want) {
			t.Errorf("got no %q in\n%s", want, got)
		}
	}
}

func TestWriterHoldsToTheSize(t *testing.T) {
	t.Parallel()
	for _, f := range []codec.Format{codec.Raw, codec.Gzip, codec.Zstd} {
		for have, wrong := range map[int]bool{99: true, 100: false, 101: true} {
			w, err := codec.NewWriter(io.Discard, f, codec.Options{Size: 100, Workers: 2})
			if err != nil {
				t.Fatal(err)
			}
			_, werr := w.Write(make([]byte, have))
			cerr := w.Close()
			if (werr != nil || cerr != nil) != wrong {
				t.Errorf("%s: %d of 100 bytes: got %v, %v", f, have, werr, cerr)
			}
		}
	}
}

func TestWriterKnowsItsFormats(t *testing.T) {
	t.Parallel()
	if _, err := codec.NewWriter(io.Discard, codec.XZ, codec.Options{}); err == nil {
		t.Error("xz: got no error")
	}
}

// BenchmarkWriter shows what a level costs.
func BenchmarkWriter(b *testing.B) {
	content := sample(64 << 20)
	for _, f := range []codec.Format{codec.Gzip, codec.Zstd} {
		for _, level := range []int{1, 3, 6} {
			b.Run(fmt.Sprint(f, level), func(b *testing.B) {
				b.SetBytes(int64(len(content)))
				for b.Loop() {
					w, err := codec.NewWriter(io.Discard, f, codec.Options{Level: level, Size: int64(len(content))})
					if err != nil {
						b.Fatal(err)
					}
					w.Write(content)
					if err := w.Close(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
