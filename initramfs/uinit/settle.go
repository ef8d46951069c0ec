package uinit

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// Settling says what Settle waits for.
type Settling struct {
	// Want is asked with the names of the block devices, as "sda" and "sda1":
	// are those that are needed there? nil wants any.
	Want func(blocks []string) bool
	// Quiet is how long nothing must have changed; 0 is one second.
	Quiet time.Duration
	// Sys and Proc are /sys and /proc; nil takes the machine's.
	Sys, Proc fs.FS
}

const settlePoll = 50 * time.Millisecond

// Settle waits until the wanted block devices are there, and neither block
// devices nor kernel modules have come or gone for a while: disks on USB need
// seconds. Its limit is ctx; where that ends first, the error says what was
// missing, and the caller may well go on with what is there.
func Settle(ctx context.Context, s Settling) error {
	if s.Sys == nil {
		s.Sys = os.DirFS("/sys")
	}
	if s.Proc == nil {
		s.Proc = os.DirFS("/proc")
	}
	if s.Quiet == 0 {
		s.Quiet = time.Second
	}
	tick := time.NewTicker(min(settlePoll, s.Quiet))
	defer tick.Stop()
	last, since := "", time.Now()
	for {
		blocks := Blocks(s.Sys)
		if now := fmt.Sprint(blocks, modules(s.Proc)); now != last {
			last, since = now, time.Now()
		}
		wanted := s.Want == nil || s.Want(blocks)
		if wanted && time.Since(since) >= s.Quiet {
			return nil
		}
		select {
		case <-ctx.Done():
			if wanted {
				return fmt.Errorf("disks still come and go (now %s): %w", names(blocks), context.Cause(ctx))
			}
			return fmt.Errorf("the wanted disks are not there (now %s): %w", names(blocks), context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Blocks are the names of the block devices that can be disks or parts of one:
// not those that the kernel makes of RAM and files. A reader without a card is
// none either.
func Blocks(sys fs.FS) []string {
	entries, _ := fs.ReadDir(sys, "class/block")
	var out []string
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, "loop") || strings.HasPrefix(name, "ram") || strings.HasPrefix(name, "zram") {
			continue
		}
		size, err := fs.ReadFile(sys, "class/block/"+name+"/size")
		if err == nil && strings.TrimSpace(string(size)) != "0" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// modules are the names of the loaded modules.
func modules(proc fs.FS) []string {
	text, _ := fs.ReadFile(proc, "modules")
	var out []string
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, " ")
		out = append(out, name)
	}
	return out
}

func names(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, " ")
}
