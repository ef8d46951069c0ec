package live_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"lifeboat/clone/live"
)

// TestHush stops a service for the freeze, which writes much as it stops: that
// is copied before anybody waits, and is in the image. It is started once, after
// the thaw.
func TestHush(t *testing.T) {
	for _, method := range []string{live.Traced, live.Compared} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			c := newCard(t)
			dir := t.TempDir()
			truth, image := filepath.Join(dir, "truth"), filepath.Join(dir, "image")
			var order []string
			o := options(t).WithMethod(method)
			o.AllowLongFreeze = true
			o.BeforeFreeze = func(context.Context) error {
				order = append(order, "stop")
				return os.WriteFile(filepath.Join(c.dir, "flushed"), make([]byte, 20*mib), 0o644)
			}
			o.AfterThaw = func() {
				order = append(order, "start")
				if err := os.WriteFile(filepath.Join(c.dir, "later"), []byte("x"), 0o644); err != nil {
					t.Error(err)
				}
			}
			frozen := c.truth(t, truth)
			s := c.open(t, o.WithFrozen(func() error {
				order = append(order, "freeze")
				return frozen()
			}))
			if _, err := save(t, s, image); err != nil {
				t.Fatal(err)
			}
			if want := []string{"stop", "freeze", "start"}; !slices.Equal(order, want) {
				t.Errorf("order is %q, want %q", order, want)
			}
			c.judge(t, image, truth)
		})
	}
}

// TestHushFails: whatever goes wrong, what was stopped is started, once.
func TestHushFails(t *testing.T) {
	t.Parallel()
	c := newCard(t)
	broken := errors.New("broken")
	for _, where := range []string{"stop", "freeze"} {
		started := 0
		o := options(t)
		o.BeforeFreeze = func(context.Context) error {
			if where == "stop" {
				return broken
			}
			return nil
		}
		o.AfterThaw = func() { started++ }
		s := c.open(t, o.WithFrozen(func() error { return broken }))
		if _, err := save(t, s, filepath.Join(t.TempDir(), "image")); !errors.Is(err, broken) || started != 1 {
			t.Errorf("%s: started %d times, %v", where, started, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
