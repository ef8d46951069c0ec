package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lifeboat/internal/fixture"
)

// A bench compares the tool with its peers: the same input, one run, in turns.
type bench struct {
	testing.TB
	// config
	to     string // the table
	dir    string
	tool   string
	rounds int

	// state
	rows []benchRow
}

// A contender does a piece of work by one shell line. before is not timed.
type contender struct {
	name, before, line string
	out                string // what it makes, to be weighed; "" = nothing
}

type benchRow struct {
	what        string
	ours, peer  contender
	took, other time.Duration
	note        string
}

// TestBench writes the table of docs/BENCHMARKS.md to the file that
// LIFEBOAT_BENCH names. LIFEBOAT_BENCH_MIB is how much the file system holds,
// LIFEBOAT_BENCH_ROUNDS how often each contender runs.
func TestBench(t *testing.T) {
	to := os.Getenv("LIFEBOAT_BENCH")
	if to == "" {
		t.Skip("a benchmark: make bench")
	}
	fixture.Root(t) // the page cache is dropped before each run
	fixture.Need(t, "mke2fs", "partclone.ext4", "e2image", "bmaptool", "zstd", "pigz", "dd", "cmp", "du", "sfdisk", "losetup", "resize2fs", "dumpe2fs")
	b := &bench{TB: t, to: to, dir: t.TempDir(), rounds: benchNumber(t, "LIFEBOAT_BENCH_ROUNDS", 3)}
	b.tool = filepath.Join(b.dir, "lifeboat")
	b.run("CGO_ENABLED=0 go build -trimpath -o " + b.tool + " .")
	b.makeCard(benchNumber(t, "LIFEBOAT_BENCH_MIB", 3072))
	b.images()
	b.restores()
	b.packing()
	b.smaller()
}

func benchNumber(t *testing.T, name string, usual int) int {
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		return usual
	}
	return n
}

// makeCard makes an ext4 that holds mib MiB of this system's own files, and as
// much room again by half.
func (b *bench) makeCard(mib int) {
	b.run("mkdir tree")
	left := mib << 10 // KiB
	for _, dir := range []string{"/usr/lib", "/usr/share", "/usr/bin", "/usr/local", "/usr/sbin"} {
		for _, path := range b.children(dir) {
			kib, err := strconv.Atoi(strings.Fields(b.run("du -sk " + path))[0])
			if err != nil || kib > left {
				continue
			}
			left -= kib
			b.run("mkdir -p tree" + dir + " && cp -a " + path + " tree" + dir)
		}
	}
	b.run(fmt.Sprintf("truncate -s %dM card.img", max(mib*3/2, 64)))
	b.run("mke2fs -q -t ext4 -E lazy_itable_init=0 -d tree card.img && rm -r tree && sync")
}

func (b *bench) children(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // not every system has each of them
	}
	var paths []string
	for _, e := range entries {
		paths = append(paths, filepath.Join(dir, e.Name()))
	}
	return paths
}

// images saves the used blocks to a file.
func (b *bench) images() {
	ours := contender{name: "lifeboat backup --no-verify", line: b.lifeboat("backup --no-verify --overwrite card.img ours.img"), out: "ours.img"}
	b.compare("used blocks to a file", ours, contender{
		name: "partclone.ext4 -c", before: "rm -f peer.pcl",
		line: "partclone.ext4 -q -c -s card.img -o peer.pcl -L partclone.log && sync peer.pcl", out: "peer.pcl",
	})
	b.compare("used blocks to a file", ours, contender{
		name: "e2image -ra", before: "rm -f peer.img",
		line: "e2image -ra card.img peer.img && sync peer.img", out: "peer.img",
	})
	b.run("rm -f peer.pcl peer.img")
	b.compare("used blocks to a file, read back", contender{
		name: "lifeboat backup", line: b.lifeboat("backup --overwrite card.img ours.img"), out: "ours.img",
	}, contender{
		name: "e2image -ra, cmp", before: "rm -f peer.img",
		line: "e2image -ra card.img peer.img && sync peer.img && " + uncache("peer.img") + " && e2image -ra card.img - | cmp - peer.img", out: "peer.img",
	})
	b.run("rm -f peer.img")
}

