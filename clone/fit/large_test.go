package fit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lifeboat/clone/filesystem"
	"lifeboat/clone/fit"
	"lifeboat/internal/fixture"
)

// TestLarge plans for a large file system: the answer comes from metadata alone,
// and the memory that it takes grows with pieces. A campaign.
func TestLarge(t *testing.T) {
	fixture.Long(t)
	fixture.Root(t)
	const gib = 1 << 30
	path := fixture.Sparse(t, "large", 64*gib)
	fixture.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", path)
	mounted(t, path, "", fillLarge(t))
	facts := survey(t, path)
	answer := fit.Need(facts, 32*gib)
	t.Logf("%d bytes in %d pieces, %+v", facts.Used.Bytes(), len(facts.Used), answer)
	src, err := os.Open(path)
	must(t, err)
	defer src.Close()
	scratch, err := os.Create(filepath.Join(t.TempDir(), "scratch"))
	must(t, err)
	defer scratch.Close()
	to := &target{File: scratch}
	p, err := fit.New(fit.Options{Facts: facts, To: to, From: src, Size: answer.Min, Run: filesystem.ExecBound, OpenFuse: openFuse, Logf: t.Logf})
	must(t, err)
	start := time.Now()
	must(t, p.Start(t.Context()))
	must(t, p.Shrink(t.Context()))
	runtime.GC()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	t.Logf("%v, %d bytes of metadata written, %d MiB of heap, %+v", time.Since(start), to.written, mem.HeapAlloc>>20, p.Stats())
	must(t, p.Settle(t.Context()))
	if got, most := to.written, facts.Used.Bytes()/20; got > most {
		t.Errorf("the plan wrote %d bytes, want at most %d", got, most)
	}
	if got, most := mem.HeapAlloc>>20, uint64(96); got > most {
		t.Errorf("the heap has %d MiB, want at most %d", got, most)
	}
	want := p.Want().Bytes()
	if got := facts.Used.Bytes(); want > got || want < got/2 {
		t.Errorf("wants %d bytes of %d in use", want, got)
	}
}

// fillLarge makes many files without writing their bytes, with gaps between.
func fillLarge(t *testing.T) func(root string) {
	return func(root string) {
		for i := range 60000 {
			dir := filepath.Join(root, fmt.Sprintf("%03d", i/200))
			must(t, os.MkdirAll(dir, 0o755))
			for _, name := range []string{"keep", "drop"} {
				f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s-%06d", name, i)))
				must(t, err)
				must(t, unix.Fallocate(int(f.Fd()), 0, 0, 4096*int64(100+i%61)))
				must(t, f.Close())
			}
		}
		drop, err := filepath.Glob(filepath.Join(root, "*", "drop-*"))
		must(t, err)
		for _, name := range drop {
			must(t, os.Remove(name))
		}
	}
}
