package live_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"lifeboat/internal/fixture"
)

// TestTogether has two file systems on one disk, and a program that writes to
// one, syncs, and writes to the other: the image has both as of one instant.
func TestTogether(t *testing.T) {
	t.Parallel()
	c := newCard(t)
	fixture.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", c.disk+"p1")
	data := t.TempDir()
	if err := unix.Mount(c.disk+"p1", data, "ext4", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fixture.Unmount(data) })
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- alternate(stop, filepath.Join(data, "log"), filepath.Join(c.dir, "log")) }()

	image := filepath.Join(t.TempDir(), "image")
	s := c.open(t, options(t))
	_, err := save(t, s, image)
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	first := fileIn(t, image, fixture.Part{Num: 1, Off: c.part1.Off, Size: c.part1.Len})
	second := fileIn(t, image, fixture.Part{Num: 2, Off: c.part2.Off, Size: c.part2.Len})
	if d := len(first) - len(second); len(second) == 0 || d != 0 && d != 1 || !bytes.HasPrefix(first, second) {
		t.Errorf("the logs have %d and %d bytes: that was so at no instant", len(first), len(second))
	}
}

// alternate appends a byte to each file in turn, and syncs it.
func alternate(stop chan struct{}, names ...string) error {
	var files []*os.File
	for _, name := range names {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		files = append(files, f)
	}
	for {
		for _, f := range files {
			if _, err := f.WriteString("x"); err != nil {
				return err
			}
			if err := f.Sync(); err != nil {
				return err
			}
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

// fileIn is the file "log" of an image's part, read by the kernel.
func fileIn(t *testing.T, image string, p fixture.Part) []byte {
	t.Helper()
	part := fixture.Cut(t, image, p)
	fixture.Run(t, "e2fsck", "-fn", part)
	node, dir := fixture.Loop(t, part), t.TempDir()
	if err := unix.Mount(node, dir, "ext4", unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	defer fixture.Unmount(dir)
	return read(t, filepath.Join(dir, "log"))
}
