package fit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"lifeboat/clone/filesystem"
	"lifeboat/clone/fit"
	"lifeboat/internal/fixture"
)

// A fuse is a target that does something at its n-th read or write.
type fuse struct {
	*target
	left atomic.Int64
	blow func()
}

func (f *fuse) burn() {
	if f.left.Add(-1) == 0 {
		f.blow()
	}
}

func (f *fuse) ReadAt(b []byte, off int64) (int, error) {
	f.burn()
	return f.target.ReadAt(b, off)
}

func (f *fuse) WriteAt(b []byte, off int64) (int, error) {
	f.burn()
	return f.target.WriteAt(b, off)
}

// operations counts the reads and writes of one whole run.
func operations(t *testing.T, tr *trial) int64 {
	t.Helper()
	tr.to = newTarget(t, tr.size)
	counter := &fuse{target: tr.to, blow: func() {}}
	tr.between = counter
	tr.must(t)
	return -counter.left.Load()
}

func TestMain(m *testing.M) {
	fixture.Main(m, map[string]func(*testing.T, []string){"victim": victim})
}

// victim is the process that testKill kills: it kills itself, amid its n-th read
// or write, with requests of e2fsck or resize2fs under way.
func victim(t *testing.T, arg []string) {
	size, err := strconv.ParseInt(arg[2], 10, 64)
	must(t, err)
	n, err := strconv.ParseInt(arg[3], 10, 64)
	must(t, err)
	f, err := os.OpenFile(arg[1], os.O_RDWR, 0)
	must(t, err)
	bomb := &fuse{target: &target{File: f}, blow: func() {
		must(t, syscall.Kill(os.Getpid(), syscall.SIGKILL))
		select {}
	}}
	bomb.left.Store(n)
	tr := trial{path: arg[0], size: size, facts: survey(t, arg[0]), to: bomb.target, between: bomb}
	t.Fatal("it survived: ", tr.run(t))
}

func smallRecipe() recipe {
	r := recipes()[0]
	r.data /= 3
	return r
}

// TestFailures lets things go wrong with one file system.
func TestFailures(t *testing.T) {
	t.Parallel()
	path := smallRecipe().make(t)
	facts := survey(t, path)
	for name, test := range map[string]func(*testing.T, string, *fit.Facts){
		"kill": testKill, "cancel": testCancel, "broken target": testBrokenTarget, "too small": testTooSmall, "tried": testTried,
	} {
		t.Run(name, func(t *testing.T) { test(t, path, facts) })
	}
}

// testKill kills the process at some moments: the target cannot be mounted,
// nothing is left behind, and a second run succeeds on what lies there.
func testKill(t *testing.T, path string, facts *fit.Facts) {
	killAt(t, path, facts, 4, 1)
}

// TestKillOften is the same with many moments, as a campaign.
func TestKillOften(t *testing.T) {
	t.Parallel()
	fixture.Long(t)
	path := smallRecipe().make(t)
	killAt(t, path, survey(t, path), 60, uint64(time.Now().UnixNano()))
}

func killAt(t *testing.T, path string, facts *fit.Facts, times int64, seed uint64) {
	t.Helper()
	want := listing(t, path)
	whole := &trial{path: path, facts: facts, size: sizes(facts)[1]}
	total := operations(t, whole)
	whole.between = nil
	rnd := rand.New(rand.NewPCG(seed, 0))
	for i := range times {
		// The last operation is the superblock's write: behind it all is well.
		n := 1 + total*i/times + rnd.Int64N(max(1, total/times-1))
		cmd := fixture.Child(t, "victim", path, whole.to.Name(), fmt.Sprint(whole.size), fmt.Sprint(n))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("killed at operation %d of %d: %v\n%s", n, total, err, out)
		}
		noneLeft(t, cmd.Process.Pid)
		unmountable(t, whole.to.Name(), fmt.Sprintf("killed at operation %d of %d (seed %d)", n, total, seed))
	}
	whole.to.written = 0
	whole.must(t)
	whole.judge(t, want)
}

