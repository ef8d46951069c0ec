package repo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lifeboat/clone/extent"
	"lifeboat/clone/repo"
	"lifeboat/clone/store"
	"lifeboat/internal/fixture"
)

const (
	simDelay = 5 * time.Minute
	simGrace = time.Hour
)

// TestModel: boards back up, one prunes, one forgets, in random order, with the
// clock running on between any two calls, and each of them is killed at any call.
// No snapshot that has a record ever lacks a chunk; in the end all that nobody
// needs can be removed.
func TestModel(t *testing.T) {
	t.Parallel()
	runModels(t, 40, 0)
}

// TestModelCampaign is TestModel a few thousand times.
func TestModelCampaign(t *testing.T) {
	fixture.Long(t)
	t.Parallel()
	runModels(t, 4000, 1_000_000)
}

func runModels(t *testing.T, n int, first uint64) {
	sum := map[string]int{}
	for i := range uint64(n) {
		if !t.Run("", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { model(t, first+i, sum) }) }) {
			t.Fatalf("seed %d", first+i)
		}
	}
	t.Logf("%d runs: %v", n, sum)
	for _, what := range []string{"saved", "pruned", "removed", "killed", "forgotten"} {
		if sum[what] == 0 {
			t.Errorf("nothing was %s: %v", what, sum)
		}
	}
}

// A world is one run.
type world struct {
	t      *testing.T
	s      *sim
	over   atomic.Bool
	ctx    context.Context
	stop   context.CancelFunc
	mu     sync.Mutex
	sum    map[string]int
	groups sync.WaitGroup
	pool   [][]byte // what chunks hold
}

func model(t *testing.T, seed uint64, sum map[string]int) {
	rnd := rand.New(rand.NewPCG(seed, 77))
	w := &world{t: t, s: newSim(rnd), sum: sum}
	w.ctx, w.stop = context.WithCancel(t.Context())
	defer w.stop()
	for range 6 {
		b := make([]byte, 32)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		w.pool = append(w.pool, b)
	}
	w.act(func(p *process) error {
		_, err := repo.Init(w.ctx, p, repo.InitOptions{Chunk: chunk, Grace: simGrace}, repo.Options{})
		return err
	})
	w.s.run(100, 0, w.ended(1))
	w.s.check = complete

	const steps = 1500
	quick := seed%2 == 0
	w.loop(rnd, false, w.backups("a"))
	w.loop(rnd, false, w.backups("b"))
	w.loop(rnd, false, w.backups("c"))
	w.loop(rnd, quick, w.prune)
	w.loop(rnd, quick, w.forget)
	w.s.run(steps, 3, func() bool { return w.s.steps >= steps })
	w.over.Store(true)
	w.s.run(0, 0, w.ended(0))
	if w.s.bad == nil {
		w.cleanUp()
	}
	if w.s.bad != nil {
		t.Errorf("seed %d, step %d: %v", seed, w.s.steps, w.s.bad)
		t.Log(w.s.history(regexp.MustCompile(`[0-9a-f]{64}|$`).FindString(w.s.bad.Error())))
	}
	w.stop()
	w.s.end()
	w.groups.Wait()
}

func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sum[what]++
}

// act runs something as a process of its own.
func (w *world) act(do func(p *process) error) {
	p := w.s.process()
	w.groups.Go(func() {
		if err := do(p); err != nil {
			w.t.Error(err)
		}
	})
}

// ended waits for the processes; the number is for those who read.
func (w *world) ended(int) func() bool {
	done := make(chan struct{})
	go func() {
		w.groups.Wait()
		close(done)
	}()
	return func() bool {
		synctest.Wait()
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
}

// loop runs one process after the other: each does its work until it is killed.
func (w *world) loop(rnd *rand.Rand, quick bool, work func(p *process, r *repo.Repo, rnd *rand.Rand) error) {
	own := rand.New(rand.NewPCG(rnd.Uint64(), 1))
	w.groups.Go(func() {
		for !w.over.Load() && w.ctx.Err() == nil {
			p := w.s.process()
			p.quick, p.batched = quick, own.IntN(2) == 0
			r, err := repo.Open(w.ctx, p, w.options())
			for err == nil && !w.over.Load() {
				err = work(p, r, own)
				time.Sleep(time.Duration(own.Int64N(int64(simGrace) / 20)))
			}
			if r != nil {
				r.Close()
			}
			if p.isDead() {
				w.count("killed")
			} else if err != nil && w.ctx.Err() == nil {
				w.t.Errorf("not killed, and yet: %v", err)
				return
			}
		}
	})
}

func (w *world) options() repo.Options {
	return repo.Options{Workers: 2, Resume: store.ResumeOptions{Stall: 1000 * time.Hour}}.WithDelay(simDelay)
}

// backups changes a disk a little, and saves it, each time.
func (w *world) backups(host string) func(*process, *repo.Repo, *rand.Rand) error {
	c := content{bytes: make([]byte, 2*chunk+4096)}
	for n := range 3 {
		c.used = c.used.Append(extent.Extent{Off: int64(n) * chunk, Len: 4096})
	}
	id := repo.Identity{Machine: host}
	return func(p *process, r *repo.Repo, rnd *rand.Rand) error {
		for range 1 + rnd.IntN(2) {
			copy(c.bytes[rnd.IntN(3)*chunk:], w.pool[rnd.IntN(len(w.pool))])
		}
		o := repo.SaveOptions{Identity: id, Host: host, Verify: rnd.IntN(4) == 0}
		if rnd.IntN(3) > 0 {
			old, err := r.Snapshots(w.ctx, id.Series())
			if p.isDead() {
				return errKilled
			}
			if err == nil && len(old) > 0 {
				o.Base = old[len(old)-1]
			}
		}
		s, err := save(w.ctx, r, o, c, c.records())
		if p.isDead() {
			return errKilled
		}
		if err != nil {
			return w.mayFail("backup", err)
		}
		w.count("saved")
		if s.Base != "" {
			w.count("saved on a base")
		}
		return nil
	}
}

// mayFail lets pass what is told to be tried again.
func (w *world) mayFail(what string, err error) error {
	var stale *repo.StaleError
	if errors.As(err, &stale) || errors.Is(err, repo.ErrPruning) || errors.Is(err, repo.ErrSlow) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, context.DeadlineExceeded) || w.ctx.Err() != nil {
		w.count(what + " to be started again")
		return nil
	}
	return err
}

