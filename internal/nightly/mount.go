package nightly

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lifeboat/clone/disk"
	"lifeboat/clone/store"
)

// A place is a destination that can be written to.
type place struct {
	folder  string // or an address
	remote  bool   // it is one
	fstype  string
	mounted []string // folders that close unmounts
	run     Runner
}

// mounter opens destinations.
type mounter struct {
	// config
	run    Runner
	have   func(program string) bool
	proc   fs.FS  // /proc
	fstab  string // file
	dir    string // where destinations are mounted
	note   func(mounted []string) error
	reach  func(ctx context.Context, s Settings) error
	logf   func(format string, args ...any)
	pauses []time.Duration // between tries; the last one again and again
}

// mountLimit bounds one try to mount.
const mountLimit = 90 * time.Second

// open makes the destination of s ready, and tries until s.Wait is over: what
// sleeps takes its time. The caller closes the place.
func (m *mounter) open(ctx context.Context, s Settings) (*place, error) {
	d, err := s.Destination()
	if err != nil {
		return nil, err
	}
	if d.Needs != "" && !m.have(d.Needs) {
		return nil, fmt.Errorf("destination %s: it wants %s: install the package %s", s.To, d.Needs, d.Package)
	}
	deadline := time.Now().Add(s.Wait)
	for try := 0; ; try++ {
		p, err := m.try(ctx, d, s)
		if err == nil {
			return p, nil
		}
		err = fmt.Errorf("destination %s: %w", d.Shown(), err)
		pause := m.pauses[min(try, len(m.pauses)-1)]
		if ctx.Err() != nil || inVain(err) || time.Now().Add(pause).After(deadline) {
			return nil, err
		}
		m.logf("%v; once more in %s", err, pause)
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// inVain tells what no patience mends: a server that is another one, or that lets
// us not in.
func inVain(err error) bool {
	var other *store.HostKeyError
	return errors.As(err, &other) || errors.Is(err, fs.ErrPermission)
}

func (m *mounter) try(ctx context.Context, d Destination, s Settings) (*place, error) {
	p := &place{run: m.run, folder: d.Folder}
	ctx, cancel := context.WithTimeout(ctx, mountLimit)
	defer cancel()
	if d.Address != "" {
		p.folder, p.remote = d.Address, true
		return p, m.reach(ctx, s)
	}
	err := m.mount(ctx, d, s, p)
	if err == nil {
		err = m.usable(p)
	}
	if err != nil {
		return nil, errors.Join(err, p.close(context.WithoutCancel(ctx)))
	}
	return p, nil
}

// mount mounts what is to be mounted.
func (m *mounter) mount(ctx context.Context, d Destination, s Settings, p *place) error {
	var line []string
	if d.Folder == "" {
		p.folder = m.dir
		if err := os.MkdirAll(m.dir, 0o700); err != nil {
			return err
		}
		line = d.command(s, m.dir)
		p.mounted = []string{m.dir}
	} else {
		point, err := m.pointFor(d.Folder)
		if err != nil || point == "" {
			return err
		}
		line = []string{"mount", point}
		p.mounted = []string{point}
	}
	if err := m.note(p.mounted); err != nil {
		return err
	}
	m.logf("%s", strings.Join(line, " "))
	_, err := m.run(ctx, nil, line[0], line[1:]...)
	return err
}

// pointFor is the place of fstab that the folder lies on, where that is not
// mounted; else "".
func (m *mounter) pointFor(folder string) (string, error) {
	points, err := fstabPoints(m.fstab)
	if err != nil {
		return "", err
	}
	best := ""
	for _, p := range points {
		if (folder == p || strings.HasPrefix(folder, p+"/")) && len(p) > len(best) {
			best = p
		}
	}
	if best == "" {
		return "", nil
	}
	mounts, err := m.mounts()
	for _, mount := range mounts {
		if mount.Point == best && mount.Type != "autofs" {
			return "", err
		}
		if mount.Point == best { // systemd mounts it when it is looked at
			return "", errors.Join(err, touch(folder))
		}
	}
	return best, err
}

// touch looks into a folder.
func touch(folder string) error {
	_, err := os.ReadDir(folder)
	return err
}

// fstabPoints are the places where fstab mounts something, but for the root and
// swap (fstab(5)).
func fstabPoints(file string) ([]string, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var points []string
	in := bufio.NewScanner(f)
	for in.Scan() {
		fields := strings.Fields(in.Text())
		if len(fields) >= 3 && !strings.HasPrefix(fields[0], "#") && strings.HasPrefix(fields[1], "/") && fields[1] != "/" {
			points = append(points, filepath.Clean(disk.Unescape(fields[1])))
		}
	}
	return points, in.Err()
}

func (m *mounter) mounts() ([]disk.Mount, error) {
	text, err := fs.ReadFile(m.proc, "self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list the mounts: %w", err)
	}
	return disk.ParseMounts(string(text))
}

// usable tells whether the folder can take a backup, and finds its file system.
func (m *mounter) usable(p *place) error {
	info, err := os.Stat(p.folder)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder", p.folder)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(p.folder, &st); err != nil {
		return fmt.Errorf("%s: %w", p.folder, err)
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return fmt.Errorf("%s is mounted read-only", p.folder)
	}
	if err := unix.Access(p.folder, unix.W_OK); err != nil {
		return fmt.Errorf("%s cannot be written to: %w", p.folder, err)
	}
	real, err := filepath.EvalSymlinks(p.folder)
	if err != nil {
		return err
	}
	mounts, err := m.mounts()
	best := ""
	for _, mount := range mounts { // of two on one place the later one is seen
		inside := mount.Point == "/" || real == mount.Point || strings.HasPrefix(real, mount.Point+"/")
		if inside && len(mount.Point) >= len(best) {
			best, p.fstype = mount.Point, mount.Type
		}
	}
	return err
}

// unknownFree is the room at a server's.
const unknownFree = -1

// free is how many bytes can be written; unknownFree where nobody tells.
func (p *place) free() (int64, error) {
	if p.remote {
		return unknownFree, nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(p.folder, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", p.folder, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// close unmounts what open mounted.
func (p *place) close(ctx context.Context) error {
	var errs []error
	for _, folder := range p.mounted {
		errs = append(errs, unmount(ctx, p.run, folder))
	}
	p.mounted = nil
	return errors.Join(errs...)
}

// visitWait is how long a visit waits for a run to end: both would mount.
const visitWait = 10 * time.Second

// Visit opens the destination of s, and closes it again when do has ended. It
// is an error while a run is under way.
func (h Host) Visit(ctx context.Context, s Settings, logf func(format string, args ...any), do func(place string) error) error {
	l, err := takeLock(ctx, h.RunDir, visitWait)
	if err != nil {
		return err
	}
	defer l.release()
	p, err := h.mounter(logf).open(ctx, s)
	if err != nil {
		return err
	}
	return errors.Join(do(p.folder), p.close(context.WithoutCancel(ctx)))
}

func (h Host) mounter(logf func(format string, args ...any)) *mounter {
	return &mounter{
		run: h.Run, have: h.Have, proc: h.Proc, fstab: h.Fstab, dir: filepath.Join(h.RunDir, "destination"),
		note: func([]string) error { return nil }, reach: h.Reach, logf: logf, pauses: h.Pauses,
	}
}
