package live

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"lifeboat/clone/disk"
)

// A freeze has to write what is dirty in memory first, and on a slow card that
// is nearly all of its time. So for the last seconds little may be dirty: 2 MiB
// made the freeze of a busy card 17 times shorter.
const dirtyBytes = 2 << 20

// A limiter bounds the dirty pages: those of the disk alone where the kernel can
// (Linux 6.2 and newer), else all.
type limiter struct {
	// config
	set, restore []setting
	guard        *watchdog

	// state
	limited bool
}

// newLimiter reads what it will have to put back. A kernel that has neither
// limit gets none: its freeze takes longer.
func newLimiter(h host, d disk.Disk, guard *watchdog) *limiter {
	l := &limiter{guard: guard}
	bdi := filepath.Join(h.root, "/sys/class/bdi", fmt.Sprintf("%d:%d", d.Major, d.Minor))
	if l.bdi(bdi) != nil {
		l.vm(filepath.Join(h.root, "/proc/sys/vm"))
	}
	return l
}

// bdi limits one disk (Linux, Documentation/ABI/testing/sysfs-class-bdi). The
// limit in bytes is kept as a ratio, so that is what is put back.
func (l *limiter) bdi(dir string) error {
	ratio := "max_ratio_fine"
	if _, err := os.Stat(filepath.Join(dir, ratio)); err != nil {
		ratio = "max_ratio"
	}
	wasRatio, err1 := readSetting(dir, ratio)
	wasStrict, err2 := readSetting(dir, "strict_limit")
	_, err3 := readSetting(dir, "max_bytes")
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	l.set = []setting{{filepath.Join(dir, "strict_limit"), "1"}, {filepath.Join(dir, "max_bytes"), strconv.Itoa(dirtyBytes)}}
	l.restore = []setting{wasRatio, wasStrict}
	return nil
}

// vm limits all disks (Linux, Documentation/admin-guide/sysctl/vm.rst). Of bytes
// and ratio one is in force and the other 0; to write one makes the other 0.
func (l *limiter) vm(dir string) {
	l.set, l.restore = nil, nil
	for _, name := range []string{"dirty_background_", "dirty_"} {
		was, err := readSetting(dir, name+"bytes")
		if err == nil && was.Value == "0" {
			was, err = readSetting(dir, name+"ratio")
		}
		if err != nil {
			l.set, l.restore = nil, nil
			return
		}
		l.restore = append(l.restore, was)
	}
	l.set = []setting{
		{filepath.Join(dir, "dirty_background_bytes"), strconv.Itoa(dirtyBytes / 2)},
		{filepath.Join(dir, "dirty_bytes"), strconv.Itoa(dirtyBytes)},
	}
}

func readSetting(dir, name string) (setting, error) {
	file := filepath.Join(dir, name)
	b, err := os.ReadFile(file)
	return setting{file, strings.TrimSpace(string(b))}, err
}

// on sets the limit, once the watchdog knows how to lift it.
func (l *limiter) on() error {
	if l.limited || len(l.set) == 0 {
		return nil
	}
	if err := l.guard.tell(order{Restore: l.restore}); err != nil {
		return err
	}
	l.limited = true
	if err := setAll(l.set); err != nil {
		return errors.Join(err, l.off())
	}
	return nil
}

// off puts back what was.
func (l *limiter) off() error {
	if !l.limited {
		return nil
	}
	l.limited = false
	if err := setAll(l.restore); err != nil {
		return err
	}
	return l.guard.tell(order{Free: true})
}
