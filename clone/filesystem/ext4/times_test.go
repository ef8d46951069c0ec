package ext4_test

import (
	"bytes"
	"io/fs"
	"regexp"
	"testing"

	"lifeboat/clone/filesystem/ext4"
)

// changeTimes gives a directory the times of a file, some of which need all bits.
func changeTimes(t *testing.T, img []byte) {
	t.Helper()
	f, err := ext4.Open(bytes.NewReader(img), int64(len(img)))
	must(t, err)
	from, to := stat(t, f, "magic"), stat(t, f, "dir/sub")
	if from.Times == to.Times {
		t.Fatalf("got equal times %v", from.ModTime)
	}
	must(t, f.SetTimes(image(img), to.Ino, from.Times))
	f, err = ext4.Open(bytes.NewReader(img), int64(len(img)))
	must(t, err)
	if to = stat(t, f, "dir/sub"); from.Times != to.Times || !from.ModTime.Equal(to.ModTime) || !from.ChangeTime.Equal(to.ChangeTime) {
		t.Errorf("got times %v, want %v", to, from)
	}
	if err := f.SetTimes(image(img), 1<<31, from.Times); err == nil {
		t.Error("an inode that is not there: got no error")
	}
}

func stat(t *testing.T, f *ext4.FS, name string) *ext4.Stat {
	t.Helper()
	info, err := fs.Stat(f.Files(), name)
	must(t, err)
	return info.Sys().(*ext4.Stat)
}

var timeLine = regexp.MustCompile(`(?m)^ *([mc]time: .*)$`)

// sameTimes asks debugfs whether changeTimes did it.
func sameTimes(t *testing.T, path string) {
	t.Helper()
	got := timeLine.FindAllString(debugfs(t, path, "stat dir/sub\nstat magic\n"), -1)
	if len(got) != 4 || got[0] != got[2] || got[1] != got[3] {
		t.Errorf("debugfs: got %q, want times that repeat", got)
	}
}
