package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"lifeboat/internal/atomicfile"
)

// What FAT itself makes of all this is seen in guests: clone/repo, TestInGuest.

func TestTornNames(t *testing.T) {
	t.Parallel()
	types := []string{"CAC", "JSO"}
	for name, want := range map[string]bool{
		"0A1B2C~1.CAC": true, "202611~8.JSO": true, "CA54F1~12.JSO": false, "CA54F1~1.JSO": true, "A~1.CAC": true,
		"0a1b2c~1.CAC": false, "0A1B2C.CAC": false, "0A1B2C~.CAC": false, "0A1B2C~x.CAC": false, "0A1B2C~1.CACN": false, "0A1B2C~1.TXT": false, "0A1B2C~1": false,
	} {
		if got := atomicfile.Torn(name, types); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	for name, want := range map[string]bool{"LB00FF12.NEW": true, "LB00ff12.NEW": false, "LB0FF12.NEW": false, "LB00FF12.NEW1": false, "LB00FF12": false, "intents": false, "FSCK0000.001": true, "FSCK0000.REC": false, "FSCK000.001": false} {
		if got := atomicfile.Unfit(name); got != want {
			t.Errorf("%s is unfit: got %v, want %v", name, got, want)
		}
	}
}

func TestFolders(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir := filepath.Join(top, "a", "b")
	for range 2 {
		if err := atomicfile.MkdirAll(dir+"/", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := atomicfile.Mkdir(dir, 0o755); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v for a folder that is there", err)
	}
	file := filepath.Join(dir, "file")
	if err := errors.Join(atomicfile.Write(file, []byte("x"), 0o600), atomicfile.Rename(file, file+"2"), atomicfile.Remove(file+"2")); err != nil {
		t.Error(err)
	}
	if err := atomicfile.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v for a file that is not there", err)
	}
	if err := errors.Join(atomicfile.Write(file, []byte("x"), 0o600), atomicfile.MkdirAll(file, 0o755)); err != nil {
		if st, serr := os.Stat(file); serr != nil || st.IsDir() {
			t.Errorf("a file is a folder now: %v", err)
		}
	}
	if n := names(t, dir); n != 1 {
		t.Errorf("%d files, want 1", n)
	}
}
