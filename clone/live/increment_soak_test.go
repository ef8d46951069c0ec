package live_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"lifeboat/internal/fixture"
)

// layouts are file systems that differ in how they say what changed.
var layouts = []struct{ name, mkfs string }{
	{"as it comes", "-b 4096"},
	{"small inodes", "-I 128"},
	{"as ext3", "-O ^extents,^64bit,^flex_bg,^metadata_csum,^huge_file"},
	{"small blocks", "-b 1024"},
	{"no checksums", "-O ^64bit,^metadata_csum,^orphan_file"},
	{"fast commits", "-O fast_commit"},
	{"data in inodes", "-O inline_data -I 256"},
	{"attributes in inodes", "-O ea_inode"},
	{"clusters", "-O bigalloc -C 65536"},
	{"descriptors in groups", "-O meta_bg,^resize_inode"},
	{"small groups", "-O ^flex_bg -g 8192"},
	{"two copies", "-O sparse_super2"},
	{"lazy tables", "-E lazy_itable_init=1,lazy_journal_init=1 -g 8192"},
}

// TestLayouts has many changes in one night on each of them.
func TestLayouts(t *testing.T) {
	t.Parallel()
	for _, l := range layouts {
		if l.name != "as ext3" && !fixture.Campaign() {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			n := newNights(t, newCard(t, strings.Fields(l.mkfs)...))
			n.fill(t, 200)
			for _, prep := range []func(testing.TB, *nights){shareAttributes, fragment, swapFile} {
				prep(t, n)
			}
			waitTick()
			n.backup(t)
			for _, name := range []string{"pwrite", "write, then touch -d", "shared attributes, one dropped", "many files", "a tree of extents, written to", "rename over", "swap file"} {
				find(t, name).act(t, n)
			}
			for i := range 2 {
				n.far = i > 0
				if got := n.backup(t); got.Full != "" {
					t.Errorf("increment %d reads all: %s", i+1, got.Full)
				}
				waitTick()
			}
			linkAndMode(t, n)
			n.backup(t)
		})
	}
}

func find(tb testing.TB, name string) change {
	tb.Helper()
	for _, c := range changes {
		if c.name == name {
			return c
		}
	}
	tb.Fatalf("there is no change %q", name)
	return change{}
}

// A soak is a random time on a card.
type soak struct {
	*nights
	r    *rand.Rand
	open []*os.File
	maps [][]byte
}

// TestSoak has random nights on random file systems, some with a program that
// writes while the backup runs. LIFEBOAT_SOAK is for how long, else a few.
func TestSoak(t *testing.T) {
	t.Parallel()
	long, _ := time.ParseDuration(os.Getenv("LIFEBOAT_SOAK"))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	start, count := time.Now(), 0
	for i := 0; i == 0 || time.Since(start) < long; i++ {
		l := layouts[r.IntN(len(layouts))]
		writer := r.IntN(3) == 0 && long > 0
		t.Run(fmt.Sprintf("%d %s, writer %v", i, l.name, writer), func(t *testing.T) {
			n := newNights(t, newCard(t, strings.Fields(l.mkfs)...))
			s := &soak{nights: n, r: r}
			t.Cleanup(s.end)
			n.fill(t, 100)
			if writer {
				n.card.write(t)
			}
			for range 4 + r.IntN(5) {
				n.full, n.far = r.IntN(10) == 0, r.IntN(4) == 0
				if got := n.backup(t); len(got.Wrong) > 0 {
					t.Errorf("an alarm: %v", got.Wrong)
				}
				count++
				for range []int{1, 3, 20, 80}[r.IntN(4)] {
					s.op(t)
				}
				if t.Failed() || long == 0 && count == 4 {
					return
				}
			}
		})
	}
	t.Logf("%d nights", count)
}

func (s *soak) end() {
	for _, f := range s.open {
		f.Close()
	}
	for _, m := range s.maps {
		unix.Munmap(m)
	}
}

