package powerloss_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lifeboat/internal/fixture"
)

// An order tells the writers' process what to mount where, and how much to
// write to it.
type order struct {
	Node, Dir, Options string
	Changes            int
	Seed               uint64
}

func TestMain(m *testing.M) {
	fixture.Main(m, map[string]func(*testing.T, []string){"writers": writers})
}

// writers is the process that lets a kernel write: its mounts are in a name space
// of its own, and end with it. It takes a file with orders, writes to all disks at
// once, tells when that is done, and waits for the end of its standard input.
func writers(t *testing.T, args []string) {
	text, err := os.ReadFile(args[0])
	must(t, err)
	var orders []order
	must(t, json.Unmarshal(text, &orders))
	var all sync.WaitGroup
	for _, o := range orders {
		if err := unix.Mount(o.Node, o.Dir, "ext4", 0, o.Options); err != nil {
			t.Fatalf("mount %s -o %s: %v", o.Node, o.Options, err)
		}
		defer unix.Unmount(o.Dir, 0)
		all.Go(func() {
			w := &writer{dir: o.Dir, rnd: rand.New(rand.NewPCG(o.Seed, 2)), noise: rand.NewChaCha8([32]byte{byte(o.Seed)})}
			for range o.Changes {
				if err := w.change(); err != nil && !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("%s: %v", o.Node, err)
					return
				}
			}
		})
	}
	all.Wait()
	fmt.Println(written)
	_, _ = io.ReadAll(os.Stdin)
}

// written is the line of the writers' process when all is written.
const written = "written"

// letWrite starts that process, and calls then when all is written and still
// mounted.
func letWrite(t *testing.T, orders []order, then func()) {
	t.Helper()
	text, err := json.Marshal(orders)
	must(t, err)
	file := filepath.Join(t.TempDir(), "orders")
	must(t, os.WriteFile(file, text, 0o600))
	cmd := fixture.Child(t, "writers", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if said = append(said, lines.Text()); lines.Text() == written {
			then()
			must(t, in.Close())
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the writers: %v\n%s", err, strings.Join(said, "\n"))
	}
}

// A writer changes one file system in all the ways that a system does.
type writer struct {
	dir   string
	rnd   *rand.Rand
	noise *rand.ChaCha8
	files []string
	next  int
}

// change makes one change, some of them synced.
func (w *writer) change() error {
	switch w.rnd.IntN(16) {
	case 0, 9:
		return w.remove()
	case 1:
		return w.rename()
	case 2:
		return w.onFile(func(f *os.File) error { return f.Truncate(w.rnd.Int64N(30_000)) })
	case 3:
		return w.onFile(func(f *os.File) error {
			return unix.Fsetxattr(int(f.Fd()), "user.note", w.bytes(1+w.rnd.IntN(300)), 0)
		})
	case 4:
		return w.onFile(func(f *os.File) error {
			_, err := f.WriteAt(w.bytes(1+w.rnd.IntN(8000)), w.rnd.Int64N(200_000))
			return err
		})
	case 5:
		return w.folder()
	case 6:
		return w.special()
	case 7:
		return w.replace()
	case 8:
		return w.deletedWhileOpen()
	}
	return w.create(w.name(), w.bytes(w.rnd.IntN(20_000)))
}

// name is that of a new file: most lie in one large folder, some in small ones.
func (w *writer) name() string {
	w.next++
	if w.rnd.IntN(3) == 0 {
		return fmt.Sprintf("d%d/%d", w.rnd.IntN(8), w.next)
	}
	return fmt.Sprintf("many/a name that is long, so that the folder gets an index %d", w.next)
}

// bytes are noise; some begin with the magic of a journal's block, which must
// be escaped there.
func (w *writer) bytes(n int) []byte {
	b := make([]byte, n)
	_, _ = w.noise.Read(b)
	if n > 4 && w.rnd.IntN(3) == 0 {
		copy(b, []byte{0xc0, 0x3b, 0x39, 0x98})
	}
	return b
}

func (w *writer) create(name string, b []byte) error {
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w.files = append(w.files, name)
	_, err = f.Write(b)
	return errors.Join(err, w.done(f))
}

// done closes a file, and syncs it now and then.
func (w *writer) done(f *os.File) error {
	var err error
	if w.rnd.IntN(15) == 0 {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// onFile does something to one of the files.
func (w *writer) onFile(do func(*os.File) error) error {
	if len(w.files) == 0 {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(w.dir, w.files[w.rnd.IntN(len(w.files))]), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(do(f), w.done(f))
}

// take takes a file off the list.
func (w *writer) take() string {
	i := w.rnd.IntN(len(w.files))
	name := w.files[i]
	w.files[i] = w.files[len(w.files)-1]
	w.files = w.files[:len(w.files)-1]
	return name
}

func (w *writer) remove() error {
	var err error
	for n := w.rnd.IntN(6); n > 0 && len(w.files) > 0; n-- {
		err = errors.Join(err, os.Remove(filepath.Join(w.dir, w.take())))
	}
	return err
}

func (w *writer) rename() error {
	if len(w.files) == 0 {
		return nil
	}
	name := w.name()
	if err := os.MkdirAll(filepath.Join(w.dir, filepath.Dir(name)), 0o755); err != nil {
		return err
	}
	i := w.rnd.IntN(len(w.files))
	if err := os.Rename(filepath.Join(w.dir, w.files[i]), filepath.Join(w.dir, name)); err != nil {
		return err
	}
	w.files[i] = name
	return nil
}

// folder makes a small tree in the place of another: blocks of folders that
// become blocks of files are what revokes are for.
func (w *writer) folder() error {
	dir := filepath.Join(w.dir, fmt.Sprintf("tree%d", w.rnd.IntN(3)))
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for i := range 1 + w.rnd.IntN(6) {
		if err := os.MkdirAll(filepath.Join(dir, fmt.Sprint(i), "below"), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// special makes what is no plain file.
func (w *writer) special() error {
	w.next++
	name := filepath.Join(w.dir, fmt.Sprintf("special%d", w.next))
	switch w.rnd.IntN(3) {
	case 0:
		return os.Symlink(fmt.Sprintf("%0*d", 1+w.rnd.IntN(200), w.next), name)
	case 1:
		return unix.Mknod(name, unix.S_IFIFO|0o600, 0)
	}
	if len(w.files) == 0 {
		return nil
	}
	return os.Link(filepath.Join(w.dir, w.files[w.rnd.IntN(len(w.files))]), name)
}

// replace is what careful programs do.
func (w *writer) replace() error {
	tmp := filepath.Join(w.dir, "settings.new")
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.Write(w.bytes(w.rnd.IntN(5000)))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(w.dir, "settings"))
}

// deletedWhileOpen leaves an orphan for some time, which a sync may bring to
// the disk.
func (w *writer) deletedWhileOpen() error {
	name := filepath.Join(w.dir, "orphan")
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(w.bytes(30_000))
	if err = errors.Join(err, os.Remove(name)); w.rnd.IntN(2) == 0 {
		err = errors.Join(err, f.Sync())
	}
	return errors.Join(err, w.create(w.name(), w.bytes(100)), f.Close())
}
