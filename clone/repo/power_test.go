package repo_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lifeboat/internal/fixture"
	"lifeboat/internal/powerloss"
)

// TestPowerLost: the power of a disk fails, with a repository on its ext4, while
// several back up, forget and prune.
func TestPowerLost(t *testing.T) {
	t.Parallel()
	losePower(t, ext4Disk(), days(1), 4, 1, histogram{})
}

// TestPowerLostOften is the campaign.
func TestPowerLostOften(t *testing.T) {
	seed := often(t)
	steps := histogram{}
	for i := range uint64(10) {
		losePower(t, ext4Disk(), days(3), 60, seed+i, steps)
		t.Log(steps)
	}
}

// An event is what a worker said when as many writes and syncs had happened.
type event struct {
	at         int
	verb, rest string
}

// days are what workers do: each day the files are older.
func days(n int) [][]string {
	stages := [][]string{{"init"}, {"backup a"}, {"backup a", "backup b"}}
	for range n {
		stages = append(stages, []string{"age 70m"}, []string{"backup a", "backup b", "forget", "prune"}, []string{"prune", "backup b"})
	}
	return append(stages, []string{"age 70m"}, []string{"forget"}, []string{"prune now"}, []string{"backup a"})
}

// A place is a disk of a kind, with a repository in its file system.
type place struct {
	base string                                               // an empty one
	on   func(t *testing.T, file string, do func(dir string)) // mounts it, after repairs where they are needed
}

func ext4Disk() func(t *testing.T) place {
	return func(t *testing.T) place {
		fixture.Need(t, "mke2fs", "e2fsck")
		base := fixture.Sparse(t, "base", 160<<20) // so large that there is a copy of its superblock
		fixture.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-J", "size=4", base)
		return place{base, onDisk}
	}
}

// losePower records what workers do, and judges what may be left of it at random
// instants.
func losePower(t *testing.T, disk func(t *testing.T) place, stages [][]string, instants int, seed uint64, steps histogram) {
	t.Helper()
	fixture.Root(t)
	fixture.Need(t, "losetup", "casync")
	p := disk(t)
	d := powerloss.Open(t, p.base)
	var events []event
	p.on(t, d.Path(), func(dir string) {
		c := hire(t, order{Place: dir + "/", Stages: stages, Seed: seed})
		ended := c.follow(func(verb, rest string) {
			events = append(events, event{d.Log().Len(), verb, rest})
			if verb == "failed" && !workMayFail(rest) {
				t.Error(rest)
			}
		})
		if !ended {
			t.Fatal("the worker did not come to its end")
		}
	})
	log, rnd := d.Log(), rand.New(rand.NewPCG(seed, 4))
	m := log.Medium(t)
	for _, at := range pick(events, log.Len(), instants, rnd) {
		m.To(at.at)
		m.Tear(rnd)
		copied := m.Copy(t)
		m.Mend()
		l := newLedger()
		for _, e := range events {
			if e.at <= at.at {
				l.hear(e.verb, e.rest)
			}
		}
		steps[at.rest]++
		t.Run("", func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("seed %d, power lost after %d of %d writes and syncs, at %s", seed, at.at, log.Len(), at.rest)
				}
			})
			p.on(t, copied, func(dir string) {
				l.judge(t, dir, rnd)
				l.tidy(t, dir)
				l.judgeImages(t, filepath.Dir(dir))
			})
		})
		os.Remove(copied)
	}
}

// pick chooses instants, in order, and names their steps: half of them anywhere,
// half so that no kind of step is passed over.
func pick(events []event, length, instants int, rnd *rand.Rand) []event {
	begun := slices.IndexFunc(events, func(e event) bool { return e.verb == "saved" })
	kinds := map[string][]event{}
	for _, e := range events[begun:] {
		if e.verb == "step" {
			e.rest, _, _ = strings.Cut(e.rest, " ")
			kinds[e.rest] = append(kinds[e.rest], e)
		}
	}
	names := slices.Sorted(maps.Keys(kinds))
	var at []event
	for i := range instants {
		if i%2 == 0 {
			of := kinds[names[(i/2+rnd.IntN(2))%len(names)]]
			at = append(at, of[rnd.IntN(len(of))])
			continue
		}
		n, last := events[begun].at+rnd.IntN(length-events[begun].at+1), ""
		for _, e := range events {
			if e.verb == "step" && e.at <= n {
				last, _, _ = strings.Cut(e.rest, " ")
			}
		}
		at = append(at, event{n, "step", last})
	}
	slices.SortStableFunc(at, func(a, b event) int { return a.at - b.at })
	return at
}

// onDisk mounts the ext4 in a file, and calls do with a folder on it.
func onDisk(t *testing.T, file string, do func(dir string)) {
	t.Helper()
	node := strings.TrimSpace(fixture.Run(t, "losetup", "-f", "--show", file))
	defer fixture.Run(t, "losetup", "-d", node)
	mount, err := fixture.Mount("ext4", node)
	if errors.Is(err, unix.EBADMSG) {
		// A commit block of the journal of which only some sectors were written:
		// Linux refuses it, and the checks at a machine's start repair it.
		out, code := fixture.Try(t, "e2fsck", "-fy", node)
		t.Logf("%v; e2fsck: exit code %d\n%s", err, code, out)
		mount, err = fixture.Mount("ext4", node)
	}
	must(t, err)
	defer mount.Close()
	do(filepath.Join(fixture.MountPath(mount), "repo"))
}
