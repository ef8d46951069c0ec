package atomicfile_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lifeboat/internal/atomicfile"
	"lifeboat/internal/fixture"
)

func TestMain(m *testing.M) {
	fixture.Main(m, map[string]func(*testing.T, []string){"victim": victim})
}

// victim is the process that TestKilled kills.
func victim(t *testing.T, args []string) {
	f, err := atomicfile.Create(args[0], 0o600)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(f, "half of it")
	fmt.Println("written")
	time.Sleep(time.Hour)
}

// TestKilled holds that the next writer for a name removes what a killed one
// left, and nothing else: not the file of one that lives, and no other name's.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "card.img")
	var others []string
	for _, name := range []string{"card.img", ".card.img", ".card.imgx7", ".card.img.json77", "card.img5", ".card.im5"} {
		others = append(others, filepath.Join(dir, name))
		if err := os.WriteFile(others[len(others)-1], []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(path, filepath.Join(dir, ".card.img123")); err != nil {
		t.Fatal(err)
	}
	others = append(others, filepath.Join(dir, ".card.img123"))
	victim, left := startVictim(t, path)
	atomicfile.Sweep(path)
	if got := read(t, left); got != "half of it\n" {
		t.Fatalf("beside a writer that lives: got %q", got)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // it was killed
	if err := atomicfile.Write(path, []byte("whole"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s of a dead writer: got %v, want it gone", left, err)
	}
	for _, name := range others {
		if _, err := os.Lstat(name); err != nil {
			t.Error(err)
		}
	}
	if got := read(t, path); got != "whole" {
		t.Errorf("got %q, want the new content", got)
	}
}

// startVictim waits until it has written, and finds its file.
func startVictim(t *testing.T, path string) (*exec.Cmd, string) {
	t.Helper()
	before := files(t, filepath.Dir(path))
	cmd := fixture.Child(t, "victim", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "written\n" {
		t.Fatalf("the writer says %q, %v", line, err)
	}
	for name := range files(t, filepath.Dir(path)) {
		if !before[name] {
			return cmd, filepath.Join(filepath.Dir(path), name)
		}
	}
	t.Fatal("the writer has no file")
	return nil, ""
}

func files(t *testing.T, dir string) map[string]bool {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, e := range entries {
		names[e.Name()] = true
	}
	return names
}

// TestWritersOfOneName lets many write the same file at once, and sweep beside
// each other: none may lose what it wrote before it has its name.
func TestWritersOfOneName(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 10 {
				if err := atomicfile.Write(path, []byte("content"), 0o600); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if n := names(t, filepath.Dir(path)); n != 1 {
		t.Errorf("%d files are left, want 1", n)
	}
}
