package fit_test

import (
	"bytes"
	"os"
	"testing"

	"lifeboat/clone/fit"
	"lifeboat/internal/fixture"
)

// FuzzSurvey holds that no bytes make a reader of ours fall over, and that what
// it takes for a file system has an answer.
func FuzzSurvey(f *testing.F) {
	fixture.Need(f, "mke2fs")
	for _, args := range [][]string{{"-t", "ext4", "-b", "1024"}, {"-t", "ext2", "-b", "1024", "-g", "256"}, {"-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"}} {
		path := fixture.Sparse(f, "seed", 1<<20)
		fixture.Run(f, "mke2fs", append(append([]string{"-q", "-F"}, args...), path)...)
		b, err := os.ReadFile(path)
		must(f, err)
		f.Add(b[:16<<10], int64(len(b)))
	}
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if size < 0 || size > 1<<26 {
			return
		}
		if facts, err := fit.Learn(b, size); err == nil {
			ask(t, facts)
		}
		if facts, err := fit.Survey(bytes.NewReader(b), int64(len(b))); err == nil {
			ask(t, facts)
		}
	})
}

func ask(t *testing.T, f *fit.Facts) {
	t.Helper()
	if a := fit.Need(f, f.Size/2); a.MissingBytes < 0 || a.MissingInodes < 0 || a.Min < 0 || a.Fits && a.MissingBytes > 0 {
		t.Errorf("got %+v", a)
	}
	if err := f.Used.Check(f.Size); f.Used != nil && err != nil {
		t.Errorf("used: %v", err)
	}
}
