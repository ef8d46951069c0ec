package swap_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"lifeboat/clone/filesystem/swap"
	"lifeboat/internal/fixture"
)

const (
	mib = 1 << 20
	id  = "01234567-89ab-cdef-0123-456789abcdef"
)

// write makes a swap area of n bytes in a file that was full of other bytes.
func write(t *testing.T, n int64, s swap.Info) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "swap")
	if err := os.WriteFile(path, bytes.Repeat([]byte("SWAPSPACE2 and more \n"), int(n/21+1))[:n], 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := swap.Make(f, n, s); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) (swap.Info, error) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return swap.Open(bytes.NewReader(b), int64(len(b)))
}

// TestMake lets swaplabel, blkid and file judge what Make writes.
func TestMake(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "swaplabel", "blkid", "file")
	for _, page := range []int64{4096, 8192, 16384, 32768, 65536} {
		want := swap.Info{PageSize: page, Pages: (2*mib + 3) / page, UUID: id, Label: "sixteen letters!"}
		path := write(t, 2*mib+3, want)
		if got, err := read(t, path); err != nil || got != want {
			t.Errorf("page %d: got %+v, %v, want %+v", page, got, err, want)
		}
		blkid := fixture.Run(t, "blkid", "-p", "-o", "export", path)
		for _, w := range []string{"TYPE=swap\n", "UUID=" + id + "\n", "LABEL=sixteen\\ letters!\n", "VERSION=1\n"} {
			if !strings.Contains(blkid, w) {
				t.Errorf("page %d: blkid says %q, want %q", page, blkid, w)
			}
		}
		if got := fixture.Run(t, "swaplabel", path); !strings.Contains(got, "sixteen letters!") || !strings.Contains(got, id) {
			t.Errorf("page %d: swaplabel says %q", page, got)
		}
		// file knows only pages of 4 and 64 KiB.
		got := fixture.Run(t, "file", "-b", path)
		if size := strconv.FormatInt(page/1024, 10) + "k page size"; page == 4096 && !strings.Contains(got, size) {
			t.Errorf("page %d: file says %q", page, got)
		}
	}
}

// TestMakeAsMkswap wants the bytes of mkswap.
func TestMakeAsMkswap(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mkswap")
	for _, page := range []string{"4096", "16384", "65536"} {
		path := filepath.Join(t.TempDir(), "swap")
		if err := os.WriteFile(path, make([]byte, 2*mib), 0o600); err != nil {
			t.Fatal(err)
		}
		fixture.Run(t, "mkswap", "-p", page, "-U", id, "-L", "label", path)
		info, err := read(t, path)
		if err != nil || info.UUID != id || info.Label != "label" {
			t.Fatalf("page %s: got %+v, %v", page, info, err)
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(write(t, 2*mib, info))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got[:info.PageSize], want[:info.PageSize]) {
			t.Errorf("page %s: the header differs from mkswap's", page)
		}
		if !bytes.Equal(got[info.PageSize:64<<10], make([]byte, 64<<10-info.PageSize)) {
			t.Errorf("page %s: there are bytes behind the header", page)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	at := func(off int, s string) []byte {
		b := make([]byte, 128<<10)
		copy(b[off:], s)
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		want swap.Info
		err  error
	}{
		{"zeros", make([]byte, 128<<10), swap.Info{}, swap.ErrNotSwap},
		{"nothing", nil, swap.Info{}, swap.ErrNotSwap},
		{"too short", at(4086, "SWAPSPACE2")[:4095], swap.Info{}, swap.ErrNotSwap},
		{"old", at(4086, "SWAP-SPACE"), swap.Info{PageSize: 4096, Pages: 32}, nil},
		{"hibernated", at(4086, "S1SUSPEND"), swap.Info{PageSize: 4096, Pages: 1, Suspended: true}, nil},
		{"hibernated 16k", at(16374, "LINHIB0001"), swap.Info{PageSize: 16384, Pages: 1, Suspended: true}, nil},
		{"not hibernated", at(4086, "S1SUSPENDED"), swap.Info{}, swap.ErrNotSwap},
	} {
		got, err := swap.Open(bytes.NewReader(c.b), int64(len(c.b)))
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: got %+v, %v, want %+v, %v", c.name, got, err, c.want, c.err)
		}
	}
}

func TestBigEndian(t *testing.T) {
	t.Parallel()
	want := swap.Info{PageSize: 4096, Pages: 512, UUID: id, BigEndian: true}
	if got, err := read(t, write(t, 2*mib, want)); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestMakeRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size int64
		s    swap.Info
		want string
	}{
		{2 * mib, swap.Info{PageSize: 1000}, "do not exist"},
		{36 << 10, swap.Info{PageSize: 4096}, "are needed"},
		{2 * mib, swap.Info{PageSize: 4096, UUID: "1234"}, "no UUID"},
		{2 * mib, swap.Info{PageSize: 4096, Label: "seventeen letters"}, "longer"},
	} {
		if err := swap.Make(nil, c.size, c.s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.s, err, c.want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(append(bytes.Repeat([]byte{1}, 4086), "SWAPSPACE2"...))
	f.Add(append(make([]byte, 4086), "S1SUSPEND\x00"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := swap.Open(bytes.NewReader(b), int64(len(b)))
		if err == nil && (s.PageSize < 4096 || s.Pages < 0 || s.Size() < 0) {
			t.Errorf("got %+v", s)
		}
	})
}
