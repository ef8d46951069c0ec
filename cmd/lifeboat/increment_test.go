package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"lifeboat/internal/fixture"
)

// TestDamagedBase backs a mounted disk up whose last snapshot lost its bytes: all
// is read, the damage is told, and the next snapshot is whole.
func TestDamagedBase(t *testing.T) {
	t.Parallel()
	node, dir := mountedDisk(t)
	pis := filepath.Join(t.TempDir(), "pis")
	if code := run([]string{"repo", "init", pis}); code != 0 {
		t.Fatalf("repo init: exit code %d", code)
	}
	state := t.TempDir()
	damage := func() {
		chunks, err := filepath.Glob(pis + "/*/*/*.cacnk")
		if err != nil || len(chunks) == 0 {
			t.Fatal(chunks, err)
		}
		for _, path := range chunks {
			if err := os.Truncate(path, 9); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, c := range []struct {
		before func()
		want   []string
	}{
		{func() {}, []string{"all was read: there is no earlier snapshot"}},
		{func() {}, []string{"what may have changed"}},
		{damage, []string{
			"once more, and all is read", ": it is put anew", "all was read: the snapshot that goes before: ", "but: the repository is damaged (the snapshot that goes before: ",
		}},
		{func() {}, []string{"all was read: what is known here is not of the series' last snapshot"}},
	} {
		for n := range 20 {
			file := fmt.Sprintf("%s/file%d", dir, n*10)
			if err := os.WriteFile(file, bytes.Repeat([]byte{byte(i), byte(n)}, 5000+i), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		unix.Sync()
		c.before()
		got := backupMounted(t, node, pis, state)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("backup %d: got %s\nwant %q in it", i, got, want)
			}
		}
	}
	card := filepath.Join(t.TempDir(), "card.img")
	if code := run([]string{"restore", "--grow=none", pis + "@latest", card}); code != 0 && code != 5 { // it does not boot
		t.Fatalf("restore: exit code %d", code)
	}
	fixture.Check(t, card)
}

// mountedDisk has one ext4 part with some files, mounted at dir.
func mountedDisk(t *testing.T) (node, dir string) {
	t.Helper()
	fixture.Need(t, "mke2fs", "sfdisk", "addpart", "delpart")
	file := fixture.Sparse(t, "disk.img", 128<<20)
	fixture.Run(t, "sh", "-c", "printf '4M,,83\n' | sfdisk -q "+file)
	node = fixture.Loop(t, file)
	fixture.Run(t, "addpart", node, "1", "8192", fmt.Sprint(124<<11))
	t.Cleanup(func() { undone(t, "delpart", node, "1") })
	fixture.Run(t, "mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0", node+"p1")
	dir = t.TempDir()
	if err := unix.Mount(node+"p1", dir, "ext4", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fixture.Unmount(dir); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	for n := range 300 {
		if err := os.WriteFile(fmt.Sprintf("%s/file%d", dir, n), bytes.Repeat([]byte{byte(n), byte(n >> 8), 7}, 40000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return node, dir
}

// backupMounted backs a disk up as the running system's, and returns what is said.
func backupMounted(t *testing.T, node, place, state string) string {
	t.Helper()
	var said strings.Builder
	var mu sync.Mutex
	e := hostEnv()
	e.stdout, e.stderr, e.stateDir = &said, io.Discard, state
	e.divert = func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&said, format+"\n", args...)
	}
	r, err := e.openRepo(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o := backupOptions{from: "/", to: place, snapshot: snapshotOptions{series: "0123456789abcdef", every: 1000}}
	err = e.withLive(t.Context(), node, o, func(src *origin, o backupOptions) error { return e.saveSnapshot(t.Context(), src, r, o) })
	var reserved reservedError
	if err != nil && !errors.As(err, &reserved) {
		t.Fatalf("%v\n%s", err, said.String())
	}
	return said.String()
}