// packing packs the same bytes: the peers get the image of used blocks.
func (b *bench) packing() {
	ours := contender{
		name: "lifeboat backup --no-verify", line: b.lifeboat("backup --no-verify --overwrite card.img ours.img.zst"), out: "ours.img.zst",
	}
	level := b.equalLevel(b.weigh(ours.out))
	b.compare(".img.zst at equal ratio", ours, contender{
		name: "zstd -T0 " + level, line: "zstd -q -f -T0 " + level + " ours.img -o peer.zst && sync peer.zst", out: "peer.zst",
	})
	b.compare(".img.gz", contender{
		name: "lifeboat backup --no-verify", line: b.lifeboat("backup --no-verify --overwrite card.img ours.img.gz"), out: "ours.img.gz",
	}, contender{name: "pigz", line: "pigz -c ours.img > peer.gz && sync peer.gz", out: "peer.gz"})
	b.run("rm -f peer.zst peer.gz ours.img.gz")
}

// equalLevel is the quickest level at which zstd packs as well as we do, within
// half a percent; the best of them where none does.
func (b *bench) equalLevel(size int64) string {
	levels := []string{"-1", "-2", "-3", "-4"}
	for _, level := range levels {
		b.run("zstd -q -f -T0 " + level + " ours.img -o peer.zst")
		if b.weigh("peer.zst") <= size+size/200 {
			return level
		}
	}
	return levels[len(levels)-1]
}

func (b *bench) restores() {
	b.run(b.lifeboat("backup --no-verify --overwrite card.img ours.img.zst"))
	blank := "rm -f disk.img && truncate -r ours.img disk.img"
	peerBlank := "rm -f peer.img && truncate -r ours.img peer.img"
	b.compare("restore, read back", contender{
		name: "lifeboat restore", before: blank, line: b.lifeboat("restore ours.img disk.img"),
	}, contender{
		name: "bmaptool copy, cmp", before: peerBlank,
		line: "bmaptool -q copy ours.img peer.img && " + uncache("peer.img") + " && cmp ours.img peer.img",
	})
	b.compare("restore of .img.zst, not read back", contender{
		name: "lifeboat restore --no-verify", before: blank, line: b.lifeboat("restore --no-verify ours.img.zst disk.img"),
	}, contender{
		name: "zstd -dc, dd conv=fsync", before: peerBlank,
		line: "zstd -q -dc ours.img.zst | dd of=peer.img bs=4M iflag=fullblock conv=fsync,notrunc status=none",
	})
	b.compare("restore of .img.zst, read back", contender{
		name: "lifeboat restore", before: blank, line: b.lifeboat("restore ours.img.zst disk.img"),
	}, contender{
		name: "zstd -dc, dd conv=fsync, cmp", before: peerBlank,
		line: "zstd -q -dc ours.img.zst | dd of=peer.img bs=4M iflag=fullblock conv=fsync,notrunc status=none && " + uncache("peer.img") +
			" && zstd -q -dc ours.img.zst | cmp - peer.img",
	})
	b.run("rm -f peer.img")
	b.compare("restore to a disk that holds 95 % already", contender{
		name: "lifeboat restore", before: b.spoil("disk.img"), line: b.lifeboat("restore ours.img disk.img"),
	}, contender{name: "lifeboat restore to a blank one", before: blank, line: b.lifeboat("restore ours.img disk.img")})
}

// smaller makes an image as small as its content: the peer does it as PiShrink
// does, on a copy.
func (b *bench) smaller() {
	const start = 4 << 20
	b.run(fmt.Sprintf("truncate -s $(($(stat -c %%s card.img) + %d)) table.img && printf '%dM,,83\\n' | sfdisk -q table.img && "+
		"dd if=card.img of=table.img bs=1M seek=%d conv=notrunc,sparse status=none", start, start>>20, start>>20))
	b.compare("an image as small as its content", contender{
		name: "lifeboat resize --into", before: "rm -f small.img", line: b.lifeboat("resize table.img --into small.img"), out: "small.img",
	}, contender{
		name: "cp, e2fsck, resize2fs -M, truncate", before: "rm -f peer.img",
		line: fmt.Sprintf("cp --sparse=always table.img peer.img && loop=$(losetup -f --show -o %d peer.img) && "+
			"e2fsck -p -f $loop > e2fsck.log; resize2fs -M $loop > resize2fs.log 2>&1 && "+
			"blocks=$(dumpe2fs -h $loop 2>&1 | sed -n 's/^Block count: *//p') && losetup -d $loop && "+
			"truncate -s $((blocks * 4096 + %d)) peer.img && sync peer.img", start, start),
		out: "peer.img",
	})
}

