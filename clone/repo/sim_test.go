package repo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"lifeboat/clone/store"
)

// errKilled is what each call gives of a process that is dead.
var errKilled = errors.New("killed")

// A sim is a store whose calls wait until the test lets one of them happen, in
// any order. Its clock is the bubble's.
type sim struct {
	// config
	rnd   *rand.Rand
	check func(*sim) error // after each change

	// state
	mu      sync.Mutex
	files   map[string]simFile
	pending []*call
	late    []lateCall
	bad     error
	steps   int
	quick   bool // the last call was of a quick process
	all     []*process
	log     []string // what happened, for whoever reads of a failure
}

type simFile struct {
	data []byte
	time time.Time
}

// A call is a request that was sent.
type call struct {
	from   *process
	verb   string
	name   string
	change func() // nil = it changes nothing
	do     func()
	done   chan error
}

// A lateCall was sent by a process that is dead, and comes into effect later.
type lateCall struct {
	due time.Time
	do  func()
}

// A process is one user of the store. It dies when the test says so.
type process struct {
	s    *sim
	dead chan struct{}
	num  int
	// quick is one whose calls take less time than those of others: a server
	// prunes at home, and boards write over slow lines.
	quick bool
	// batched is one whose chunks get their names together, as those of a folder.
	batched bool
	rule    func(verb, name string) error // nil = it may do all
}

var _ store.Store = (*process)(nil)

func newSim(rnd *rand.Rand) *sim { return &sim{rnd: rnd, files: map[string]simFile{}} }

func (s *sim) process() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &process{s: s, dead: make(chan struct{}), num: len(s.all)}
	s.all = append(s.all, p)
	return p
}

// end kills all that are left.
func (s *sim) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.all {
		if !p.isDead() {
			close(p.dead)
		}
	}
}

// history is what happened of a name, and to lists and intents.
func (s *sim) history(name string) string {
	var lines []string
	for _, line := range s.log {
		if strings.Contains(line, name) || strings.Contains(line, "condemned/") || strings.Contains(line, "intents/") || strings.Contains(line, "pruning") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-150):], "\n")
}

func (p *process) isDead() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// ask sends a request and waits for its answer.
func (p *process) ask(ctx context.Context, verb, name string, do, change func()) error {
	if p.isDead() {
		return errKilled
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &call{from: p, verb: verb, name: name, do: do, change: change, done: make(chan error, 1)}
	p.s.mu.Lock()
	p.s.pending = append(p.s.pending, c)
	p.s.mu.Unlock()
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		p.s.mu.Lock()
		defer p.s.mu.Unlock()
		p.s.drop(c)
		select {
		case err := <-c.done:
			return err
		default:
			return ctx.Err()
		}
	case <-p.dead:
		return errKilled
	}
}

func (s *sim) drop(c *call) {
	s.pending = slices.DeleteFunc(s.pending, func(x *call) bool { return x == c })
}

// step lets one of the calls happen; false when there is none.
func (s *sim) step(kill bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	if len(s.pending) == 0 {
		return false
	}
	s.steps++
	c := s.pick()
	s.drop(c)
	s.quick = c.from.quick
	before := s.rnd.IntN(2) == 0
	s.log = append(s.log, fmt.Sprintf("%s %d %s %s kill=%v,%v", time.Now().Format("2 15:04:05"), c.from.num, c.verb, c.name, kill, before))
	if !kill || before {
		c.do()
		s.look(c.change)
	}
	if kill {
		s.kill(c.from)
		return true
	}
	c.done <- nil
	return true
}

// pick chooses the next call: mostly one of a quick process.
func (s *sim) pick() *call {
	var quick []*call
	for _, c := range s.pending {
		if c.from.quick {
			quick = append(quick, c)
		}
	}
	if len(quick) > 0 && s.rnd.IntN(10) > 0 {
		return quick[s.rnd.IntN(len(quick))]
	}
	return s.pending[s.rnd.IntN(len(s.pending))]
}

