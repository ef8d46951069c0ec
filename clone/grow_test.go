package clone_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/filesystem"
	"lifeboat/internal/fixture"
)

// grow plans and executes a growth of an image file.
func grow(tb testing.TB, path string, tools filesystem.Tools) error {
	tb.Helper()
	src := blocksOf(tb, path)
	facts, err := disk.Host().Look(path)
	if err != nil {
		tb.Fatal(err)
	}
	g, err := clone.PlanGrow(src.Head(), facts, clone.GrowLast)
	if err != nil || len(g.Steps) == 0 {
		return err
	}
	target, err := disk.Claim(tb.Context(), disk.Host(), facts, nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer target.Close()
	_, err = clone.Runner{Tools: tools, Logf: tb.Logf, Clock: time.Now}.Execute(tb.Context(), g.Plan, nil, target)
	return err
}

// TestGrowInterrupted lets the program that is called at each point of a growth
// fail. What the disk held must be there each time, and the same again must
// finish.
func TestGrowInterrupted(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	for name, num := range map[string]int{"pi-mbr-fat-ext4": 2, "gpt-fat-ext4": 3, "pi-noobs": 7, "swap-behind-root": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			card := fixture.Card(t, name)
			for at := 0; ; at++ {
				path := fixture.Card(t, name)
				if err := os.Truncate(path, 300<<20); err != nil {
					t.Fatal(err)
				}
				calls := 0
				err := grow(t, path, filesystem.Tools{Run: func(ctx context.Context, program string, args ...string) ([]byte, int, error) {
					if calls++; calls > at {
						return nil, 0, errFault
					}
					return filesystem.Exec(ctx, program, args...)
				}})
				fixture.Check(t, path)
				sameTree(t, card, path, num)
				if err == nil {
					if at < 3 {
						t.Fatalf("only %d programs were called", at)
					}
					return
				}
				var touched *clone.TouchedError
				if !errors.As(err, &touched) || !touched.InPlace {
					t.Fatalf("fault at call %d: got %v", at, err)
				}
				if err := grow(t, path, filesystem.Tools{Run: filesystem.Exec}); err != nil {
					t.Fatalf("again after a fault at call %d: %v", at, err)
				}
				isGrown(t, path, num)
			}
		})
	}
}

// isGrown lets dumpe2fs and sfdisk say that part and file system reach to where
// the disk, or the swap at its end, begins.
func isGrown(t *testing.T, path string, num int) {
	t.Helper()
	fixture.Check(t, path)
	for _, p := range fixture.Parts(t, path) {
		if p.Num != num {
			continue
		}
		out := fixture.Run(t, "dumpe2fs", "-h", fmt.Sprintf("%s?offset=%d", path, p.Off))
		var blocks, size int64
		for line := range strings.Lines(out) {
			if text, ok := strings.CutPrefix(line, "Block count:"); ok {
				fmt.Sscan(text, &blocks)
			}
			if text, ok := strings.CutPrefix(line, "Block size:"); ok {
				fmt.Sscan(text, &size)
			}
		}
		if p.Off+p.Size < 270<<20 || blocks*size < p.Size-4<<20 {
			t.Errorf("part %d ends at %d, its file system has %d of %d bytes", num, p.Off+p.Size, blocks*size, p.Size)
		}
	}
}
