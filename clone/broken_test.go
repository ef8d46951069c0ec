package clone_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/clone"
	"lifeboat/clone/extent"
	"lifeboat/clone/image"
	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
	"lifeboat/clone/store"
	"lifeboat/internal/fixture"
)

// TestBrokenExt backs up some of what e2fsprogs tests e2fsck with, and restores
// it over noise. e2fsck must say the same of both, and leave the same files; or
// all bytes of the part were taken; or it was refused by a sentence.
func TestBrokenExt(t *testing.T) {
	t.Parallel()
	brokenAll(t, 20)
}

// TestLongBrokenExt does it with all of them.
func TestLongBrokenExt(t *testing.T) {
	fixture.Long(t)
	brokenAll(t, 1)
}

// brokenAll takes each nth.
func brokenAll(t *testing.T, nth int) {
	t.Helper()
	fixture.Need(t, "e2fsck", "debugfs")
	all, err := filepath.Glob(filepath.Join(fixture.Broken(t), "*", "image.gz"))
	if err != nil || len(all) < 150 {
		t.Fatalf("got %d broken images, %v", len(all), err)
	}
	counts := map[string]int{}
	for i := 0; i < len(all); i += nth {
		t.Run(filepath.Base(filepath.Dir(all[i])), func(t *testing.T) { counts[brokenOne(t, all[i])]++ })
	}
	t.Logf("%d broken file systems: %v", (len(all)+nth-1)/nth, counts)
}

func brokenOne(t *testing.T, from string) string {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	path, part := brokenDisk(t, from)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	start := time.Now()
	src, err := clone.NewBlocks(f, part.End(), 512)
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("looking at it took %v", took)
	}
	if err != nil {
		t.Logf("refused: %v", err)
		return "refused"
	}
	to := fill(t, part.End())
	if err := backedUp(ctx, t, src, to); err != nil {
		t.Fatal(err)
	}
	if p := src.Head().Parts[0]; p.Why != "" {
		if !bytes.Equal(bytesOf(t, path, part), bytesOf(t, to, part)) {
			t.Errorf("all bytes were to be taken (%s), and they differ", p.Why)
		}
		return "whole"
	}
	want, got := fsckSays(t, path, part), fsckSays(t, to, part)
	if want != got && strings.Contains(want, "Block bitmap differences:  +") {
		return "damage told" // TestDamageIsTold
	}
	if want != got {
		t.Errorf("e2fsck says another thing of the copy:\n--- of the source\n%s--- of the copy\n%s", want, got)
	}
	return "used blocks"
}

// TestDamageIsTold: f_dup_ba has a file with a block that its bitmap calls free.
// A copy by the bitmap lacks it, which only e2fsck can see: a restore says so.
func TestDamageIsTold(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	fixture.Need(t, "e2fsck")
	path, part := brokenDisk(t, filepath.Join(fixture.Broken(t), "f_dup_ba", "image.gz"))
	report, err := restore(t.Context(), t, blocksOf(t, path), fill(t, part.End()), clone.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(report.Reservations, "\n"); !strings.Contains(text, "its file system is damaged on the source too") {
		t.Errorf("reservations: %q", text)
	}
}

const brokenOff = 1 << 20 // where the part of a broken file system begins

// brokenDisk puts a broken file system into the part of a disk.
func brokenDisk(tb testing.TB, from string) (path string, part extent.Extent) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "disk.img")
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	part = extent.Extent{Off: brokenOff, Len: (gunzip(tb, from, f, brokenOff) + 511) / 512 * 512}
	table := manifest.Table{Kind: manifest.MBR, ID: "0badcafe", Entries: []manifest.Entry{{Num: 1, Extent: part, Type: "83"}}}
	if err := errors.Join(f.Truncate(part.End()), layout.Write(f, table, part.End(), 512)); err != nil {
		tb.Fatal(err)
	}
	return path, part
}

// gunzip unpacks a file to a place in another, and returns how much that was.
func gunzip(tb testing.TB, from string, to *os.File, off int64) int64 {
	tb.Helper()
	f, err := os.Open(from)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	size := int64(0)
	for {
		n, err := io.ReadFull(z, buf)
		if !extent.IsZero(buf[:n]) {
			if _, err := to.WriteAt(buf[:n], off+size); err != nil {
				tb.Fatal(err)
			}
		}
		if size += int64(n); err != nil {
			return size
		}
	}
}

// backedUp saves a disk as an image, and lays what that has in use over noise:
// a restore, before a checker sees it.
func backedUp(ctx context.Context, tb testing.TB, src *clone.Blocks, to string) error {
	tb.Helper()
	img := filepath.Join(tb.TempDir(), "backup.img")
	sink, err := image.Create(img, image.SinkOptions{})
	if err != nil {
		return err
	}
	if _, err := clone.Save(ctx, src, src.Head(), sink, nil); err != nil {
		return err
	}
	s, name, err := store.Open(img, store.Options{})
	if err != nil {
		return err
	}
	saved, err := image.Open(ctx, s, name, image.Options{})
	if err != nil {
		return err
	}
	defer saved.Close()
	f, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	pass, err := saved.Open(ctx, extent.Of(extent.Extent{Len: src.Head().Size}))
	if err != nil {
		return err
	}
	defer pass.Close()
	for {
		rec, err := pass.Next(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if rec.Kind == extent.Zero {
			rec.Data = make([]byte, rec.Len)
		}
		if _, err := f.WriteAt(rec.Data, rec.Off); err != nil {
			return err
		}
	}
}

// fsckSays is what e2fsck finds and does, and what is there then.
func fsckSays(tb testing.TB, disk string, part extent.Extent) string {
	tb.Helper()
	dir := tb.TempDir()
	fs, files := filepath.Join(dir, "fs.img"), filepath.Join(dir, "files")
	fixture.Run(tb, "dd", "if="+disk, "of="+fs, "bs=1M", "skip=1", "conv=sparse", "status=none")
	if err := errors.Join(os.Truncate(fs, part.Len), os.Mkdir(files, 0o755)); err != nil {
		tb.Fatal(err)
	}
	// What wants to know the time is told one.
	out, code := fixture.Try(tb, "env", "E2FSCK_TIME=1700000000", "timeout", "300", "e2fsck", "-fy", fs)
	again, second := fixture.Try(tb, "timeout", "300", "e2fsck", "-fn", fs)
	if !strings.Contains(out, "47730/") { // f_h_unsigned has so many files, and all of them are empty
		fixture.Try(tb, "timeout", "300", "debugfs", "-R", "rdump / "+files, fs)
	}
	sums, _ := fixture.Try(tb, "sh", "-c", "cd "+files+" && find . -type f -print0 | sort -z | xargs -0r sha256sum; find . -printf '%p %y %m %l\\n' | sort")
	text := fmt.Sprintf("exit code %d, then %d\n%s%s%s", code, second, out, again, sums)
	return strings.ReplaceAll(text, fs, "FS")
}
