package nightly

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lifeboat/internal/atomicfile"
)

// hooks are other people's programs around a run.
type hooks struct {
	run      Runner
	patience time.Duration
	state    string // a folder in which a hook can leave something for the next
	logf     func(format string, args ...any)
}

// call runs all commands of a stage: "before", "ready", "after". Each learns the
// facts from its environment. The first that fails ends it.
func (h hooks) call(ctx context.Context, stage string, commands []string, f Facts) error {
	for _, command := range commands {
		if err := h.one(ctx, stage, command, f); err != nil {
			return err
		}
	}
	return nil
}

func (h hooks) one(ctx context.Context, stage, command string, f Facts) error {
	ctx, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	h.logf("hook %s: %s", stage, command)
	out, err := h.run(ctx, append(f.environ(), "LIFEBOAT_STAGE="+stage, "LIFEBOAT_STATE="+h.state), "/bin/sh", "-c", command)
	for line := range strings.Lines(out) {
		h.logf("  %s", strings.TrimRight(line, "\n"))
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("hook %s: %s: it did not end within %s", stage, command, h.patience)
	}
	if err != nil {
		return fmt.Errorf("hook %s: %w", stage, err)
	}
	return nil
}

//go:embed samples
var samples embed.FS

// Samples are hooks that come with lifeboat.
func Samples() fs.FS {
	sub, err := fs.Sub(samples, "samples")
	if err != nil {
		panic("BUG: no samples: " + err.Error())
	}
	return sub
}

// WriteSamples puts the sample hooks into a folder, and returns their paths.
// What is there already stays as it is.
func WriteSamples(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	names, err := fs.Glob(Samples(), "*")
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, name := range names {
		path := filepath.Join(dir, name)
		paths = append(paths, path)
		if _, err := os.Lstat(path); err == nil {
			continue
		}
		text, err := fs.ReadFile(Samples(), name)
		if err == nil {
			err = atomicfile.Write(path, text, 0o755)
		}
		if err != nil {
			return nil, err
		}
	}
	return paths, nil
}
