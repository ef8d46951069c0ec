// Package storetest is for tests: it answers whether a kind of store is one.
// Every kind runs this suite; no shipped binary links it.
package storetest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"lifeboat/clone/store"
)

// Run tests the kind of store that open makes. It makes a new one, with the
// given files in it, at each call.
func Run(t *testing.T, open func(t *testing.T, files map[string]string) store.Store) {
	for name, test := range map[string]func(*testing.T, store.Store){
		"open": testOpen, "missing": testMissing, "cancelled": testCancelled, "names": testNames,
		"stat": testStat, "resume": testResume, "readerat": testReaderAt,
		"put": testPut, "put whole or absent": testPutWhole, "batch": testBatch, "list": testList, "remove": testRemove, "move": testMove,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t, maps.Clone(files)))
		})
	}
}

const card = "cards/pi 4%20.img"

var files = map[string]string{
	card:              strings.Repeat("0123456789abcdef", 10_000),
	"cards/pi.json":   `{"version":1}`,
	"empty":           "",
	"snapshots/2.idx": "two",
}

func testOpen(t *testing.T, s store.Store) {
	size := int64(len(files[card]))
	for _, off := range []int64{0, 1, 15, size - 1, size} {
		body, err := s.Open(t.Context(), card, off)
		if err != nil {
			t.Fatalf("from %d: %v", off, err)
		}
		got, err := io.ReadAll(body)
		if err != nil || string(got) != files[card][off:] {
			t.Errorf("from %d: got %d bytes and %v", off, len(got), err)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, off := range []int64{-1, size + 1} {
		if _, err := s.Open(t.Context(), card, off); err == nil {
			t.Errorf("from %d: got no error", off)
		}
	}
	body, err := s.Open(t.Context(), "empty", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || len(got) != 0 {
		t.Errorf("empty: got %q and %v", got, err)
	}
}

func testMissing(t *testing.T, s store.Store) {
	_, err := s.Open(t.Context(), "cards/none", 0)
	wantIs(t, "open", err, fs.ErrNotExist)
	_, err = store.Stat(t.Context(), s, "cards/none")
	wantIs(t, "stat", err, fs.ErrNotExist)
	_, _, err = store.Resume(t.Context(), s, "cards/none", store.ResumeOptions{})
	wantIs(t, "resume", err, fs.ErrNotExist)
	_, _, err = store.ReaderAt(t.Context(), s, "cards/none", store.ResumeOptions{})
	wantIs(t, "readerat", err, fs.ErrNotExist)
	if err := s.Remove(t.Context(), "cards/none"); !errors.Is(err, errors.ErrUnsupported) {
		wantIs(t, "remove", err, fs.ErrNotExist)
	}
}

func testCancelled(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	body, err := s.Open(ctx, card, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	cancel()
	_, err = io.ReadAll(body)
	wantIs(t, "read", err, context.Canceled)
	if err := s.Put(ctx, "new", 3, strings.NewReader("new")); !errors.Is(err, errors.ErrUnsupported) {
		wantIs(t, "put", err, context.Canceled)
	}
}

func testBatch(t *testing.T, s store.Store) {
	files := map[string]string{"chunks/0a/1": "one", "chunks/0b/2": strings.Repeat("two", 100_000), "3": ""}
	b := putBatch(t, s, files)
	if b == nil {
		return
	}
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		wantContent(t, s, name, want)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	// One that is given up leaves whole files, or nothing that a list shows.
	b = putBatch(t, s, map[string]string{"given/up": "given up"})
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	for info, err := range s.List(t.Context(), "given/") {
		if err != nil {
			t.Fatal(err)
		}
		wantContent(t, s, info.Name, "given up")
	}
}

// putBatch puts files; nil where that kind of store is only read.
func putBatch(t *testing.T, s store.Store, files map[string]string) store.Batch {
	t.Helper()
	b, err := store.NewBatch(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		err := b.Put(t.Context(), name, int64(len(data)), strings.NewReader(data))
		if errors.Is(err, errors.ErrUnsupported) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func testNames(t *testing.T, s store.Store) {
	if _, err := s.Open(t.Context(), "../secret", 0); err == nil {
		t.Error("a name that leads out: got no error")
	}
	if err := s.Put(t.Context(), "../secret", 1, strings.NewReader("x")); err == nil {
		t.Error("a name that leads out: put got no error")
	}
}

func testStat(t *testing.T, s store.Store) {
	for name, content := range files {
		info, err := store.Stat(t.Context(), s, name)
		if err != nil || info.Name != name || info.Size != int64(len(content)) {
			t.Errorf("%s: got %+v and %v, want size %d", name, info, err, len(content))
		}
	}
}

func testResume(t *testing.T, s store.Store) {
	for name, content := range files {
		body, info, err := store.Resume(t.Context(), s, name, store.ResumeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(body, []byte(content)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if info.Size != int64(len(content)) {
			t.Errorf("%s: got size %d, want %d", name, info.Size, len(content))
		}
		body.Close()
	}
}

func testReaderAt(t *testing.T, s store.Store) {
	for name, content := range files {
		r, size, err := store.ReaderAt(t.Context(), s, name, store.ResumeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if size != int64(len(content)) {
			t.Errorf("%s: got size %d, want %d", name, size, len(content))
		}
		for _, span := range [][2]int64{{0, size}, {size / 2, size}, {size / 3, size / 2}, {0, min(size, 1)}} {
			got := make([]byte, span[1]-span[0])
			if n, err := r.ReadAt(got, span[0]); n < len(got) || err != nil && err != io.EOF || string(got) != content[span[0]:span[1]] {
				t.Errorf("%s: bytes %v: got %d and %v", name, span, n, err)
			}
		}
		if n, err := r.ReadAt(make([]byte, 10), size); n != 0 || err != io.EOF {
			t.Errorf("%s: behind the end: got %d and %v", name, n, err)
		}
		r.Close()
	}
}

// put skips the test where a store says that it cannot write.
func put(t *testing.T, s store.Store, name, content string) {
	t.Helper()
	err := s.Put(t.Context(), name, int64(len(content)), strings.NewReader(content))
	if errors.Is(err, errors.ErrUnsupported) {
		wantIs(t, "remove", s.Remove(t.Context(), name), errors.ErrUnsupported)
		t.Skip("a store that is read only")
	}
	if err != nil {
		t.Fatal(err)
	}
}

func wantContent(t *testing.T, s store.Store, name, want string) {
	t.Helper()
	body, err := s.Open(t.Context(), name, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || string(got) != want {
		t.Errorf("%s: got %d bytes and %v, want %d", name, len(got), err, len(want))
	}
}

func testPut(t *testing.T, s store.Store) {
	put(t, s, "a/b/new", "first")
	wantContent(t, s, "a/b/new", "first")
	put(t, s, "a/b/new", "second one")
	wantContent(t, s, "a/b/new", "second one")
	put(t, s, "nothing", "")
	wantContent(t, s, "nothing", "")
	big := strings.Repeat("x", 3<<20+1)
	if err := s.Put(t.Context(), "unknown size", -1, strings.NewReader(big)); err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, "unknown size", big)
}

func testPutWhole(t *testing.T, s store.Store) {
	put(t, s, "card", "old")
	fault := errors.New("cable pulled")
	for name, r := range map[string]io.Reader{
		"short": strings.NewReader("1234"), "long": strings.NewReader("123456"),
		"broken": io.MultiReader(strings.NewReader("123"), iotest.ErrReader(fault)),
	} {
		for _, file := range []string{"card", "fresh"} {
			err := s.Put(t.Context(), file, 5, r)
			if err == nil || name == "broken" && file == "card" && !errors.Is(err, fault) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		wantContent(t, s, "card", "old")
		_, err := store.Stat(t.Context(), s, "fresh")
		wantIs(t, name, err, fs.ErrNotExist)
	}
	if got := list(t, s, ""); len(got) != len(files)+1 {
		t.Errorf("left behind: got %q", got)
	}
}

func list(t *testing.T, s store.Store, prefix string) []string {
	t.Helper()
	var names []string
	for info, err := range s.List(t.Context(), prefix) {
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip("a store that does not list")
		}
		if err != nil {
			t.Fatal(err)
		}
		if content, ok := files[info.Name]; ok && info.Size != int64(len(content)) {
			t.Errorf("%s: got size %d, want %d", info.Name, info.Size, len(content))
		}
		names = append(names, info.Name)
	}
	slices.Sort(names)
	return names
}

func testList(t *testing.T, s store.Store) {
	for prefix, want := range map[string][]string{
		"":            slices.Sorted(maps.Keys(files)),
		"cards/":      {card, "cards/pi.json"},
		"cards/pi":    {card, "cards/pi.json"},
		"cards/pi.":   {"cards/pi.json"},
		"s":           {"snapshots/2.idx"},
		"nothing/has": nil,
	} {
		if got := list(t, s, prefix); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", prefix, got, want)
		}
	}
	for range s.List(t.Context(), "") {
		break // must not go on, nor panic
	}
}

func testRemove(t *testing.T, s store.Store) {
	put(t, s, "card", "old")
	if err := s.Remove(t.Context(), "card"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Open(t.Context(), "card", 0)
	wantIs(t, "open", err, fs.ErrNotExist)
	wantContent(t, s, card, files[card])
}

func testMove(t *testing.T, s store.Store) {
	put(t, s, "cards/.new", "new")
	if err := store.Move(t.Context(), s, "cards/.new", card); err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, card, "new")
	_, err := s.Open(t.Context(), "cards/.new", 0)
	wantIs(t, "open", err, fs.ErrNotExist)
	wantIs(t, "move what is not there", store.Move(t.Context(), s, "cards/.new", card), fs.ErrNotExist)
	wantContent(t, s, card, "new")
	put(t, s, "first", "1")
	if err := store.Move(t.Context(), s, "first", "cards/second"); err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, "cards/second", "1")
}

func wantIs(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}
