package filesystem_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/manifest"
	"lifeboat/internal/fixture"
)

var tools = filesystem.Tools{Run: filesystem.Exec}

// TestExt does with a file system what a restore does: used bytes to a larger
// part, check, grow, new UUID.
func TestExt(t *testing.T) {
	for _, args := range []string{"-t ext4", "-t ext4 -O metadata_csum_seed", "-t ext3", "-t ext2 -b 1024"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			fixture.Need(t, "mke2fs", "e2fsck", "resize2fs", "tune2fs", "blkid")
			src, path := t.TempDir(), blank(t, 16*mib)
			must(t, os.WriteFile(filepath.Join(src, "file"), []byte("content"), 0o644))
			fixture.Run(t, "mke2fs", append(strings.Fields(args), "-q", "-F", "-d", src, path)...)
			f, size, of := probe(t, path)
			used, why, err := filesystem.Used(f, size, of)
			if err != nil || why != "" || used.Bytes() > size*3/4 {
				t.Fatalf("got %d bytes of %d, %q, %v", used.Bytes(), size, why, err)
			}
			to := blank(t, 40*mib)
			copyUsed(t, f, to, used)

			must(t, tools.Check(t.Context(), of, to))
			must(t, tools.Grow(t.Context(), of, to, 40*mib))
			must(t, tools.NewUUID(t.Context(), of, to, id))
			fixture.Run(t, "e2fsck", "-fn", to)
			g, size, got := probe(t, to)
			if got.UUID != id || got.Size != 40*mib || got.Type != of.Type {
				t.Errorf("got %+v, want UUID %s and %d bytes", got, id, 40*mib)
			}
			files, err := filesystem.Files(g, size, got)
			must(t, err)
			if b, err := fs.ReadFile(files, "file"); err != nil || string(b) != "content" {
				t.Errorf("got %q, %v, want content", b, err)
			}
		})
	}
}

func copyUsed(t *testing.T, from *os.File, to string, used extent.Set) {
	t.Helper()
	f, err := os.OpenFile(to, os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	for _, e := range used {
		b := make([]byte, e.Len)
		_, err := from.ReadAt(b, e.Off)
		must(t, err)
		_, err = f.WriteAt(b, e.Off)
		must(t, err)
	}
}

func TestVFAT(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mkfs.vfat", "fsck.vfat", "mcopy", "fatlabel")
	path, file := blank(t, 64*mib), filepath.Join(t.TempDir(), "config.txt")
	must(t, os.WriteFile(file, []byte("arm_64bit=1\n"), 0o644))
	fixture.Run(t, "mkfs.vfat", "-F", "32", "-n", "bootfs", path)
	fixture.Run(t, "mcopy", "-i", path, file, "::config.txt")
	f, size, of := probe(t, path)
	used, why, err := filesystem.Used(f, size, of)
	if err != nil || why != "" || used.Bytes() > 4*mib {
		t.Fatalf("got %d bytes of %d, %q, %v", used.Bytes(), size, why, err)
	}
	to := blank(t, 64*mib)
	copyUsed(t, f, to, used)
	must(t, tools.Check(t.Context(), of, to))
	must(t, tools.NewUUID(t.Context(), of, to, "CAFE-1234"))
	g, size, got := probe(t, to)
	if got.UUID != "CAFE-1234" {
		t.Errorf("got %+v, want serial CAFE-1234", got)
	}
	files, err := filesystem.Files(g, size, got)
	must(t, err)
	if b, err := fs.ReadFile(files, "config.txt"); err != nil || string(b) != "arm_64bit=1\n" {
		t.Errorf("got %q, %v", b, err)
	}
	if err := tools.Grow(t.Context(), got, to, size); err == nil || filesystem.CanGrow(got) {
		t.Errorf("grow of vfat: got %v, want an error", err)
	}
}

// TestCheckRepairs spoils file systems; after Check the real programs must find
// nothing.
func TestCheckRepairs(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs", "debugfs", "mkfs.vfat", "fsck.vfat")
	path := blank(t, 16*mib)
	fixture.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", path)
	fixture.Run(t, "debugfs", "-w", "-R", "ssv free_blocks_count 5", path)
	must(t, tools.Check(t.Context(), manifest.FS{Type: "ext4"}, path))
	fixture.Run(t, "e2fsck", "-fn", path)

	path = blank(t, 16*mib)
	fixture.Run(t, "mkfs.vfat", "-F", "16", path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{0x03, 0x01}, 2048+200) // a chain that belongs to nobody
	must(t, errors.Join(err, f.Close()))
	must(t, tools.Check(t.Context(), manifest.FS{Type: "vfat"}, path))
	fixture.Run(t, "fsck.vfat", "-n", path)
}

// TestSwapUsed wants the header alone.
func TestSwapUsed(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mkswap")
	path := blank(t, 4*mib)
	fixture.Run(t, "mkswap", "-q", "-p", "16384", path)
	f, size, of := probe(t, path)
	used, why, err := filesystem.Used(f, size, of)
	if want := extent.Of(extent.Extent{Off: 0, Len: 16384}); err != nil || why != "" || fmt.Sprint(used) != fmt.Sprint(want) {
		t.Errorf("got %v, %q, %v, want %v", used, why, err, want)
	}
}

// TestDirty wants that a file system whose journal waits says so.
func TestDirty(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs", "debugfs")
	path := blank(t, 16*mib)
	fixture.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", path)
	fixture.Run(t, "debugfs", "-w", "-R", "feature needs_recovery", path)
	if _, _, of := probe(t, path); !of.Dirty {
		t.Errorf("got %+v, want Dirty", of)
	}
}

// A broken reader fails behind a place, as a dying card does.
type broken struct {
	*bytes.Reader
	from int64
}

var errCard = errors.New("the card is dying")

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.from {
		return 0, errCard
	}
	return b.Reader.ReadAt(p, off)
}