// noneLeft waits for the end of the programs that worked on a device of process
// pid.
func noneLeft(t *testing.T, pid int) {
	t.Helper()
	device := fmt.Sprintf("/proc/%d/fd/", pid)
	deadline := time.Now().Add(20 * time.Second)
	for {
		found := ""
		lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
		must(t, err)
		for _, name := range lines {
			if b, err := os.ReadFile(name); err == nil && strings.Contains(string(b), device) {
				found = name
			}
		}
		if found == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s still works on a device whose server is dead", found)
		}
		time.Sleep(10 * time.Millisecond)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	if strings.Contains(string(mounts), "fuse lifeboat") {
		t.Errorf("a mount is left")
	}
}

// unmountable holds that neither the kernel nor blkid take what lies on path for
// a file system. (e2fsck may: it looks for copies of the superblock.)
func unmountable(t *testing.T, path, when string) {
	t.Helper()
	root := t.TempDir()
	if _, code := fixture.Try(t, "mount", "-o", "loop,ro,noload", path, root); code == 0 {
		fixture.Run(t, "umount", root)
		t.Errorf("%s: it can be mounted", when)
	}
	if fs := fixture.FSType(t, path); fs != "" {
		t.Errorf("%s: blkid finds %s", when, fs)
	}
}

// testCancel holds that a cancelled run ends at once, whatever it is doing, and
// leaves nothing.
func testCancel(t *testing.T, path string, facts *fit.Facts) {
	tr := &trial{path: path, facts: facts, size: sizes(facts)[1]}
	total := operations(t, tr)
	for _, percent := range []int64{60, 97} {
		ctx, cancel := context.WithCancel(t.Context())
		fuse := &fuse{target: tr.to, blow: cancel}
		fuse.left.Store(total * percent / 100)
		tr.between, tr.ctx = fuse, ctx
		start := time.Now()
		if err := tr.run(t); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled after %d %%: got %v, want %v", percent, err, context.Canceled)
		}
		if took := time.Since(start); took > 60*time.Second {
			t.Errorf("cancelled after %d %%: it took %v", percent, took)
		}
		noneLeft(t, os.Getpid())
		unmountable(t, tr.to.Name(), fmt.Sprintf("cancelled after %d %%", percent))
	}
}

// testBrokenTarget holds that an error of the target comes up, with its words.
func testBrokenTarget(t *testing.T, path string, facts *fit.Facts) {
	tr := &trial{path: path, facts: facts, size: sizes(facts)[1]}
	total := operations(t, tr)
	for _, percent := range []int64{10, 80, 98} {
		bad := &brokenTarget{target: tr.to}
		bad.left.Store(total * percent / 100)
		tr.between = bad
		if err := tr.run(t); !errors.Is(err, errBroken) {
			t.Errorf("broken after %d %%: got %v, want %v", percent, err, errBroken)
		}
		unmountable(t, tr.to.Name(), fmt.Sprintf("broken after %d %%", percent))
	}
}

var errBroken = errors.New("the card is gone")

// A brokenTarget takes no more after some operations.
type brokenTarget struct {
	*target
	left atomic.Int64
}

func (b *brokenTarget) ReadAt(p []byte, off int64) (int, error) {
	if b.left.Add(-1) < 0 {
		return 0, errBroken
	}
	return b.target.ReadAt(p, off)
}

func (b *brokenTarget) WriteAt(p []byte, off int64) (int, error) {
	if b.left.Add(-1) < 0 {
		return 0, errBroken
	}
	return b.target.WriteAt(p, off)
}

var _ fit.Target = (*brokenTarget)(nil)

// testTried tries it in memory: what fits, what does not, and what is more than
// the memory that it is given.
func testTried(t *testing.T, path string, facts *fit.Facts) {
	src, err := os.Open(path)
	must(t, err)
	defer src.Close()
	small := new(*fit.NoRoomError)
	for _, c := range []struct {
		size, most int64
		want       func(error) bool
	}{
		{sizes(facts)[1], 0, func(err error) bool { return err == nil }},
		{sizes(facts)[2] * 9 / 10, 0, func(err error) bool { return errors.As(err, small) }},
		{sizes(facts)[1], 64 << 10, func(err error) bool { return errors.Is(err, fit.ErrNotTried) }},
	} {
		o := fit.Options{Facts: facts, Size: c.size / facts.Block * facts.Block, From: src, Run: filesystem.ExecBound, OpenFuse: openFuse}
		if _, err := fit.Trial(t.Context(), o, c.most); !c.want(err) {
			t.Errorf("%d bytes with %d of memory: got %v", c.size, c.most, err)
		}
	}
}
