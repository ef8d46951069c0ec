package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
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
	reads   string           // the disk whose reads are counted; "" = none
	sectors map[string]int64 // that each contender read, the last time
	rows    []benchRow
	missing []string // rows that this machine cannot measure, and why
}

// A contender does a piece of work by one shell line. before is not timed.
type contender struct {
	name, before, line string
	out                string // what it makes, to be weighed; "" = nothing
}

// TestBench writes the table of docs/BENCHMARKS.md to the file that
// LIFEBOAT_BENCH names. LIFEBOAT_BENCH_MIB is how much the file system holds,
// LIFEBOAT_BENCH_ROUNDS how often each contender runs,
// LIFEBOAT_BENCH_ONLY some of the groups of rows, with commas.
func TestBench(t *testing.T) {
	to := os.Getenv("LIFEBOAT_BENCH")
	if to == "" {
		t.Skip("a benchmark: make bench")
	}
	fixture.Root(t) // the page cache is dropped before each run
	fixture.Need(t, "mke2fs", "partclone.ext4", "e2image", "bmaptool", "zstd", "pigz", "dd", "cmp", "du", "sfdisk", "losetup", "resize2fs", "dumpe2fs", "time")
	b := &bench{
		TB: t, to: to, dir: t.TempDir(), rounds: benchNumber(t, "LIFEBOAT_BENCH_ROUNDS", 3), sectors: map[string]int64{},
	}
	b.tool = filepath.Join(b.dir, "lifeboat")
	b.run("CGO_ENABLED=0 go build -trimpath -o " + b.tool + " .")
	mib := benchNumber(t, "LIFEBOAT_BENCH_MIB", 3072)
	b.makeCard(mib)
	b.run(b.lifeboat("backup --no-verify card.img ours.img"))
	for _, group := range []struct {
		name string
		run  func()
	}{
		{"images", b.images}, {"restores", b.restores}, {"packing", b.packing}, {"smaller", b.smaller}, {"slow", b.slow}, {"memory", b.memory},
		{"nights", func() { b.nights(mib) }},
	} {
		if only := os.Getenv("LIFEBOAT_BENCH_ONLY"); only == "" || slices.Contains(strings.Split(only, ","), group.name) {
			group.run()
		}
	}
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
	b.makeTree(mib)
	b.run(fmt.Sprintf("truncate -s %dM card.img", max(mib*3/2, 64)))
	b.run("mke2fs -q -t ext4 -E lazy_itable_init=0 -d tree card.img && rm -r tree && sync")
}

// makeTree copies mib MiB of this system's own files to the folder tree.
func (b *bench) makeTree(mib int) {
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
		name: "lifeboat restore", before: b.spoil("ours.img", "disk.img"), line: b.lifeboat("restore ours.img disk.img"),
	}, contender{name: "lifeboat restore to a blank one", before: blank, line: b.lifeboat("restore ours.img disk.img")})
}

// smaller makes an image as small as its content: the peer does it as PiShrink
// does, on a copy.
func (b *bench) smaller() {
	const start = 4 << 20
	b.run(fmt.Sprintf("truncate -s $(($(stat -c %%s card.img) + %d)) table.img && printf '%dM,,83\\n' | sfdisk -q table.img && "+
		"dd if=card.img of=table.img bs=1M seek=%d conv=notrunc,sparse status=none", start, start>>20, start>>20))
	peer := contender{
		name: "cp, e2fsck, resize2fs -M, truncate", before: "rm -f peer.img",
		line: fmt.Sprintf("cp --sparse=always table.img peer.img && loop=$(losetup -f --show -o %d peer.img) && "+
			"e2fsck -p -f $loop > e2fsck.log; resize2fs -M $loop > resize2fs.log 2>&1 && "+
			"blocks=$(dumpe2fs -h $loop 2>&1 | sed -n 's/^Block count: *//p') && losetup -d $loop && "+
			"truncate -s $((blocks * 4096 + %d)) peer.img && sync peer.img", start, start),
		out: "peer.img",
	}
	ours := contender{
		name: "lifeboat resize --into --no-verify", before: "rm -f small.img",
		line: b.lifeboat("resize table.img --into small.img --no-verify"), out: "small.img",
	}
	b.compare("an image as small as its content", ours, peer)
	// Nothing else holds what resize2fs made: its digest, from memory and from the disk.
	peer.name += ", sha256sum twice"
	peer.line += " && sha256sum peer.img > peer.sum && " + uncache("peer.img") + " && sha256sum -c --quiet peer.sum"
	ours.name, ours.line = "lifeboat resize --into", b.lifeboat("resize table.img --into small.img")
	b.compare("an image as small as its content, read back", ours, peer)
}

// spoil is a line that makes a restored disk wrong in every twentieth MiB.
func (b *bench) spoil(image, disk string) string {
	return "cp --sparse=always " + image + " " + disk + " && for i in $(seq 10 20 $(($(stat -c %s " + disk + ") / 1048576 - 1))); do " +
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
	var took, other []cost
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
	if b.reads != "" {
		row.note = fmt.Sprintf("read %d MB, %d MB", b.sectors[ours.name]*512/1e6, b.sectors[peer.name]*512/1e6)
	}
	b.Logf("%s: %s %v, %s %v: %.2f  %s", what, ours.name, took, peer.name, other, row.ratio(), row.note)
	b.rows = append(b.rows, row)
	if err := os.WriteFile(b.to, []byte(b.table()), 0o644); err != nil { // after each row: it may take an hour
		b.Fatal(err)
	}
}

// time runs a contender from a cold cache.
func (b *bench) time(c contender) cost {
	b.Helper()
	if c.before != "" {
		b.run(c.before)
	}
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		b.Fatal(err)
	}
	before := b.sectorsRead()
	start := time.Now()
	state := b.exec(c.line, io.Discard, "time", "-o", "peak", "-f", "%M")
	took := cost{time: time.Since(start), cpu: state.UserTime() + state.SystemTime(), peak: b.peak()}
	b.sectors[c.name] = b.sectorsRead() - before
	return took
}

// peak is what time(1) has told: KiB.
func (b *bench) peak() int64 {
	kib, err := strconv.ParseInt(strings.TrimSpace(b.run("cat peak")), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib << 10
}

// sectorsRead is how many were read of the disk so far: the third field of
// Documentation/block/stat.rst.
func (b *bench) sectorsRead() int64 {
	if b.reads == "" {
		return 0
	}
	text, err := os.ReadFile("/sys/block/" + b.reads + "/stat")
	if err != nil {
		b.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.Fields(string(text))[2], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// run returns what a line says.
func (b *bench) run(line string) string {
	b.Helper()
	var out strings.Builder
	b.exec(line, &out)
	return out.String()
}

// exec has bash run a line; before that, as a command that runs commands.
func (b *bench) exec(line string, to io.Writer, before ...string) *os.ProcessState {
	b.Helper()
	args := append(before, "bash", "-o", "pipefail", "-c", line)
	cmd := exec.CommandContext(b.Context(), args[0], args[1:]...)
	if !strings.Contains(line, "go build") {
		cmd.Dir = b.dir
	}
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "LC_ALL=C")
	var said strings.Builder
	cmd.Stdout = io.MultiWriter(to, &said)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s: %v\n%s", line, err, said.String())
	}
	return cmd.ProcessState
}

// weigh is how many bytes a file takes on the disk.
func (b *bench) weigh(name string) int64 {
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(b.dir, name), &st); err != nil {
		b.Fatal(err)
	}
	return st.Blocks * 512
}

func (b *bench) size(name string) int64 {
	info, err := os.Stat(filepath.Join(b.dir, name))
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}