// spoil is a line that makes a restored disk wrong in every twentieth MiB.
func (b *bench) spoil(disk string) string {
	return "cp --sparse=always ours.img " + disk + " && for i in $(seq 10 20 $(($(stat -c %s " + disk + ") / 1048576 - 1))); do " +
		"dd if=/dev/urandom of=" + disk + " bs=1M count=1 seek=$i conv=notrunc status=none; done"
}

// uncache is a line that takes a file out of the page cache, as lifeboat does
// before it reads back.
func uncache(path string) string {
	return "dd of=" + path + " oflag=nocache conv=notrunc,fdatasync count=0 status=none"
}

// lifeboat is a line that calls the tool. That it has reservations (code 5) is
// no fault: an ext4 alone does not boot, and what is not verified says so.
func (b *bench) lifeboat(args string) string {
	return b.tool + " " + args + " > lifeboat.log 2>&1; case $? in 0|5) ;; *) cat lifeboat.log; false;; esac"
}

// compare runs both in turns, and keeps the median of each.
func (b *bench) compare(what string, ours, peer contender) {
	var took, other []time.Duration
	for i := range b.rounds {
		if i%2 == 0 {
			took = append(took, b.time(ours))
			other = append(other, b.time(peer))
		} else {
			other = append(other, b.time(peer))
			took = append(took, b.time(ours))
		}
	}
	row := benchRow{what: what, ours: ours, peer: peer, took: median(took), other: median(other)}
	if ours.out != "" {
		row.note = fmt.Sprintf("%d MB, %d MB", b.weigh(ours.out)/1e6, b.weigh(peer.out)/1e6)
	}
	b.Logf("%s: %s %v, %s %v: %.2f  %s", what, ours.name, took, peer.name, other, row.ratio(), row.note)
	b.rows = append(b.rows, row)
	if err := os.WriteFile(b.to, []byte(b.table()), 0o644); err != nil { // after each row: it may take an hour
		b.Fatal(err)
	}
}

func (r benchRow) ratio() float64 { return r.other.Seconds() / r.took.Seconds() }

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// time runs a contender from a cold cache.
func (b *bench) time(c contender) time.Duration {
	b.Helper()
	if c.before != "" {
		b.run(c.before)
	}
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	b.run(c.line)
	return time.Since(start)
}

func (b *bench) run(line string) string {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), "bash", "-o", "pipefail", "-c", line)
	if !strings.Contains(line, "go build") {
		cmd.Dir = b.dir
	}
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// weigh is how many bytes a file takes on the disk.
func (b *bench) weigh(name string) int64 {
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(b.dir, name), &st); err != nil {
		b.Fatal(err)
	}
	return st.Blocks * 512
}

// table is docs/BENCHMARKS.md.
func (b *bench) table() string {
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err != nil {
		b.Fatal(err)
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		b.Fatal(err)
	}
	var t strings.Builder
	fmt.Fprintf(&t, "# Measured against other tools\n\nWritten by `make bench` on %s: %d cores (%s), Linux %s.\n",
		time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.GOARCH, unix.ByteSliceToString(kernel.Release[:]))
	fmt.Fprintf(&t, "The card is one ext4 of %d MB, of which %d MB are files of this system; all of it lies in files of one disk.\n",
		b.size("card.img")/1e6, b.weigh("ours.img")/1e6)
	fmt.Fprintf(&t, "Each number is the median of %d runs in turns, from a cold cache, up to the last byte on the disk. "+
		"More than 1.00 means that lifeboat is faster. The load when it ended was %s; where other work runs beside it, single rows swing by a fifth.\n\n",
		b.rounds, strings.Fields(string(load))[0])
	fmt.Fprintf(&t, "| work | lifeboat | s | peer | s | ratio | size on disk |\n|---|---|---|---|---|---|---|\n")
	for _, r := range b.rows {
		fmt.Fprintf(&t, "| %s | `%s` | %.1f | `%s` | %.1f | %.2f | %s |\n",
			r.what, r.ours.name, r.took.Seconds(), r.peer.name, r.other.Seconds(), r.ratio(), r.note)
	}
	return t.String()
}

func (b *bench) size(name string) int64 {
	info, err := os.Stat(filepath.Join(b.dir, name))
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}