// pick is a file that is there.
func (s *soak) pick(t *testing.T) (string, int64) {
	name := s.path(fmt.Sprintf("s%d/p%d", s.r.IntN(4), s.r.IntN(30)))
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	info, err := os.Stat(name)
	if err == nil {
		return name, info.Size()
	}
	size := s.r.IntN(300000)
	must(t, os.WriteFile(name, noise(size), 0o644))
	return name, int64(size)
}

// op does something random. What a file system has no room or no way for is let
// be.
func (s *soak) op(t *testing.T) {
	name, size := s.pick(t)
	at := s.r.Int64N(size + 1)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	switch s.r.IntN(18) {
	case 0, 1, 2:
		f.WriteAt(noise(1+s.r.IntN(20000)), at)
		[]func() error{f.Sync, func() error { return unix.Fdatasync(int(f.Fd())) }, func() error { return nil }}[s.r.IntN(3)]()
	case 3:
		writeDirect(name, at/4096*4096, byte(s.r.Int()))
	case 4, 5, 6, 7, 8, 9:
		mode := []uint32{3, 0x10, 1, 0, 8, 0x20}[s.r.IntN(6)]
		unix.Fallocate(int(f.Fd()), mode, at/65536*65536, 65536*(1+s.r.Int64N(2)))
	case 10:
		f.Truncate(s.r.Int64N(2*size + 10))
	case 11:
		other, _ := s.pick(t)
		os.Rename(name, other)
	case 12:
		other, _ := s.pick(t)
		os.Remove(other)
		os.Link(name, other)
	case 13:
		unix.Setxattr(name, "user."+string('a'+rune(s.r.IntN(3))), []byte(strings.Repeat("v", 10+s.r.IntN(900))), 0)
	case 14:
		unix.Removexattr(name, "user."+string('a'+rune(s.r.IntN(3))))
	case 15:
		info, err := os.Stat(name)
		must(t, err)
		f.WriteAt(noise(100), at)
		os.Chtimes(name, info.ModTime(), info.ModTime())
	case 16:
		s.rare(name, f)
	case 17:
		s.mapped(f, size)
	}
}

// rare are things that are no writes to a file.
func (s *soak) rare(name string, f *os.File) {
	switch s.r.IntN(5) {
	case 0:
		os.Remove(name)
		if g, err := os.Create(name + ".gone"); err == nil {
			g.Write(noise(60000))
			os.Remove(g.Name())
			s.open = append(s.open, g)
		}
	case 1:
		os.MkdirAll(s.path(fmt.Sprintf("s%d/d%d/e", s.r.IntN(4), s.r.IntN(9))), 0o755)
		os.Rename(s.path(fmt.Sprintf("s%d/d%d", s.r.IntN(4), s.r.IntN(9))), s.path(fmt.Sprintf("s%d/d%d", s.r.IntN(4), s.r.Int())))
	case 2:
		for i := range 200 {
			os.WriteFile(s.path(fmt.Sprintf("s1/%0100d", s.r.IntN(3000)+i)), nil, 0o600)
		}
	case 3:
		os.Symlink(strings.Repeat("y", []int{20, 200}[s.r.IntN(2)]), fmt.Sprintf("%s.l%d", name, s.r.IntN(1000)))
	case 4:
		f.Chmod(os.FileMode(0o600 + s.r.IntN(8)))
	}
}

// mapped writes through a mapping that stays, or through one of earlier.
func (s *soak) mapped(f *os.File, size int64) {
	if len(s.maps) < 5 && size > 8192 {
		if m, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
			s.maps = append(s.maps, m)
		}
	}
	if len(s.maps) == 0 {
		return
	}
	m := s.maps[s.r.IntN(len(s.maps))]
	if mem, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0); err == nil { // where the file was cut: an error, no signal
		mem.WriteAt(noise(100), int64(uintptr(unsafe.Pointer(&m[s.r.IntN(8000)]))))
		mem.Close()
	}
}
