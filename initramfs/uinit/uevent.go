package uinit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Watch loads modules for devices as they appear, until ctx ends. first is
// called when the kernel's messages are being received: what it looks at then
// is not missed between it and the first message.
func (l *Loader) Watch(ctx context.Context, sys fs.FS, first func()) error {
	sock, err := openUevents()
	if err != nil {
		return fmt.Errorf("listen for new devices: %w", err)
	}
	defer sock.Close()
	stop := context.AfterFunc(ctx, func() { sock.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if first != nil {
		first()
	}
	buf := make([]byte, maxUevent)
	for ctx.Err() == nil {
		n, err := sock.Read(buf)
		switch {
		case errors.Is(err, unix.ENOBUFS): // more messages than we could read: some are lost
			l.ColdPlug(sys)
		case ctx.Err() != nil:
		case err != nil:
			return fmt.Errorf("listen for new devices: %w", err)
		default:
			l.uevent(buf[:n])
		}
	}
	return nil
}

// maxUevent is the size of the largest message: Linux v6.12,
// include/linux/kobject.h, UEVENT_BUFFER_SIZE is 2048, and the header's path is
// at most PATH_MAX.
const maxUevent = 8 << 10

// uevent takes a message: "add@/devices/…" and then KEY=VALUE, each with a zero
// behind it.
func (l *Loader) uevent(msg []byte) {
	lines := strings.ReplaceAll(string(msg), "\x00", "\n")
	if strings.HasPrefix(lines, "remove@") {
		return
	}
	name := ueventAlias(lines)
	if name == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.seen[name] {
		l.seen[name] = true
		l.alias(name)
	}
}
