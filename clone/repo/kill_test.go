package repo_test

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lifeboat/internal/fixture"
)

// TestKilled: processes that back up, forget and prune one repository in a folder
// at the same time, are killed at any instant.
func TestKilled(t *testing.T) {
	t.Parallel()
	inFolder(t, 5, 1)
}

// TestKilledOften is the campaign.
func TestKilledOften(t *testing.T) {
	seed := often(t)
	all, mu := histogram{}, sync.Mutex{}
	t.Run("of", func(t *testing.T) {
		for i := range uint64(4) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				steps := inFolder(t, 125, seed+i)
				mu.Lock()
				defer mu.Unlock()
				all.add(steps)
			})
		}
	})
	t.Log(all)
}

// often begins a campaign with a seed of its own.
func often(t *testing.T) (seed uint64) {
	t.Helper()
	t.Parallel()
	fixture.Long(t)
	seed = uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return seed
}

func inFolder(t *testing.T, times int, seed uint64) histogram {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repo")
	return (&killer{t: t, dir: dir, place: dir + "/"}).run(times, seed)
}

// victims are the jobs of those who may be killed, and steps of theirs.
var victims = []struct {
	jobs  []string
	steps []string
}{
	{[]string{"backup a"}, []string{"put-intent", "look-up-chunk", "put-chunk", "read-chunk", "put-index", "put-manifest", "put-record", "put-catalog", "list", "read"}},
	{[]string{"forget", "prune"}, []string{"forget-record", "end-intent", "put-catalog", "begin-prune", "condemn", "sweep-chunk", "sweep-file", "end-list", "end-prune", "clean-", "list", "read"}},
}

// A killer is one campaign.
type killer struct {
	// config
	t     *testing.T
	dir   string // where the files of the repository lie
	place string // the same, as workers reach it

	// state
	rnd    *rand.Rand
	ledger *ledger
	steps  histogram
	turn   int
}

// run interrupts workers as many times, and judges after each.
func (k *killer) run(times int, seed uint64) histogram {
	k.t.Helper()
	fixture.Need(k.t, "casync")
	k.rnd, k.ledger, k.steps = rand.New(rand.NewPCG(seed, 3)), newLedger(), histogram{}
	hire(k.t, order{Place: k.place, Stages: [][]string{{"init"}, {"backup a"}, {"backup a"}}, Seed: seed}).follow(k.hear)
	for done := 0; done < times && !k.t.Failed(); {
		if deadline, ok := k.t.Deadline(); ok && time.Until(deadline) < time.Minute {
			k.t.Logf("no time is left for more than %d of %d", done, times)
			break
		}
		if k.round() {
			done++
		}
		if done%25 == 24 {
			k.ledger.tidy(k.t, k.dir)
		}
	}
	k.ledger.tidy(k.t, k.dir)
	k.t.Logf("%d rounds, %v", k.turn, k.steps)
	return k.steps
}

// round lets both work, and interrupts one of them if it comes to the step that
// is meant; false where it did not.
func (k *killer) round() bool {
	must(k.t, grow(k.dir, []time.Duration{time.Minute, 25 * time.Minute, 70 * time.Minute, 3 * time.Hour}[k.rnd.IntN(4)]))
	k.turn++
	victim := k.turn % len(victims)
	steps := victims[victim].steps
	b := &bomb{step: steps[k.turn/len(victims)%len(steps)], left: k.rnd.IntN(3), delay: time.Duration(math.Pow(k.rnd.Float64(), 3) * float64(2*time.Millisecond))}
	var all sync.WaitGroup
	ended := make([]bool, len(victims))
	for i, v := range victims {
		var stages [][]string
		for _, job := range v.jobs {
			stages = append(stages, []string{job})
		}
		c := hire(k.t, order{Place: k.place, Stages: stages, Seed: k.rnd.Uint64()})
		hear := k.hear
		if i == victim {
			b.blow = func() { _ = c.cmd.Process.Kill() } // it may have ended
			hear = func(verb, rest string) { k.hear(verb, rest); b.hear(verb, rest) }
		}
		all.Go(func() { ended[i] = c.follow(hear) })
	}
	all.Wait()
	for i, ended := range ended {
		if !ended && i != victim {
			k.t.Error("a worker that nobody killed did not come to its end")
		}
	}
	k.ledger.judge(k.t, k.dir, k.rnd)
	done := b.armed && !ended[victim]
	if done {
		k.steps[b.last]++
	}
	return done
}

func (k *killer) hear(verb, rest string) {
	k.ledger.hear(verb, rest)
	if verb == "failed" && !workMayFail(rest) {
		k.t.Error(rest)
	}
}

// A bomb does something to a worker some time after that has begun a step.
type bomb struct {
	// config
	step  string
	left  int // how many such steps it lets pass
	delay time.Duration
	blow  func()

	// state
	armed bool
	last  string // the last step that was begun
}

func (b *bomb) hear(verb, rest string) {
	if verb != "step" {
		return
	}
	b.last, _, _ = strings.Cut(rest, " ")
	if b.armed || b.last != b.step {
		return
	}
	if b.left--; b.left >= 0 {
		return
	}
	b.armed = true
	time.AfterFunc(b.delay, b.blow)
}
