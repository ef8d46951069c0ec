// Package memory answers: how much memory can a program have? It reads what the
// kernel says, and takes none.
package memory

import (
	"io/fs"
	"strconv"
	"strings"
)

// Available is the kernel's estimate of what programs can have, in bytes; false
// where it does not say. proc shows what lies under /proc (proc(5), MemAvailable).
func Available(proc fs.FS) (int64, bool) {
	text, err := fs.ReadFile(proc, "meminfo")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "MemAvailable:" {
			kb, err := strconv.ParseInt(fields[1], 10, 54) // bytes fit as well
			return kb << 10, err == nil
		}
	}
	return 0, false
}
