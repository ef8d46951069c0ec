package disk_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/internal/fixture"
)

// onEach runs a test on a file and on a disk with sectors of 512 and 4096 bytes.
func onEach(t *testing.T, size int64, test func(t *testing.T, path, file string)) {
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		file := image(t, size+100) // no whole number of anything
		test(t, file, file)
	})
	for _, sector := range []string{"512", "4096"} {
		t.Run("disk "+sector, func(t *testing.T) {
			t.Parallel()
			file := image(t, size)
			test(t, fixture.Loop(t, file, "-b", sector), file)
		})
	}
}

// TestAnyReadAndWrite holds a target against an array of bytes: all offsets and
// lengths, aligned or not, mixed.
func TestAnyReadAndWrite(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	onEach(t, size, func(t *testing.T, path, file string) {
		for i, force := range []func(*disk.Target){
			func(*disk.Target) {},
			func(tg *disk.Target) { tg.ForceCached() },
			func(tg *disk.Target) { tg.ForceOddUnit() },
		} {
			tg := claim(t, path)
			want := make([]byte, tg.Size())
			if _, err := tg.ReadAt(want, 0); err != nil {
				t.Fatal(err)
			}
			force(tg)
			r := rand.New(rand.NewPCG(uint64(i), 9))
			for range 300 {
				off, n := anywhere(r, tg.Size())
				b := extent.Buffer()[r.IntN(2)*r.IntN(9):]
				b = b[:min(int64(len(b)), n)]
				if r.IntN(2) == 0 {
					copy(b, noise(len(b), r.Uint64()))
					copy(want[off:], b)
					if _, err := tg.WriteAt(b, off); err != nil {
						t.Fatal(err)
					}
				} else if _, err := tg.ReadAt(b, off); err != nil || !bytes.Equal(b, want[off:off+int64(len(b))]) {
					t.Fatalf("way %d: %d bytes at %d: not what was written, %v", i, len(b), off, err)
				}
			}
			if err := tg.DropCache(); err != nil {
				t.Fatal(err)
			}
			if err := tg.Close(); err != nil {
				t.Fatal(err)
			}
			sync512(t, path)
			if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("way %d: the file has other bytes than were written: %v", i, err)
			}
		}
	})
}

// sync512 writes the loop device's own file back.
func sync512(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// anywhere is a place whose ends often lie on a boundary that matters.
func anywhere(r *rand.Rand, size int64) (off, n int64) {
	units := []int64{1, 512, 4096, 1 << 20}
	off = r.Int64N(size)
	off -= off % units[r.IntN(4)]
	n = 1 + r.Int64N(1<<20)
	if u := units[r.IntN(3)]; n > u {
		n -= n % u
	}
	return off, min(n, size-off)
}

// TestConcurrentNeighbours writes the two halves of pages at once, one half past
// the page cache and one through it.
func TestConcurrentNeighbours(t *testing.T) {
	t.Parallel()
	const size, page, cut = 4 << 20, 4096, 1024
	tg := claim(t, fixture.Loop(t, image(t, size)))
	want := noise(size, 3)
	var wg sync.WaitGroup
	write := func(part extent.Extent) {
		for off := int64(0); off < size; off += page {
			e := extent.Extent{Off: off + part.Off, Len: part.Len}
			if _, err := tg.WriteAt(want[e.Off:e.End()], e.Off); err != nil {
				t.Error(err)
			}
		}
	}
	for _, part := range []extent.Extent{{Off: 0, Len: cut}, {Off: cut, Len: 100}, {Off: cut + 100, Len: 412}, {Off: cut + 512, Len: page - cut - 512}} {
		wg.Go(func() { write(part) })
	}
	wg.Wait()
	if err := tg.DropCache(); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, size)
	if _, err := tg.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("not what was written: %v", err)
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	onEach(t, 1<<20, func(t *testing.T, path, _ string) {
		tg := claim(t, path)
		size := tg.Size()
		b := make([]byte, 4096)
		if n, err := tg.ReadAt(b, size-10); n != 10 || !errors.Is(err, io.EOF) {
			t.Errorf("read across the end: got %d, %v", n, err)
		}
		if n, err := tg.ReadAt(b, size+5); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("read behind the end: got %d, %v", n, err)
		}
		var werr *disk.WriteError
		if n, err := tg.WriteAt(b, size-10); n != 0 || !errors.As(err, &werr) {
			t.Errorf("write across the end: got %d, %v", n, err)
		}
		if _, err := tg.WriteAt(b, -1); err == nil {
			t.Error("a write before the beginning succeeded")
		}
		w := tg.Window(extent.Extent{Off: 4096, Len: 8192})
		if n, err := w.ReadAt(b, 8190); n != 2 || !errors.Is(err, io.EOF) {
			t.Errorf("window: read across the end: got %d, %v", n, err)
		}
		if _, err := w.WriteAt(b, 8190); err == nil {
			t.Error("window: a write across the end succeeded")
		}
		if _, err := w.WriteAt(b, 4096); err != nil {
			t.Error(err)
		}
		outside := tg.Window(extent.Extent{Off: size - 10, Len: 8192})
		if _, err := outside.WriteAt(b, 0); err == nil {
			t.Error("a window outside of the target can be written")
		}
		if got := look(t, path).Disk.Size; got != size {
			t.Errorf("size: got %d, want %d as before", got, size)
		}
	})
}

