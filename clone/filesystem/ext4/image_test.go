package ext4_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/ext4"
	"lifeboat/internal/fixture"
)

const mib = 1 << 20

// A layout is one way to call mke2fs.
type layout struct {
	name string
	size int64
	args string
	big  bool // large enough for a large directory
}

var layouts = []layout{
	{"ext2", 16 * mib, "-t ext2 -b 1024 -g 2048", false},
	{"ext2 rev 0", 12 * mib, "-t ext2 -r 0 -b 1024", false},
	{"ext3", 20 * mib, "-t ext3 -b 1024 -g 2048", true},
	{"ext4", 16 * mib, "-t ext4 -g 512", true},
	{"raspios", 20 * mib, "-t ext4 -b 4096 -g 1024 -O ^64bit,^huge_file,^metadata_csum", true},
	{"1k", 20 * mib, "-t ext4 -b 1024", true},
	{"2k", 16 * mib, "-t ext4 -b 2048 -g 1024 -O ^64bit", false},
	{"64k", 48 * mib, "-t ext4 -b 65536 -g 256 -O ^has_journal", false},
	{"meta_bg", 20 * mib, "-t ext4 -b 1024 -g 512 -O meta_bg,^resize_inode", true},
	{"meta_bg 64bit 4k", 24 * mib, "-t ext4 -b 4096 -g 256 -O 64bit,meta_bg,^resize_inode -N 2048", false},
	{"bigalloc", 48 * mib, "-t ext4 -b 4096 -C 65536 -g 8192 -O bigalloc", false},
	{"bigalloc 1k", 32 * mib, "-t ext4 -b 1024 -C 8192 -O bigalloc", false},
	{"no flex_bg", 16 * mib, "-t ext4 -g 512 -O ^flex_bg", false},
	{"uninit_bg", 16 * mib, "-t ext4 -g 512 -O ^metadata_csum,uninit_bg", false},
	{"uninit_bg 64bit", 16 * mib, "-t ext4 -g 512 -O ^metadata_csum,uninit_bg,64bit", false},
	{"sparse_super2", 16 * mib, "-t ext4 -g 512 -O sparse_super2,^resize_inode", false},
	{"no journal", 16 * mib, "-t ext4 -g 512 -O ^has_journal", false},
	{"no resize_inode", 16 * mib, "-t ext4 -g 512 -O ^resize_inode", false},
	{"csum_seed orphan_file", 16 * mib, "-t ext4 -g 512 -O metadata_csum_seed,orphan_file", true},
	{"inline_data", 16 * mib, "-t ext4 -g 512 -I 512 -O inline_data", true},
	{"quota", 16 * mib, "-t ext4 -g 512 -O quota,project -I 256", false},
	{"odd size", 12*mib + 3*1024, "-t ext4 -b 1024 -m 0", false},
	{"lazy off", 16 * mib, "-t ext4 -g 512 -E lazy_itable_init=0,lazy_journal_init=0,packed_meta_blocks=1", false},
}

// tree makes a folder of files that are hard to copy.
func tree(t testing.TB, big bool) string {
	t.Helper()
	root, rnd := t.TempDir(), rand.NewChaCha8([32]byte{1})
	write := func(name string, data []byte) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(root, name), data, 0o644))
	}
	random := func(n int) []byte {
		b := make([]byte, n)
		_, _ = rnd.Read(b)
		return b
	}
	write("etc/fstab", []byte("PARTUUID=deadbeef-02 / ext4 defaults,noatime 0 1\n"))
	write("etc/empty", nil)
	for _, n := range []int{1, 59, 60, 61, 100, 160, 161, 1023, 1024, 1025, 4096, 5000, 70000, 400_000} {
		write(fmt.Sprintf("sizes/%d", n), random(n))
	}
	write("magic", append([]byte{0xc0, 0x3b, 0x39, 0x98}, random(9000)...))
	write(strings.Repeat("n", 250)+".long", []byte("a name of 255 bytes"))
	write("dir/sub/deep/er/file", random(3000))
	write("not\xffutf8/\xfe", []byte("bytes"))
	hole, err := os.Create(filepath.Join(root, "hole"))
	must(t, err)
	for _, off := range []int64{0, 200_000, 900_000} {
		_, err = hole.WriteAt(random(5000), off)
		must(t, err)
	}
	must(t, hole.Truncate(1_500_000))
	must(t, hole.Close())
	for name, target := range map[string]string{
		"link": "etc/fstab", "abs": "/etc/fstab", "up": "dir/../etc/../etc/fstab", "dirlink": "dir/sub",
		"loop": "loop", "dangling": "no/such", "long": strings.Repeat("x/", 200), "l59": strings.Repeat("y", 59), "l60": strings.Repeat("z", 60),
	} {
		must(t, os.Symlink(target, filepath.Join(root, name)))
	}
	n := 50
	if big {
		n = 600
	}
	for i := range n {
		write(fmt.Sprintf("many/a rather long name so that there are blocks %04d", i), fmt.Appendf(nil, "%d", i))
	}
	must(t, os.Chmod(filepath.Join(root, "dir/sub"), 0o2750))
	must(t, os.Chmod(filepath.Join(root, "magic"), 0o755|fs.ModeSetuid))
	must(t, os.Chtimes(filepath.Join(root, "magic"), time.Unix(1, 0), time.Unix(2_500_000_000, 0)))
	return root
}

