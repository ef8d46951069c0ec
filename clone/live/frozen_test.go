package live_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lifeboat/clone/live"
	"lifeboat/internal/fixture"
)

// TestFrozen measures how long writers wait, as one of them sees it. It ends
// early where the time of the tests is over: -timeout cuts it into pieces.
func TestFrozen(t *testing.T) {
	fixture.Long(t)
	for _, c := range []struct {
		name, writer string
		runs         int
		read, write  int64         // bytes a second; 0 = as fast as it can
		goal         time.Duration // of the median; where a machine does other things it is no more than told
	}{
		{"fast", "", 100, 0, 0, 100 * time.Millisecond},
		{"card-light", "light ", 20, 40e6, 15e6, 150 * time.Millisecond},
		{"card-heavy", "", 20, 40e6, 15e6, 500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			card := newCard(t)
			card.throttle(t, c.read, c.write)
			card.start(t, role("writer "+c.writer+filepath.Join(card.dir, "work")))
			time.Sleep(3 * time.Second) // the writer makes its files
			var all waits
			for range c.runs {
				if deadline, ok := t.Deadline(); ok && time.Until(deadline) < time.Minute {
					t.Logf("no time is left for more than %d runs", len(all))
					break
				}
				all = append(all, card.wait(t))
			}
			t.Logf("%s, goal %d ms", all, c.goal.Milliseconds())
		})
	}
}

// A gap is a time in which a writer could not go on.
type gap struct{ From, To time.Time }

func (g gap) len() time.Duration { return g.To.Sub(g.From) }

// A wait is what one backup cost a writer.
type wait struct {
	freeze  time.Duration // the gap around the instant of the image
	longest time.Duration // of all gaps while the backup ran
	before  time.Duration // the longest while none ran
	ours    int64         // what the backup itself says, ms
}

type waits []wait

func (w waits) String() string {
	column := func(of func(wait) time.Duration) string {
		var ms []int64
		for _, x := range w {
			ms = append(ms, of(x).Milliseconds())
		}
		slices.Sort(ms)
		if len(ms) == 0 {
			return "none"
		}
		return fmt.Sprintf("%d/%d ms", ms[len(ms)/2], ms[len(ms)-1])
	}
	return fmt.Sprintf("%d runs, median/most: around the freeze %s, longest of the backup %s, longest without one %s, told %s", len(w),
		column(func(x wait) time.Duration { return x.freeze }), column(func(x wait) time.Duration { return x.longest }),
		column(func(x wait) time.Duration { return x.before }), column(func(x wait) time.Duration { return time.Duration(x.ours) * time.Millisecond }))
}

// wait makes one image, while a prober writes to the card.
func (c *card) wait(t *testing.T) wait {
	t.Helper()
	end, said := c.start(t, role("prober "+filepath.Join(c.dir, "probe")))
	time.Sleep(2 * time.Second) // what it meets without a backup
	begun := time.Now()
	var instant time.Time
	image := filepath.Join(t.TempDir(), "image")
	s := c.open(t, options(t).WithMethod(live.Traced).WithFrozen(func() error {
		instant = time.Now()
		return nil
	}))
	tail, err := save(t, s, image)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	done := time.Now()
	end()
	os.Remove(image)
	line, err := said.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var gaps []gap
	if err := json.Unmarshal([]byte(line), &gaps); err != nil {
		t.Fatal(err)
	}
	w := wait{ours: tail.Live.FrozenMS}
	for _, g := range gaps {
		switch {
		case g.To.Before(begun):
			w.before = max(w.before, g.len())
			continue
		case g.From.After(done):
			continue
		case g.From.Before(instant) && g.To.After(instant):
			w.freeze = g.len()
		}
		w.longest = max(w.longest, g.len())
	}
	t.Logf("freeze %d ms, longest %d ms, before %d ms, told %d ms", w.freeze.Milliseconds(), w.longest.Milliseconds(), w.before.Milliseconds(), w.ours)
	return w
}

// proberPause is how long the prober waits between two writes; a gap is longer.
const proberPause = time.Millisecond

// runProber writes a little over and over, as a log does, until its standard
// input ends, and tells when it could not.
func runProber(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	go func() {
		os.Stdin.Read(make([]byte, 1))
		close(stop)
	}()
	fmt.Println("ready")
	out := bufio.NewWriter(os.Stdout)
	gaps, last := []gap{}, time.Now()
	for {
		select {
		case <-stop:
			text, err := json.Marshal(gaps)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s\n", text)
			return out.Flush()
		case <-time.After(proberPause):
		}
		if _, err := f.WriteAt([]byte{1}, 0); err != nil {
			return err
		}
		now := time.Now()
		if now.Sub(last) > 4*proberPause {
			gaps = append(gaps, gap{last, now})
		}
		last = now
	}
}

// throttle makes the card as slow as an SD card (Linux,
// Documentation/admin-guide/cgroup-v1/blkio-controller.rst).
func (c *card) throttle(t *testing.T, read, write int64) {
	t.Helper()
	if read == 0 {
		return
	}
	var st unix.Stat_t
	if err := unix.Stat(c.disk, &st); err != nil {
		t.Fatal(err)
	}
	set := func(name string, rate int64) {
		file := filepath.Join("/sys/fs/cgroup/blkio", "blkio.throttle."+name+"_bps_device")
		text := fmt.Sprintf("%d:%d %d", unix.Major(st.Rdev), unix.Minor(st.Rdev), rate)
		if err := os.WriteFile(file, []byte(text), 0); err != nil {
			if strings.Contains(err.Error(), "no such file") {
				fixture.Missing(t, "limits for one disk (blkio, cgroup v1)")
			}
			t.Fatal(err)
		}
	}
	set("read", read)
	set("write", write)
	t.Cleanup(func() {
		set("read", 0)
		set("write", 0)
	})
}