func TestWriteZeros(t *testing.T) {
	t.Parallel()
	const size = 48 << 20
	onEach(t, size, func(t *testing.T, path, _ string) {
		tg := claim(t, path)
		want := noise(size, 5)
		if _, err := tg.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
		for _, e := range []extent.Extent{{Off: 0, Len: 4096}, {Off: 1 << 20, Len: 40 << 20}, {Off: 12345, Len: 67890}, {Off: 45 << 20, Len: 0}, {Off: size - 512, Len: 512}} {
			if err := tg.WriteZeros(t.Context(), e); err != nil {
				t.Fatalf("%v: %v", e, err)
			}
			clear(want[e.Off:e.End()])
		}
		if err := tg.WriteZeroBuffers(extent.Extent{Off: 100_001, Len: 2 << 20}); err != nil {
			t.Fatal(err)
		}
		clear(want[100_001 : 100_001+2<<20])
		// What is discarded may read as anything, and nothing else may change.
		if err := tg.Discard(t.Context(), extent.Extent{Off: 44<<20 + 1, Len: 1<<20 - 1}); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, size)
		if _, err := tg.ReadAt(got, 0); err != nil {
			t.Fatal(err)
		}
		clear(got[44<<20+1 : 45<<20])
		clear(want[44<<20+1 : 45<<20])
		if !bytes.Equal(got, want) {
			t.Error("other bytes than those were zeroed")
		}
		if err := tg.WriteZeros(t.Context(), extent.Extent{Off: 0, Len: tg.Size() + 1}); err == nil {
			t.Error("zeros behind the end: no error")
		}
	})
}

// TestWriteErrorOfAFullStore writes to a disk whose store is full.
func TestWriteErrorOfAFullStore(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	if err := os.WriteFile(dir+"/store", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(dir+"/store", 4<<20); err != nil {
		t.Fatal(err)
	}
	tg := claim(t, fixture.Loop(t, dir+"/store"))
	for off := int64(0); off < 4*fullStore; off += fullPiece {
		n, err := tg.WriteAt(noise(fullPiece, uint64(off)), off)
		if off < fullStore {
			if err != nil || n != fullPiece {
				t.Fatalf("write at %d: got %d, %v, and there is room", off, n, err)
			}
			continue
		}
		wantFull(t, n, err, extent.Extent{Off: off, Len: fullPiece})
	}
}

// The store takes fullStore bytes. They are written in pieces that fill it to
// the byte: Linux's loop driver calls a request done that its file took only a
// part of, and fsync says the same (seen with 6.18, where one request of 1 MiB
// came out of a huge page). Reading back is what finds such a loss.
const (
	fullStore = 256 << 10
	fullPiece = 64 << 10
)

func wantFull(t *testing.T, n int, err error, e extent.Extent) {
	t.Helper()
	var werr *disk.WriteError
	if !errors.As(err, &werr) {
		t.Fatalf("write of %v: got %d, %v, want a *WriteError", e, n, err)
	}
	if n != 0 || werr.Extent != e {
		t.Errorf("write of %v: %d bytes written, %v not", e, n, werr.Extent)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("write of %v: got %v, want no space left", e, err)
	}
}
