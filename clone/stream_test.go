package clone_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/image"
	"lifeboat/internal/fixture"
)

// pipe is a card as it comes out of a pipe.
func pipe(t *testing.T, r io.Reader) *clone.Stream {
	t.Helper()
	img, err := image.FromStream(io.NopCloser(r), "pipe", image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := clone.NewStream(img)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func facts(size int64) disk.Facts {
	return disk.Facts{Disk: disk.Disk{Path: "disk.img", Size: size, Sector: 512}, Holds: disk.Blank, File: true}
}

func cardBytes(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(fixture.Card(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// drain reads a pass into a disk.
func drain(t *testing.T, s clone.Source, want extent.Set, size int64) ([]byte, error) {
	t.Helper()
	pass, err := s.Open(t.Context(), want)
	if err != nil {
		return nil, err
	}
	defer pass.Close()
	disk := make([]byte, size)
	for end := int64(0); ; {
		rec, err := pass.Next(t.Context())
		if err == io.EOF {
			return disk, nil
		}
		if err != nil {
			return disk, err
		}
		if rec.Off < end || !want.Contains(rec.Extent) {
			t.Fatalf("got %v behind byte %d of %v", rec.Extent, end, want)
		}
		end = rec.End()
		if rec.Kind == extent.Data {
			copy(disk[rec.Off:], rec.Data)
		}
	}
}

// What a probe has seen comes again in the pass, once.
func TestStreamReplaysItsFront(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pi-mbr-fat-ext4", "pi-noobs", "gpt-fat-ext4", "swap-behind-root"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			card := cardBytes(t, name)
			size := int64(len(card))
			s := pipe(t, bytes.NewReader(card))
			head, err := clone.Probe(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			blocks, err := clone.NewBlocks(bytes.NewReader(card), size, 512)
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range head.Parts {
				if want := blocks.Head().Parts[i]; p.Num != want.Num || p.FS.UUID != want.FS.UUID || p.Extent != want.Extent {
					t.Errorf("got part %+v, want %+v", p, want)
				}
			}
			want := extent.Of(extent.Extent{Off: 0, Len: 1000}, extent.Extent{Off: 3000, Len: 9 << 20}, extent.Extent{Off: size - 512, Len: 512})
			got, err := drain(t, s, want, size)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range want {
				if !bytes.Equal(got[e.Off:e.End()], card[e.Off:e.End()]) {
					t.Errorf("bytes %v are others", e)
				}
			}
			if _, err := s.Open(t.Context(), want); !errors.Is(err, clone.ErrOnce) {
				t.Errorf("a second pass: got %v, want ErrOnce", err)
			}
		})
	}
}

// A front of noise is not kept for ever: the parts behind it stay unknown, and
// the plan says what holds if they are ext.
func TestStreamKeepsLittle(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "sfdisk")
	const size = 256 << 20
	path := fixture.Sparse(t, "large.img", size)
	fixture.Run(t, "sh", "-c", "printf ',100M,c\\n,,83\\n' | sfdisk -q "+path)
	card, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	noise := bytes.Repeat([]byte("noise"), 20<<20)
	copy(card[2<<20:], noise)
	s := pipe(t, bytes.NewReader(card))
	head, err := clone.Probe(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if len(head.Parts) != 2 || head.Parts[1].FS.Type != "" || head.Parts[1].Used != -1 {
		t.Fatalf("got %+v", head.Parts)
	}
	plan, err := clone.PlanRestore(head, facts(2*size), clone.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if text := plan.String(); !strings.Contains(text, "part 2 is not known before it is read: if it is ext2, ext3 or ext4, it is checked, and grows") {
		t.Errorf("got the plan\n%s", text)
	}
	got, err := drain(t, s, extent.Of(extent.Extent{Off: 0, Len: size}), size)
	if err != nil || !bytes.Equal(got, card) {
		t.Errorf("got another disk and %v", err)
	}
}

// Most streams have no checksum: their table tells that they were cut off.
func TestStreamThatWasCutOff(t *testing.T) {
	t.Parallel()
	card := cardBytes(t, "pi-mbr-fat-ext4")
	for _, cut := range []int{4096, 40 << 20, len(card) - 4096} {
		s := pipe(t, bytes.NewReader(card[:cut]))
		head, err := clone.Probe(t.Context(), s)
		if err == nil {
			_, err = drain(t, s, extent.Of(extent.Extent{Off: 0, Len: head.Size}), head.Size)
		}
		if err == nil || !strings.Contains(err.Error(), "it is not whole") {
			t.Errorf("cut at %d: got %v", cut, err)
		}
	}
}
