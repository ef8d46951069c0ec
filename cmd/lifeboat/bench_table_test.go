package main

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

type benchRow struct {
	what        string
	ours, peer  contender
	took, other cost
	note        string
}

// A cost is what one run took.
type cost struct {
	time time.Duration
	cpu  time.Duration // of all its processes, user and system
	peak int64         // bytes that the largest of its processes had resident at most
}

func (c cost) String() string {
	return fmt.Sprintf("%.1f (%.1f, %d MiB)", c.time.Seconds(), c.cpu.Seconds(), c.peak>>20)
}

func (r benchRow) ratio() float64 { return r.other.time.Seconds() / r.took.time.Seconds() }

func median(c []cost) cost {
	slices.SortFunc(c, func(a, b cost) int { return cmp.Compare(a.time, b.time) })
	return c[len(c)/2]
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
	fmt.Fprintf(&t, "Each number is the median of %d runs in turns (of a disk of 64 GB: one run), from a cold cache, up to the last byte on the disk. "+
		"More than 1.00 means that lifeboat is faster; in brackets are the time of all CPUs, and what the largest process had in memory at most. The load when it ended was %s; where other work runs beside it, single rows swing by a fifth.\n\n",
		b.rounds, strings.Fields(string(load))[0])
	fmt.Fprintf(&t, "| work | lifeboat | s (CPU s, memory) | peer | s (CPU s, memory) | ratio | size on disk, or read |\n|---|---|---|---|---|---|---|\n")
	for _, r := range b.rows {
		fmt.Fprintf(&t, "| %s | `%s` | %v | `%s` | %v | %.2f | %s |\n",
			r.what, r.ours.name, r.took, r.peer.name, r.other, r.ratio(), r.note)
	}
	for _, m := range b.missing {
		fmt.Fprintf(&t, "\nNot measured: %s.\n", m)
	}
	return t.String()
}
