// Package uinit answers: what does PID 1 start? It is the rescue system's side
// of the one binary: as /init it mounts, loads modules, feeds the watchdog, and
// starts the tool's own rescue command as a child, whose crash is a message and
// a shell, not a kernel panic. As /sbin/modprobe it is what the kernel calls. It
// also has what the rescue command and its users stand on: consoles, a shell,
// and the wait for disks that appear late.
//
// It knows nothing of disks' content, of jobs or of the network beyond the
// loopback link.
package uinit

import "path"

// Role is what this process is to be.
type Role int

// The roles of the one binary.
const (
	RoleTool     Role = iota // the command line
	RoleInit                 // PID 1 of the rescue system
	RoleModprobe             // the kernel's helper
)

// RoleOf decides by process ID and the name of the call. Main asks before any
// library sees the arguments: the kernel passes every word of its command line
// that it does not know itself. A PID of 1 alone is not enough: that may be a
// container.
func RoleOf(pid int, argv0 string) Role {
	switch base := path.Base(argv0); {
	case base == "modprobe":
		return RoleModprobe
	case pid == 1 && (base == "init" || base == "linuxrc"):
		return RoleInit
	}
	return RoleTool
}

// Exit codes by which the rescue command tells PID 1 what comes next. They lie
// outside of the tool's own.
const (
	ExitReboot   = 70
	ExitPoweroff = 71
	ExitShell    = 72 // a shell, and then the rescue command again
)

// logger tells what happens to whoever wants it; nil tells nobody.
type logger func(format string, args ...any)

func (l logger) logf(format string, args ...any) {
	if l != nil {
		l(format, args...)
	}
}
