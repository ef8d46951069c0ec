package increment

import (
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Clock tells the time, and which run of the kernel it is.
type Clock struct {
	Proc fs.FS
}

// A moment is what can be compared only within one run of the kernel.
type moment struct {
	Boot string `json:"boot"` // the kernel's ID of this run
	// Offset is the wall clock less the time since the kernel started, ns. Both are
	// slewed alike: it moves only when somebody sets the clock.
	Offset int64 `json:"offset"`
}

// clockBack is more than two reads of clocks take, and less than a person sets one
// back by.
const clockBack = 20 * time.Millisecond

func (c Clock) read() (moment, error) {
	id, err := fs.ReadFile(c.Proc, "sys/kernel/random/boot_id")
	if err != nil {
		return moment{}, fmt.Errorf("which run of the kernel it is: %w", err)
	}
	var wall, up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &wall); err != nil {
		return moment{}, fmt.Errorf("clock: %w", err)
	}
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return moment{}, fmt.Errorf("clock: %w", err)
	}
	return moment{strings.TrimSpace(string(id)), wall.Nano() - up.Nano()}, nil
}
