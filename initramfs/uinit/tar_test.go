package uinit_test

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/internal/fixture"
)

// GNU tar judges what ours packs, and packs what ours unpacks.
func TestTarAsGNU(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "tar", "diff")
	dir := t.TempDir()
	long := strings.Repeat("long/", 40)
	if err := os.MkdirAll(filepath.Join(dir, "in", long), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "in", long, "file"), bytes.Repeat([]byte("x"), 100000), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", dir+"/in/link"); err != nil {
		t.Fatal(err)
	}
	if _, errs := says(t, "cd "+dir+"\ntar czf ours.tgz in\n"); errs != "" {
		t.Fatal(errs)
	}
	if err := os.Mkdir(dir+"/gnu", 0o755); err != nil {
		t.Fatal(err)
	}
	fixture.Run(t, "tar", "-xzf", dir+"/ours.tgz", "-C", dir+"/gnu")
	fixture.Run(t, "diff", "-r", "--no-dereference", dir+"/in", dir+"/gnu/in")

	fixture.Run(t, "tar", "-cf", dir+"/gnu.tar", "-C", dir, "in")
	if _, errs := says(t, "cd "+dir+"\nmkdir ours\ntar -x -f gnu.tar -C ours\n"); errs != "" {
		t.Fatal(errs)
	}
	fixture.Run(t, "diff", "-r", "--no-dereference", dir+"/in", dir+"/ours/in")
	info, err := os.Stat(filepath.Join(dir, "ours/in", long, "file"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v; want 0640", info, err)
	}
}

func TestTarStaysInside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Name: "link", Typeflag: tar.TypeSymlink, Linkname: dir},
		{Name: "link/through", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "../up", Typeflag: tar.TypeReg, Mode: 0o644},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	if err := os.WriteFile(dir+"/bad.tar", b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	_, errs := says(t, "cd "+dir+"\nmkdir in\ntar -x -f bad.tar -C in\n")
	if errs == "" {
		t.Error("a path through a link out of the folder was taken without a word")
	}
	for _, name := range []string{"through", "up"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was written outside of the folder", name)
		}
	}
}
