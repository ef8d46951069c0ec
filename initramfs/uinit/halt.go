package uinit

import (
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const haltTime = 5 * time.Second // that programs have to end by themselves

// halt ends all programs, writes everything out, unmounts, and reboots or
// switches off. last is called at the very end.
func halt(r reason, children *reaper, last func(reason), log logger) {
	log.logf("%v", r)
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		unix.Kill(-1, sig)
		for end := time.Now().Add(haltTime); !children.alone() && time.Now().Before(end); {
			time.Sleep(killPoll)
		}
	}
	unix.Sync()
	table, err := fs.ReadFile(os.DirFS("/proc"), "self/mounts")
	if err != nil {
		log.logf("list of mounts: %v", err)
	}
	for _, dir := range unmounts(string(table)) {
		if err := unix.Unmount(dir, 0); err == nil {
			continue
		}
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			log.logf("%s: it stays mounted: %v", dir, err)
		}
	}
	unix.Sync()
	last(r)
	cmd := unix.LINUX_REBOOT_CMD_RESTART
	if r == reasonPoweroff {
		cmd = unix.LINUX_REBOOT_CMD_POWER_OFF
	}
	if err := reboot(cmd); err != nil {
		log.logf("reboot: %v", err)
	}
}

// unmounts are the mount points of a /proc/mounts that have to go, the last
// mounted first: all but those that are made of nothing but the kernel.
func unmounts(table string) []string {
	none := []string{"rootfs", "ramfs", "tmpfs", "devtmpfs", "proc", "sysfs", "devpts"}
	var out []string
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) >= 3 && f[1] != "/" && !slices.Contains(none, f[2]) {
			out = append(out, unescape(f[1]))
		}
	}
	slices.Reverse(out)
	return out
}

// unescape undoes the kernel's \040 and the like.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
