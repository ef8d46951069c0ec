package live_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/live"
)

// runVictim is a process that stays within the freeze until it is killed. It
// says which settings it changed.
func runVictim(path string) error {
	ctx, cancel := context.WithCancel(context.TODO())
	defer cancel()
	var s *live.Source
	o := options(silent{})
	o = o.WithFrozen(func() error {
		fmt.Println(strings.Join(s.Settings(), " "))
		select {}
	})
	s, err := live.Open(ctx, disk.Host(), path, o)
	if err != nil {
		return err
	}
	pass, err := s.Open(ctx, extent.Of(extent.Extent{Off: 0, Len: s.Head().Size}))
	for err == nil {
		_, err = pass.Next(ctx)
	}
	return err
}

// silent is a testing.TB that logs nothing.
type silent struct{ testing.TB }

func (silent) Logf(string, ...any) {}

func valuesOf(t *testing.T, files []string) map[string]string {
	t.Helper()
	values := map[string]string{}
	for _, f := range files {
		values[f] = strings.TrimSpace(string(read(t, f)))
	}
	return values
}

// TestKilled kills the process within the freeze: the watchdog thaws, puts the
// limits back, and ends the tracing.
func TestKilled(t *testing.T) {
	t.Parallel()
	c := newCard(t)
	s := c.open(t, options(t))
	before := valuesOf(t, s.Settings())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := role("victim " + c.disk)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Fields(line)
	if during := valuesOf(t, files); len(files) == 0 || maps.Equal(before, during) {
		t.Errorf("no limit is set within the freeze: %v", during)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(filepath.Join(c.dir, "after"), []byte("thawed"), 0o600) }()
	select {
	case err := <-wrote:
		t.Fatalf("a file could be written within the freeze: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	start := time.Now()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	select {
	case err := <-wrote:
		if err != nil {
			t.Error(err)
		}
		t.Logf("thawed %v after the kill", time.Since(start))
	case <-time.After(5 * time.Second):
		t.Fatal("the watchdog did not thaw")
	}
	soon(t, "the limits are put back", func() bool { return maps.Equal(valuesOf(t, files), before) })
	soon(t, "the tracing ends", func() bool {
		left, err := live.Tracing(cmd.Process.Pid, filepath.Base(c.disk))
		return err == nil && len(left) == 0
	})
}

// soon waits until something is so.
func soon(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !so(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after five seconds it is still not so that %s", what)
		}
	}
}

// TestLate stays in the freeze for too long: the watchdog thaws, that try does
// not count, and the next one is exact.
func TestLate(t *testing.T) {
	t.Parallel()
	c := newCard(t)
	dir := t.TempDir()
	truth, image := filepath.Join(dir, "truth"), filepath.Join(dir, "image")
	tries := 0
	o := options(t)
	o.MaxFreeze = 2 * time.Second
	s := c.open(t, o.WithFrozen(func() error {
		if tries++; tries == 1 {
			return os.WriteFile(filepath.Join(c.dir, "waits"), []byte("for the thaw"), 0o600)
		}
		return c.truth(t, truth)()
	}))
	before := valuesOf(t, s.Settings())
	tail, err := save(t, s, image)
	if err != nil {
		t.Fatal(err)
	}
	if tries < 2 || tail.Live.FrozenMS < 1500 {
		t.Errorf("frozen %d times, for %d ms: want again after the first, which took two seconds", tries, tail.Live.FrozenMS)
	}
	c.judge(t, image, truth)
	if after := valuesOf(t, s.Settings()); !maps.Equal(before, after) {
		t.Errorf("settings were %v and are %v", before, after)
	}
}

// TestGivesUp never gets through: it says so, and leaves everything thawed and
// as it was.
func TestGivesUp(t *testing.T) {
	t.Parallel()
	c := newCard(t)
	s := c.open(t, options(t).WithFrozen(func() error { return errors.New("the disk is gone") }))
	before := valuesOf(t, s.Settings())
	if _, err := save(t, s, filepath.Join(t.TempDir(), "image")); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "file"), nil, 0o600); err != nil {
		t.Error(err)
	}
	if after := valuesOf(t, s.Settings()); !maps.Equal(before, after) {
		t.Errorf("settings were %v and are %v", before, after)
	}
}

// TestCannotThaw loses the means to thaw within the freeze: the watchdog has its
// own.
func TestCannotThaw(t *testing.T) {
	t.Parallel()
	c := newCard(t)
	var s *live.Source
	s = c.open(t, options(t).WithFrozen(func() error {
		s.Disarm()
		return nil
	}))
	if _, err := save(t, s, filepath.Join(t.TempDir(), "image")); err == nil {
		t.Error("it went on without the means to freeze")
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(filepath.Join(c.dir, "file"), nil, 0o600) }()
	select {
	case err := <-wrote:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("it stays frozen")
	}
}
