package uinit

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/u-root/u-root/pkg/libinit"
	"golang.org/x/sys/unix"
)

// Mounts is what the rescue system's name space is made of, in that order.
func Mounts() []libinit.Creator {
	const quiet = unix.MS_NOSUID | unix.MS_NODEV
	return []libinit.Creator{
		libinit.Dir{Name: "/dev", Mode: 0o755},
		libinit.Mount{Source: "devtmpfs", Target: "/dev", FSType: "devtmpfs", Flags: unix.MS_NOSUID, Opts: "mode=0755"},
		libinit.Dir{Name: "/proc", Mode: 0o555},
		libinit.Mount{Source: "proc", Target: "/proc", FSType: "proc", Flags: quiet | unix.MS_NOEXEC},
		libinit.Dir{Name: "/sys", Mode: 0o555},
		libinit.Mount{Source: "sysfs", Target: "/sys", FSType: "sysfs", Flags: quiet | unix.MS_NOEXEC},
		libinit.Dir{Name: "/dev/pts", Mode: 0o755},
		libinit.Mount{Source: "devpts", Target: "/dev/pts", FSType: "devpts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Opts: "mode=0620,ptmxmode=0666"},
		libinit.Dir{Name: "/tmp", Mode: 0o1777},
		libinit.Mount{Source: "tmpfs", Target: "/tmp", FSType: "tmpfs", Flags: quiet, Opts: "mode=1777"},
		libinit.Dir{Name: "/run", Mode: 0o755},
		libinit.Mount{Source: "tmpfs", Target: "/run", FSType: "tmpfs", Flags: quiet, Opts: "mode=0755"},
		libinit.Dir{Name: "/etc", Mode: 0o755},
		libinit.Dir{Name: "/root", Mode: 0o700},
		libinit.Dir{Name: "/mnt", Mode: 0o755},
		libinit.Symlink{Target: "/proc/self/fd", NewPath: "/dev/fd"},
		libinit.Symlink{Target: "/proc/self/fd/0", NewPath: "/dev/stdin"},
		libinit.Symlink{Target: "/proc/self/fd/1", NewPath: "/dev/stdout"},
		libinit.Symlink{Target: "/proc/self/fd/2", NewPath: "/dev/stderr"},
		libinit.Symlink{Target: "/proc/self/mounts", NewPath: "/etc/mtab"},
	}
}

// create makes all of them. What is already mounted (by the kernel, or an outer
// init) stays; other errors are told, and the rest is made all the same: a
// rescue system with half a name space is better than none.
func create(things []libinit.Creator, log logger) {
	old := unix.Umask(0)
	defer unix.Umask(old)
	for _, c := range things {
		if err := c.Create(); err != nil && !errors.Is(err, unix.EBUSY) {
			log.logf("%s: %v", c, err)
		}
	}
}

// A sysctl is a value of the kernel that is set where it has the value Was
// ("" = whatever it has).
type sysctl struct{ Name, Was, Value string }

// Sysctls say how the kernel of a rescue system differs from any other.
func sysctls() []sysctl {
	return []sysctl{
		{"kernel/printk", "", "4 4 1 7"},              // warnings and worse on the consoles, where people read
		{"kernel/printk_devkmsg", "", "on"},           // our own messages are not dropped
		{"kernel/panic", "0", "10"},                   // a board that nobody watches starts again; panic= of the command line goes first
		{"vm/dirty_background_bytes", "", "16777216"}, // writing begins early, and progress is honest
		{"vm/dirty_bytes", "", "67108864"},            // also on a board with 256 MiB
	}
}

func setSysctls(root string, list []sysctl, log logger) {
	for _, s := range list {
		name := root + "/" + s.Name
		if s.Was != "" {
			if now, err := os.ReadFile(name); err != nil || strings.TrimSpace(string(now)) != s.Was {
				continue
			}
		}
		if err := os.WriteFile(name, []byte(s.Value+"\n"), 0); err != nil {
			log.logf("set %s: %v", s.Name, err)
		}
	}
}

func (s sysctl) String() string { return fmt.Sprintf("%s = %s", s.Name, s.Value) }