// TestReadErrors wants the reader's own errors, and no set.
func TestReadErrors(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs", "mkfs.vfat")
	for _, cmd := range []string{"mke2fs -q -F -t ext4", "mkfs.vfat -F 32 -s 1"} {
		path, words := blank(t, 40*mib), strings.Fields(cmd)
		fixture.Run(t, words[0], append(words[1:], path)...)
		_, size, of := probe(t, path)
		b, err := os.ReadFile(path)
		must(t, err)
		r := broken{bytes.NewReader(b), 70 << 10}
		if set, _, err := filesystem.Used(r, size, of); !errors.Is(err, errCard) || set != nil {
			t.Errorf("%s: got %v, %v, want %v", cmd, set, err, errCard)
		}
		r.from = 1000
		if _, err := filesystem.Probe(r, size); !errors.Is(err, errCard) {
			t.Errorf("%s: got %v, want %v", cmd, err, errCard)
		}
	}
}

// TestRunner stands in for the programs.
func TestRunner(t *testing.T) {
	t.Parallel()
	ext, vfat := manifest.FS{Type: "ext4", Block: 4096}, manifest.FS{Type: "vfat"}
	type answer struct {
		code int
		out  string
	}
	for _, c := range []struct {
		name    string
		do      func(filesystem.Tools) error
		answers []answer
		calls   string
		want    string
	}{
		{"clean", func(x filesystem.Tools) error { return x.Check(t.Context(), ext, "/dev/x") }, []answer{{0, ""}}, "e2fsck -f -y /dev/x", ""},
		{"again", func(x filesystem.Tools) error { return x.Check(t.Context(), ext, "/dev/x") }, []answer{{3, ""}, {0, ""}}, "e2fsck -f -y /dev/x|e2fsck -f -y /dev/x", ""},
		{"left", func(x filesystem.Tools) error { return x.Check(t.Context(), ext, "/dev/x") }, []answer{{4, "one\ntwo\n\nthree\r\nfour\nfive\n"}}, "e2fsck -f -y /dev/x", "e2fsck -f -y /dev/x: exit code 4: two; three; four; five"},
		{"silent", func(x filesystem.Tools) error { return x.Check(t.Context(), ext, "/dev/x") }, []answer{{8, ""}}, "e2fsck -f -y /dev/x", "e2fsck -f -y /dev/x: exit code 8: it said nothing"},
		{"fat", func(x filesystem.Tools) error { return x.Check(t.Context(), vfat, "/dev/x") }, []answer{{1, ""}, {1, "bad"}}, "fsck.vfat -a /dev/x|fsck.vfat -n /dev/x", "fsck.vfat -n /dev/x: exit code 1: bad"},
		{"other", func(x filesystem.Tools) error { return x.Check(t.Context(), manifest.FS{Type: "xfs"}, "/dev/x") }, nil, "", ""},
		{"grow", func(x filesystem.Tools) error { return x.Grow(t.Context(), ext, "/dev/x", 10*mib+5) }, []answer{{0, ""}}, "resize2fs /dev/x 2560", ""},
		{"uuid", func(x filesystem.Tools) error { return x.NewUUID(t.Context(), ext, "/dev/x", id) }, []answer{{1, "Please run e2fsck -f on the filesystem."}, {0, ""}, {0, ""}}, "tune2fs -U " + id + " /dev/x|e2fsck -f -y /dev/x|tune2fs -U " + id + " /dev/x", ""},
		{"no uuid", func(x filesystem.Tools) error {
			return x.NewUUID(t.Context(), manifest.FS{Type: "xfs"}, "/dev/x", id)
		}, nil, "", "new UUID for /dev/x: there is no way to change that of xfs"},
	} {
		var calls []string
		err := c.do(filesystem.Tools{Run: func(_ context.Context, name string, args ...string) ([]byte, int, error) {
			a := c.answers[len(calls)]
			calls = append(calls, strings.Join(append([]string{name}, args...), " "))
			return []byte(a.out), a.code, nil
		}})
		if got := strings.Join(calls, "|"); got != c.calls {
			t.Errorf("%s: got calls %q, want %q", c.name, got, c.calls)
		}
		if got := fmt.Sprint(err); got != c.want && (err != nil || c.want != "") {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestExec(t *testing.T) {
	t.Parallel()
	out, code, err := filesystem.Exec(t.Context(), "sh", "-c", "echo out; echo err >&2; echo $LC_ALL; exit 7")
	if string(out) != "out\nerr\nC\n" || code != 7 || err != nil {
		t.Errorf("got %q, %d, %v", out, code, err)
	}
	if _, _, err := filesystem.Exec(t.Context(), "no-such-program"); err == nil {
		t.Error("got nil, want an error")
	}
	if _, _, err := filesystem.Exec(t.Context(), "sh", "-c", "kill -9 $$"); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("got %v, want one about a signal", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := filesystem.Exec(ctx, "sh", "-c", "exit 0"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if out, _, err := filesystem.Exec(t.Context(), "sh", "-c", "yes | head -c 1000000; echo last"); err != nil || len(out) > 200_000 || !strings.HasSuffix(string(out), "last\n") {
		t.Errorf("got %d bytes, %v, want the end of them", len(out), err)
	}
}

// TestEndlessFsck holds that a fsck.vfat that never ends is ended.
func TestEndlessFsck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := filesystem.Tools{Run: func(ctx context.Context, _ string, _ ...string) ([]byte, int, error) {
			<-ctx.Done()
			return nil, 0, ctx.Err()
		}}
		err := stuck.Check(t.Context(), manifest.FS{Type: "vfat"}, "part")
		if err == nil || !strings.Contains(err.Error(), "fsck.vfat -a part: it did not end within") {
			t.Errorf("got %v", err)
		}
	})
}
