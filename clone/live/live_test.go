package live_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lifeboat/clone/extent"
	"lifeboat/clone/live"
	"lifeboat/internal/fixture"
)

// TestExact copies a card while a busy program writes to it, and holds the image
// against the frozen disk: with each way of noticing writes.
func TestExact(t *testing.T) {
	for _, c := range []struct {
		name   string
		method string
		mkfs   []string
	}{
		{"traced", live.Traced, nil},
		{"traced, as on a Raspberry Pi", live.Traced, []string{"-O", "^64bit,^huge_file,^metadata_csum"}},
		{"traced, small blocks", live.Traced, []string{"-b", "1024"}},
		{"traced, as ext3", live.Traced, []string{"-O", "^extents,^64bit,^flex_bg,^metadata_csum,^huge_file"}},
		{"compared", live.Compared, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			card := newCard(t, c.mkfs...)
			card.write(t)
			exact(t, card, options(t), c.method)
		})
	}
}

// exact makes an image and judges it.
func exact(t *testing.T, c *card, o live.Options, method string) {
	t.Helper()
	dir := t.TempDir()
	truth, image := filepath.Join(dir, "truth"), filepath.Join(dir, "image")
	o.AllowLongFreeze = true
	s := c.open(t, o.WithMethod(method).WithFrozen(c.truth(t, truth)))
	tail, err := save(t, s, image)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", tail.Live)
	if tail.Live.Method != method || tail.Live.Caught == 0 || tail.Live.Rounds == 0 || tail.Live.FrozenMS == 0 {
		t.Errorf("got %+v, want rounds that caught something by %s", tail.Live, method)
	}
	if err := tail.Used.Check(s.Head().Size); err != nil {
		t.Errorf("used: %v", err)
	}
	c.judge(t, image, truth)
}

// TestCampaign is TestExact a hundred times, on one card that grows old.
func TestCampaign(t *testing.T) {
	fixture.Long(t)
	const rounds = 100
	c := newCard(t)
	c.write(t)
	for i := range rounds {
		method := live.Traced
		if i%10 == 9 {
			method = live.Compared
		}
		t.Run(fmt.Sprintf("%d %s", i, method), func(t *testing.T) { exact(t, c, options(t), method) })
	}
}

// TestLoss writes more at once than the trace holds: that is noticed, and
// repaired.
func TestLoss(t *testing.T) {
	t.Parallel()
	c := newCard(t)
	c.write(t)
	losses := 0
	o := options(t).WithTrace(4, time.Hour)
	o.Logf = func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		t.Log(text)
		switch {
		case strings.Contains(text, "too small"):
			losses++
		case strings.HasPrefix(text, "copied"): // the first pass is over
			for i := range int64(1000) {
				if err := writeDirect(c.disk, c.part1.End()+i%2*4096, byte(i)); err != nil {
					t.Error(err)
				}
			}
		}
	}
	exact(t, c, o, live.Traced)
	if losses == 0 {
		t.Error("no loss was noticed")
	}
}

// TestMuchAtOnce has more blocks come into use than the arena holds: they are
// copied in one more round.
func TestMuchAtOnce(t *testing.T) {
	t.Parallel()
	c := newCard(t)
	dir := t.TempDir()
	truth, image := filepath.Join(dir, "truth"), filepath.Join(dir, "image")
	s := c.open(t, options(t).WithArena(4*mib).WithFrozen(c.truth(t, truth)))
	f, err := os.Create(filepath.Join(c.dir, "allocated"))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, 32*mib); err != nil {
		t.Fatal(err)
	}
	f.Close()
	tail, err := save(t, s, image)
	if err != nil {
		t.Fatal(err)
	}
	if tail.Live.Caught < 32*mib {
		t.Errorf("caught %d bytes, want the %d that were allocated", tail.Live.Caught, 32*mib)
	}
	c.judge(t, image, truth)
}

// TestPastTheFileSystem writes to the disk itself while it is frozen: the
// freeze was in vain, and the next one counts.
func TestPastTheFileSystem(t *testing.T) {
	t.Parallel()
	c := newCard(t)
	dir := t.TempDir()
	truth, image := filepath.Join(dir, "truth"), filepath.Join(dir, "image")
	tries := 0
	gap := extent.Extent{Off: c.part1.End(), Len: 4096}
	s := c.open(t, options(t).WithFrozen(func() error {
		if tries++; tries == 1 {
			return writeDirect(c.disk, gap.Off, 0x5a)
		}
		return c.truth(t, truth)()
	}))
	if _, err := save(t, s, image); err != nil {
		t.Fatal(err)
	}
	if tries != 2 {
		t.Errorf("frozen %d times, want twice", tries)
	}
	if b := read(t, image)[gap.Off:gap.End()]; b[0] != 0x5a || b[4095] != 0x5a {
		t.Error("what was written past the file system is not in the image")
	}
	c.judge(t, image, truth)
}

// writeDirect writes a block of one byte's value past the page cache.
func writeDirect(path string, off int64, value byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_DIRECT|unix.O_SYNC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := extent.Buffer()
	defer extent.Release(buf)
	for i := range 4096 {
		buf[i] = value
	}
	_, err = f.WriteAt(buf[:4096], off)
	return err
}

// TestNoneMounted needs no freeze, and notices that it would have.
func TestNoneMounted(t *testing.T) {
	t.Parallel()
	c := newCard(t)
	if err := os.WriteFile(filepath.Join(c.dir, "file"), make([]byte, mib), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", c.dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	truth, image := filepath.Join(dir, "truth"), filepath.Join(dir, "image")
	for _, method := range []string{"", live.NoneMounted} {
		s := c.open(t, options(t).WithMethod(method).WithFrozen(c.truth(t, truth)))
		tail, err := save(t, s, image)
		if err != nil {
			t.Fatal(err)
		}
		if tail.Live.Method != live.NoneMounted || tail.Live.Caught != 0 {
			t.Errorf("got %+v, want a plain copy", tail.Live)
		}
		c.judge(t, image, truth)
		pass, err := s.Open(t.Context(), extent.Of(extent.Extent{Off: 0, Len: s.Head().Size}))
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("", c.dir, "", unix.MS_REMOUNT, ""); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(image)
		if err != nil {
			t.Fatal(err)
		}
		_, err = drain(t, pass, f)
		if err == nil || !strings.Contains(err.Error(), "remounted") && !strings.Contains(err.Error(), "nobody has mounted") {
			t.Errorf("remounted for writing: got %v", err)
		}
		pass.Close()
		s.Close()
		if err := unix.Mount("", c.dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
	}
}
