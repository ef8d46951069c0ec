package live_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/live"
	"lifeboat/clone/manifest"
	"lifeboat/internal/fixture"
)

// roleEnv makes another program of this one: the watchdog, a writer, a victim.
const roleEnv = "LIFEBOAT_TEST_ROLE"

func TestMain(m *testing.M) {
	var err error
	switch role, arg, _ := strings.Cut(os.Getenv(roleEnv), " "); role {
	case "watchdog":
		signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		err = live.RunWatchdog(os.Stdin, os.Stdout)
	case "writer":
		err = runWriter(arg)
	case "prober":
		err = runProber(arg)
	case "victim":
		err = runVictim(arg)
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func role(name string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"="+name)
	return cmd
}

// survey is what the command hands to live.
func survey(r io.ReaderAt, size, sector int64) (live.Surveyed, error) {
	blocks, err := clone.NewBlocks(r, size, sector)
	if err != nil {
		return live.Surveyed{}, err
	}
	return live.Surveyed{Head: blocks.Head(), Used: blocks.Used(), Void: blocks.Void()}, nil
}

func options(tb testing.TB) live.Options {
	return live.Options{
		Survey:   survey,
		Watchdog: func() *exec.Cmd { return role("watchdog") },
		Logf:     tb.Logf,
	}
}

// A card is a disk with a FAT part that nobody mounted, a gap, and an ext4 that
// is mounted.
type card struct {
	disk  string // /dev/loopN
	root  string // /dev/loopNp2
	dir   string // where root is mounted
	part1 extent.Extent
	part2 extent.Extent
}

const mib = 1 << 20

// newCard makes one on a loop device. The kernel's own parser is not asked: it
// may have none.
func newCard(tb testing.TB, mkfs ...string) *card {
	tb.Helper()
	fixture.Root(tb)
	fixture.Need(tb, "losetup", "mke2fs", "mkfs.vfat", "sfdisk", "dumpe2fs", "e2fsck", "dd")
	file := fixture.Sparse(tb, "card.img", 400*mib)
	c := &card{part1: extent.Extent{Off: 4 * mib, Len: 32 * mib}, part2: extent.Extent{Off: 40 * mib, Len: 360 * mib}}
	script := filepath.Join(tb.TempDir(), "table")
	text := fmt.Sprintf("label: dos\nstart=%d, size=%d, type=c\nstart=%d, size=%d, type=83\n",
		c.part1.Off/512, c.part1.Len/512, c.part2.Off/512, c.part2.Len/512)
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	fixture.Run(tb, "sh", "-c", "sfdisk -q "+file+" <"+script)
	c.disk = fixture.Loop(tb, file)
	c.addPart(tb, 1, c.part1)
	c.addPart(tb, 2, c.part2)
	c.root = c.disk + "p2"
	fixture.Run(tb, "mkfs.vfat", "-F", "32", "-s", "1", c.disk+"p1")
	fixture.Run(tb, "mke2fs", append(append([]string{"-q", "-F", "-t", "ext4"}, mkfs...), c.root)...)
	c.mount(tb, "")
	return c
}

func (c *card) addPart(tb testing.TB, num int, e extent.Extent) {
	tb.Helper()
	fixture.Run(tb, "addpart", c.disk, fmt.Sprint(num), fmt.Sprint(e.Off/512), fmt.Sprint(e.Len/512))
	tb.Cleanup(func() { exec.Command("delpart", c.disk, fmt.Sprint(num)).Run() })
}

func (c *card) mount(tb testing.TB, opts string) {
	tb.Helper()
	c.dir = tb.TempDir()
	flags := uintptr(0)
	if opts == "ro" {
		flags, opts = unix.MS_RDONLY, ""
	}
	if err := unix.Mount(c.root, c.dir, "ext4", flags, opts); err != nil {
		tb.Fatalf("mount %s: %v", c.root, err)
	}
	tb.Cleanup(func() {
		if err := fixture.Unmount(c.dir); err != nil {
			tb.Errorf("unmount %s: %v", c.dir, err)
			unix.Unmount(c.dir, unix.MNT_DETACH)
		}
	})
}

// write starts a writer on the card; it ends with the test.
func (c *card) write(tb testing.TB) {
	tb.Helper()
	c.start(tb, role("writer "+filepath.Join(c.dir, "work")))
}

// start starts a process of ours that says when it is ready, and ends when its
// standard input does, or with the test.
func (c *card) start(tb testing.TB, cmd *exec.Cmd) (end func(), said *bufio.Reader) {
	tb.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			tb.Errorf("writer: %v", err)
		}
	})
	said = bufio.NewReader(out)
	if _, err := said.ReadString('\n'); err != nil {
		tb.Fatalf("writer: %v", err)
	}
	return func() { in.Close() }, said
}

// open opens the card as a source.
func (c *card) open(tb testing.TB, o live.Options) *live.Source {
	tb.Helper()
	s, err := live.Open(tb.Context(), disk.Host(), c.disk, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// save copies a source to a file, as a sink would.
func save(tb testing.TB, s *live.Source, file string) (*manifest.Tail, error) {
	tb.Helper()
	f, err := os.Create(file)
	if err != nil {
		tb.Fatal(err)
	}
	size := s.Head().Size
	if err := f.Truncate(size); err != nil {
		tb.Fatal(err)
	}
	pass, err := s.Open(tb.Context(), extent.Of(extent.Extent{Off: 0, Len: size}))
	if err != nil {
		return nil, err
	}
	tail, err := drain(tb, pass, f)
	return tail, errors.Join(err, pass.Close(), f.Close())
}

func drain(tb testing.TB, pass live.Pass, f *os.File) (*manifest.Tail, error) {
	zeros := make([]byte, extent.BufferSize)
	for {
		rec, err := pass.Next(tb.Context())
		if err == io.EOF {
			return pass.Tail(), nil
		}
		if err != nil {
			return nil, err
		}
		b := rec.Data
		if rec.Kind == extent.Zero {
			b = zeros[:rec.Len]
		}
		if int64(len(b)) != rec.Len {
			tb.Fatalf("record %v has %d bytes", rec.Extent, len(b))
		}
		if _, err := f.WriteAt(b, rec.Off); err != nil {
			return nil, err
		}
	}
}

// truth copies the whole disk by another program, past the page cache.
func (c *card) truth(tb testing.TB, file string) func() error {
	return func() error {
		out, err := exec.Command("dd", "if="+c.disk, "of="+file, "bs=1M", "iflag=direct", "conv=sparse", "status=none").CombinedOutput()
		if err != nil {
			return fmt.Errorf("dd: %w: %s", err, out)
		}
		return nil
	}
}