// mkfs makes an image of a layout with the files of src, of which some are
// removed again so that there are gaps.
func mkfs(t testing.TB, l layout, src string) string {
	t.Helper()
	fixture.Need(t, "mke2fs", "debugfs", "e2fsck", "dumpe2fs")
	path := filepath.Join(t.TempDir(), "img")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Truncate(path, l.size))
	if strings.Contains(l.args, "inline_data") {
		must(t, os.Truncate(filepath.Join(src, "hole"), 905_000)) // mke2fs 1.47.0 loses a hole at the end
	}
	args := append(strings.Fields(l.args), "-q", "-F", "-L", "rootfs", "-U", "01234567-89ab-cdef-0123-456789abcdef", "-d", src, path)
	fixture.Run(t, "mke2fs", args...)
	if strings.Contains(l.args, "-r 0") { // e2fsck -D and debugfs make it a new one
		return path
	}
	var cmds strings.Builder
	for i := 0; i < 40; i += 3 {
		fmt.Fprintf(&cmds, "rm \"many/a rather long name so that there are blocks %04d\"\n", i)
		must(t, os.Remove(filepath.Join(src, fmt.Sprintf("many/a rather long name so that there are blocks %04d", i))))
	}
	fmt.Fprintf(&cmds, "rm sizes/70000\nwrite %s again\n", filepath.Join(src, "sizes/400000"))
	must(t, os.Remove(filepath.Join(src, "sizes/70000")))
	data, err := os.ReadFile(filepath.Join(src, "sizes/400000"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(src, "again"), data, 0o644))
	debugfs(t, path, cmds.String())
	if code := e2fsck(t, path, "-fyD"); code > 1 {
		t.Fatalf("e2fsck -fyD: got code %d", code)
	}
	return path
}

func debugfs(t testing.TB, path, cmds string) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "cmds")
	must(t, os.WriteFile(script, []byte(cmds), 0o600))
	return fixture.Run(t, "debugfs", "-w", "-f", script, path)
}

func e2fsck(t testing.TB, path, flags string) int {
	t.Helper()
	out, code := fixture.Try(t, "e2fsck", flags, path)
	if code > 1 {
		t.Logf("e2fsck %s: code %d\n%s", flags, code, out[:min(len(out), 4000)])
	}
	return code
}

var freeLine = regexp.MustCompile(`(?m)^  Free blocks: (.*)$`)

// dumpe2fsUsed is what dumpe2fs takes for used.
func dumpe2fsUsed(t testing.TB, path string, block, size, cluster int64) extent.Set {
	t.Helper()
	var free []extent.Extent
	for _, m := range freeLine.FindAllStringSubmatch(fixture.Run(t, "dumpe2fs", path), -1) {
		for _, r := range strings.Split(m[1], ", ") {
			if r == "" {
				continue
			}
			from, to, ok := strings.Cut(r, "-")
			if !ok {
				to = from
			}
			a, err := strconv.ParseInt(from, 10, 64)
			must(t, err)
			b, err := strconv.ParseInt(to, 10, 64)
			must(t, err)
			free = append(free, extent.Extent{Off: a * block, Len: (b-a)*block + cluster})
		}
	}
	all := extent.Of(extent.Extent{Off: 0, Len: size})
	return all.Subtract(extent.Of(free...)).Clip(extent.Extent{Off: 0, Len: size})
}

// open reads an image into memory.
func open(t testing.TB, path string) (*ext4.FS, []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	f, err := ext4.Open(bytes.NewReader(b), int64(len(b)))
	must(t, err)
	return f, b
}

// writeSparse writes an image, but for its zeros.
func writeSparse(t testing.TB, path string, img []byte) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	const piece = 16 << 10
	for off := 0; off < len(img); off += piece {
		if b := img[off:min(len(img), off+piece)]; !extent.IsZero(b) {
			_, err := f.WriteAt(b, int64(off))
			must(t, err)
		}
	}
	must(t, f.Truncate(int64(len(img))))
	must(t, f.Close())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