func (w *world) prune(p *process, r *repo.Repo, rnd *rand.Rand) error {
	report, err := r.Prune(w.ctx, repo.PruneOptions{})
	if p.isDead() {
		return errKilled
	}
	if err != nil {
		return w.mayFail("prune", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sum["pruned"]++
	w.sum["removed"] += int(report.Removed)
	return nil
}

func (w *world) forget(p *process, r *repo.Repo, rnd *rand.Rand) error {
	all, err := r.Snapshots(w.ctx, "")
	if p.isDead() {
		return errKilled
	}
	if err != nil || len(all) < 3 {
		return nil
	}
	all = slices.DeleteFunc(all, func(*repo.Snapshot) bool { return rnd.IntN(2) == 0 })
	err = r.Forget(w.ctx, all...)
	if p.isDead() {
		return errKilled
	}
	w.count("forgotten")
	return err
}

// complete holds that each snapshot that has a record has all else.
func complete(s *sim) error {
	for name, f := range s.files {
		stem, ok := strings.CutSuffix(name, ".json")
		if !ok || !strings.HasPrefix(name, "snapshots/") {
			continue
		}
		var rec repo.Record
		if err := json.Unmarshal(f.data, &rec); err != nil {
			return err
		}
		index, ok := s.files[stem+".caibx"]
		if _, there := s.files[stem+".manifest"]; !ok || !there {
			return fmt.Errorf("%s: index or manifest is lost", name)
		}
		x, err := repo.DecodeIndex(index.data)
		if err != nil {
			return err
		}
		for _, id := range x.IDs() {
			if _, ok := s.files[chunkFile(id)]; !ok {
				return fmt.Errorf("%s of %s: chunk %v is lost", name, rec.Time, id)
			}
		}
	}
	return nil
}

// cleanUp: after all have ended, prunes leave nothing that no snapshot needs.
func (w *world) cleanUp() {
	w.over.Store(false)
	for range 3 {
		time.Sleep(2*simGrace + time.Hour)
		w.act(func(p *process) error {
			r, err := repo.Open(w.ctx, p, w.options())
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = r.Prune(w.ctx, repo.PruneOptions{})
			return err
		})
		w.s.run(0, 0, w.ended(1))
	}
	needed := map[string]bool{"repository.json": true, "catalog.json": true}
	for name, f := range w.s.files {
		stem, ok := strings.CutSuffix(name, ".caibx")
		if !ok {
			continue
		}
		if _, ok := w.s.files[stem+".json"]; !ok {
			continue
		}
		needed[stem+".json"], needed[stem+".manifest"], needed[name] = true, true, true
		x, err := repo.DecodeIndex(f.data)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, id := range x.IDs() {
			needed[chunkFile(id)] = true
		}
	}
	for name := range w.s.files {
		if !needed[name] {
			w.t.Errorf("nobody needs %s, and it is still there", name)
		}
	}
	w.readAll()
}

// readAll reads each snapshot that is left.
func (w *world) readAll() {
	w.act(func(p *process) error {
		r, err := repo.Open(w.ctx, p, w.options())
		if err != nil {
			return err
		}
		defer r.Close()
		v, err := r.Verify(w.ctx, repo.VerifyOptions{})
		if err == nil && len(v.Bad) > 0 {
			err = fmt.Errorf("verify: %q", v.Bad)
		}
		return err
	})
	w.s.run(0, 0, w.ended(1))
	if bytes.Equal(w.pool[0], w.pool[1]) {
		w.t.Error("the pool is of one piece")
	}
}