// kill ends a process. What it had sent comes into effect now, soon, or never.
func (s *sim) kill(p *process) {
	close(p.dead)
	for _, c := range slices.Clone(s.pending) {
		if c.from != p {
			continue
		}
		s.drop(c)
		if c.change != nil && s.rnd.IntN(2) == 0 {
			soon := time.Duration(s.rnd.Int64N(int64(simDelay / 3)))
			s.log = append(s.log, fmt.Sprintf("late %v %d %s %s", soon, p.num, c.verb, c.name))
			s.late = append(s.late, lateCall{time.Now().Add(soon), c.do})
		}
	}
}

// settle lets happen what was late.
func (s *sim) settle() {
	s.late = slices.DeleteFunc(s.late, func(l lateCall) bool {
		if time.Now().Before(l.due) {
			return false
		}
		l.do()
		s.look(l.do)
		return true
	})
}

func (s *sim) look(change func()) {
	if change != nil && s.bad == nil && s.check != nil {
		s.bad = s.check(s)
	}
}

func (p *process) allowed(verb, name string) error {
	if p.rule == nil {
		return nil
	}
	return p.rule(verb, name)
}

// Open implements store.Store.
func (p *process) Open(ctx context.Context, name string, off int64) (io.ReadCloser, error) {
	if err := p.allowed("open", name); err != nil {
		return nil, err
	}
	var f simFile
	var there bool
	err := p.ask(ctx, "open", name, func() { f, there = p.s.files[name] }, nil)
	if err == nil && !there {
		err = fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(f.data[off:])), nil
}

// Stat is asked for by package store.
func (p *process) Stat(ctx context.Context, name string) (store.Info, error) {
	if err := p.allowed("stat", name); err != nil {
		return store.Info{}, err
	}
	var f simFile
	var there bool
	err := p.ask(ctx, "stat", name, func() { f, there = p.s.files[name] }, nil)
	if err == nil && !there {
		err = fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return store.Info{Name: name, Size: int64(len(f.data)), Time: f.time}, err
}

// Put implements store.Store.
func (p *process) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	if err := p.allowed("put", name); err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	put := func() { p.s.files[name] = simFile{data, time.Now()} }
	return p.ask(ctx, "put", name, put, put)
}

// List implements store.Store: a page at a time, as servers do.
func (p *process) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		if err := p.allowed("list", prefix); err != nil {
			yield(store.Info{}, err)
			return
		}
		after := ""
		for {
			var page []store.Info
			more := false
			err := p.ask(ctx, "list", prefix, func() { page, more = p.s.page(prefix, after) }, nil)
			if err != nil {
				yield(store.Info{}, err)
				return
			}
			for _, info := range page {
				if !yield(info, nil) {
					return
				}
				after = info.Name
			}
			if !more {
				return
			}
		}
	}
}

const pageSize = 20

func (s *sim) page(prefix, after string) (page []store.Info, more bool) {
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		if !strings.HasPrefix(name, prefix) || name <= after {
			continue
		}
		if len(page) == pageSize {
			return page, true
		}
		f := s.files[name]
		page = append(page, store.Info{Name: name, Size: int64(len(f.data)), Time: f.time})
	}
	return page, false
}

// Remove implements store.Store.
func (p *process) Remove(ctx context.Context, name string) error {
	if err := p.allowed("remove", name); err != nil {
		return err
	}
	there := false
	remove := func() {
		_, there = p.s.files[name]
		delete(p.s.files, name)
	}
	err := p.ask(ctx, "remove", name, remove, remove)
	if err == nil && !there {
		err = fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return err
}

// run lets calls happen until there are none and nobody waits for the clock, or
// until enough of them have. Of each thousand, kills are deaths.
func (s *sim) run(steps, kills int, over func() bool) {
	for s.bad == nil && !over() {
		synctest.Wait()
		if !s.step(s.steps < steps && s.rnd.IntN(1000) < kills) {
			time.Sleep(time.Second) // somebody waits for the clock
			continue
		}
		switch n := s.rnd.IntN(1000); {
		case s.steps >= steps, s.quick && n < 990:
		case n < 8:
			time.Sleep(time.Duration(s.rnd.Int64N(int64(simGrace) / 3)))
		case n < 100:
			time.Sleep(time.Duration(s.rnd.Int64N(int64(simDelay))))
		case n < 500:
			time.Sleep(time.Duration(s.rnd.Int64N(int64(3 * time.Second))))
		}
	}
}
