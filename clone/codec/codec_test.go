package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"lifeboat/clone/codec"
	"lifeboat/internal/fixture"
)

// sample is what a disk looks like to a packer: text, noise and zeros.
func sample(n int) []byte {
	b := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{1})
	for off := 0; off < n; off += 64 << 10 {
		part := b[off:min(n, off+64<<10)]
		switch (off >> 16) % 3 {
		case 0:
			rnd.Read(part)
		case 1:
			copy(part, bytes.Repeat([]byte("PARTUUID=3c3f4bdb-02 rootfstype=ext4 "), len(part)/37+1))
		}
	}
	return b
}

// A tool packs file in its own way beside it.
type tool struct {
	name   string
	format codec.Format
	needs  string
	ext    string
	args   []string
}

var tools = []tool{
	{"gzip", codec.Gzip, "gzip", ".gz", []string{"-k"}},
	{"xz", codec.XZ, "xz", ".xz", []string{"-k", "-1"}},
	{"xz in blocks", codec.XZ, "xz", ".xz", []string{"-k", "-0", "-T2", "--block-size=200000"}},
	{"zstd", codec.Zstd, "zstd", ".zst", []string{"-q", "-k"}},
	{"zstd without a checksum", codec.Zstd, "zstd", ".zst", []string{"-q", "-k", "--no-check"}},
	{"bzip2", codec.Bzip2, "bzip2", ".bz2", []string{"-k"}},
}

// pack runs a tool on content and returns what it made of it.
func (c tool) pack(t testing.TB, content []byte) []byte {
	t.Helper()
	fixture.Need(t, c.needs)
	file := filepath.Join(t.TempDir(), "card.img")
	write(t, file, content)
	fixture.Run(t, c.needs, append(c.args, file)...)
	return read(t, file+c.ext)
}

func write(t testing.TB, file string, b []byte) {
	t.Helper()
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// unpack reads all of a stream, in pieces that no decoder expects.
func unpack(packed []byte, l codec.Limits) ([]byte, *codec.Reader, error) {
	z, err := codec.NewReader(iotest.HalfReader(bytes.NewReader(packed)), l)
	if err != nil {
		return nil, nil, err
	}
	defer z.Close()
	b, err := io.ReadAll(z)
	return b, z, err
}

func TestReaderTakesWhatToolsPack(t *testing.T) {
	t.Parallel()
	content := sample(900_001)
	for _, c := range tools {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			packed := c.pack(t, content)
			for name, stream := range map[string][]byte{"one": packed, "two": append(bytes.Clone(packed), packed...)} {
				want := bytes.Repeat(content, len(stream)/len(packed))
				got, z, err := unpack(stream, codec.Limits{})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s: got %d other bytes, want %d", name, len(got), len(want))
				}
				if z.Format != c.format {
					t.Errorf("%s: got format %s, want %s", name, z.Format, c.format)
				}
			}
		})
	}
}

func TestReaderMindsTruncationEverywhere(t *testing.T) {
	t.Parallel()
	content := sample(140_000)
	for _, c := range tools {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			packed := c.pack(t, content)
			for _, cut := range cuts(len(packed)) {
				_, _, err := unpack(packed[:cut], codec.Limits{})
				if !errors.Is(err, codec.ErrTruncated) {
					t.Errorf("cut at %d of %d: got %v, want %v", cut, len(packed), err, codec.ErrTruncated)
				}
			}
		})
	}
}

// cuts are places near both ends of a stream, and some between.
func cuts(n int) []int {
	var c []int
	for i := codec.SniffLen; i < 30; i++ {
		c = append(c, i)
	}
	for i := 100; i < n; i += n / 17 {
		c = append(c, i)
	}
	for i := 1; i < 30; i++ {
		c = append(c, n-i)
	}
	return c
}

func TestReaderMindsGarbageBehindTheEnd(t *testing.T) {
	t.Parallel()
	content := sample(140_000)
	for _, c := range tools {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			packed := c.pack(t, content)
			for n := 1; n < 12; n++ {
				tail := []byte(strings.Repeat("garbage ", 2))[:n]
				got, _, err := unpack(append(bytes.Clone(packed), tail...), codec.Limits{})
				if err == nil {
					t.Errorf("%d bytes behind the end: got no error", n)
				}
				if !bytes.HasPrefix(content, got) {
					t.Errorf("%d bytes behind the end: got other content", n)
				}
			}
		})
	}
}

