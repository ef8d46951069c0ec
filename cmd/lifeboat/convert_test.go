package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/internal/fixture"
)

// TestConvertWithoutXZ: where the system has no xz, that is said before anything
// is read, and where it fails there is no image.
func TestConvertWithoutXZ(t *testing.T) {
	t.Parallel()
	card, to := fixture.Card(t, "fat-only"), filepath.Join(t.TempDir(), "card.img.xz")
	e := hostEnv()
	e.stdout, e.stderr = io.Discard, io.Discard
	defer e.close()
	e.have = func(string) bool { return false }
	err := runConvert(t.Context(), e, convertOptions{from: card, to: to})
	if err == nil || !isRefusal(err) || !strings.Contains(err.Error(), "the program xz, which is not installed here") {
		t.Errorf("got %v", err)
	}
	e.have = func(string) bool { return true }
	broken := errors.New("it broke")
	e.pipe = func(context.Context, io.Writer, string, ...string) (io.WriteCloser, error) { return nil, broken }
	if err := runConvert(t.Context(), e, convertOptions{from: card, to: to}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	e.pipe = func(ctx context.Context, w io.Writer, _ string, _ ...string) (io.WriteCloser, error) {
		return startPipe(ctx, w, "sh", "-c", "echo no room >&2; exit 3")
	}
	err = runConvert(t.Context(), e, convertOptions{from: card, to: to})
	if err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("got %v", err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(to), "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("got %v and the files %q", err, left)
	}
}
