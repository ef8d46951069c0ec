package fit_test

import (
	"io"
	"os"
	"testing"

	"lifeboat/clone/filesystem/ext4"
	"lifeboat/clone/fit"
	"lifeboat/internal/fixture"
)

// A counter counts what is read through it.
type counter struct {
	r     io.ReaderAt
	bytes int64
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.bytes += int64(n)
	return n, err
}

// openLarge makes a file system of 32 GB with nothing in it.
func openLarge(tb testing.TB, args ...string) (*os.File, int64) {
	tb.Helper()
	fixture.Need(tb, "mke2fs")
	const size = 32e9
	path := fixture.Sparse(tb, "large", size)
	fixture.Run(tb, "mke2fs", append(append([]string{"-q", "-F", "-t", "ext4"}, args...), path)...)
	f, err := os.Open(path)
	must(tb, err)
	tb.Cleanup(func() { f.Close() })
	return f, size
}

// askUsed is what a survey costs that only asks what is in use.
func askUsed(tb testing.TB, r io.ReaderAt, size int64) {
	tb.Helper()
	f, err := ext4.Open(r, size)
	must(tb, err)
	_, err = f.Used()
	must(tb, err)
}

// TestSurveyReads holds that the facts cost no read that the used bytes do not:
// each disk that is looked at pays for them.
func TestSurveyReads(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"-O", "meta_bg,^resize_inode"}} {
		f, size := openLarge(t, args...)
		used, all := &counter{r: f}, &counter{r: f}
		askUsed(t, used, size)
		_, err := fit.Survey(all, size)
		must(t, err)
		if all.bytes != used.bytes || all.bytes == 0 {
			t.Errorf("%v: Survey read %d bytes, want %d", args, all.bytes, used.bytes)
		}
	}
}

// BenchmarkSurvey compares Survey, and Need behind it, to what it is built on.
func BenchmarkSurvey(b *testing.B) {
	f, size := openLarge(b)
	b.Run("used", func(b *testing.B) {
		for b.Loop() {
			askUsed(b, f, size)
		}
	})
	b.Run("survey", func(b *testing.B) {
		for b.Loop() {
			_, err := fit.Survey(f, size)
			must(b, err)
		}
	})
	b.Run("need", func(b *testing.B) {
		facts, err := fit.Survey(f, size)
		must(b, err)
		for b.Loop() {
			fit.Need(facts, size)
		}
	})
}