func TestReaderMindsDamage(t *testing.T) {
	t.Parallel()
	content := sample(140_000)
	for _, c := range tools {
		if c.name == "zstd without a checksum" {
			continue // cannot know
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			packed := c.pack(t, content)
			for i := 100; i < len(packed); i += len(packed) / 23 {
				bad := bytes.Clone(packed)
				bad[i] ^= 0x10
				if got, _, err := unpack(bad, codec.Limits{}); err == nil && !bytes.Equal(got, content) {
					t.Errorf("byte %d changed: got other content and no error", i)
				}
			}
		})
	}
}

func TestReaderRefusesLargeWindows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tool
		need int64
	}{
		{tool{"zstd", codec.Zstd, "zstd", ".zst", []string{"-q", "-k", "--long=25", "--no-content-size"}}, 32 << 20},
		{tool{"xz", codec.XZ, "xz", ".xz", []string{"-k", "--lzma2=preset=0,dict=32MiB"}}, 32 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			packed := c.pack(t, make([]byte, c.need+1)) // zstd's window is never larger than the file
			_, _, err := unpack(packed, codec.Limits{Memory: 16 << 20})
			var window *codec.WindowError
			if !errors.As(err, &window) || window.Need != c.need || window.Limit != 16<<20 {
				t.Fatalf("got %v, want a WindowError of %d", err, c.need)
			}
			if msg := err.Error(); !strings.Contains(msg, fmt.Sprint(c.need)) || !strings.Contains(msg, fmt.Sprint(16<<20)) {
				t.Errorf("got %q, want both numbers", msg)
			}
			if _, _, err := unpack(packed, codec.Limits{Memory: 32 << 20}); err != nil {
				t.Errorf("within the limit: %v", err)
			}
		})
	}
}

func TestReaderHoldsOutput(t *testing.T) {
	t.Parallel()
	packed := tools[0].pack(t, make([]byte, 1<<20))
	got, _, err := unpack(packed, codec.Limits{Output: 1000})
	if err == nil || len(got) != 1000 {
		t.Errorf("got %d bytes and %v, want 1000 and an error", len(got), err)
	}
}

func TestReaderPassesFaultsBelow(t *testing.T) {
	t.Parallel()
	fault := errors.New("cable pulled")
	for _, c := range tools {
		packed := c.pack(t, sample(300_000))
		r := io.MultiReader(bytes.NewReader(packed[:len(packed)/2]), iotest.ErrReader(fault))
		z, err := codec.NewReader(r, codec.Limits{})
		if err == nil {
			_, err = io.ReadAll(z)
		}
		if !errors.Is(err, fault) || errors.Is(err, codec.ErrTruncated) {
			t.Errorf("%s: got %v, want %v", c.name, err, fault)
		}
	}
}

func TestSniffLooksAtBytes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		head string
		want codec.Format
	}{
		{"", codec.Raw},
		{"\x1f\x8b\x08\x00", codec.Gzip},
		{"\x28\xb5\x2f\xfd", codec.Zstd},
		{"\x5e\x2a\x4d\x18", codec.Zstd}, // a skippable frame first
		{"BZh is how a text may begin", codec.Raw},
		{"BZh91AY&SY", codec.Bzip2},
		{"PK\x03\x04", codec.Zip},
		{"\xeb\x58\x90mkfs.fat", codec.Raw},
	} {
		if got := codec.Sniff([]byte(c.head)); got != c.want {
			t.Errorf("%q: got %s, want %s", c.head, got, c.want)
		}
	}
}

func TestSizeIsKnownFromTheFile(t *testing.T) {
	t.Parallel()
	content := sample(900_001)
	for _, c := range []struct {
		tool
		times int
		want  int64
	}{
		{tools[1], 1, 900_001}, {tools[2], 1, 900_001}, {tools[2], 3, 2_700_003},
		{tools[3], 1, 900_001}, {tools[0], 1, -1},
	} {
		packed := bytes.Repeat(c.pack(t, content), c.times)
		z, err := codec.OpenAt(bytes.NewReader(packed), int64(len(packed)), "", codec.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if z.Size != c.want {
			t.Errorf("%s ×%d: got size %d, want %d", c.name, c.times, z.Size, c.want)
		}
		if n, err := io.Copy(io.Discard, z); err != nil || c.want >= 0 && n != c.want {
			t.Errorf("%s ×%d: got %d bytes and %v", c.name, c.times, n, err)
		}
	}
}
