package repo_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lifeboat/clone/repo"
	"lifeboat/internal/fixture"
)

// Repositories on servers. Between one client and its server stands a line that
// breaks within a certain step, before a request has come to the server or behind
// what it did for it; the client goes on, gives up, or is killed.

// TestCutOff is a short one, by SFTP.
func TestCutOff(t *testing.T) {
	t.Parallel()
	newCutPlan(14, 2).run(t, bySFTP(t), 4)
}

// TestCutOffOften is the campaign, in S3 as well. Not on rclone: it remembers for
// minutes what a folder held, and the judge looks beside it.
func TestCutOffOften(t *testing.T) {
	seed := often(t)
	for name, server := range map[string]func(*testing.T) server{"sftp": bySFTP, "versitygw": inS3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newCutPlan(cutsOften, seed).run(t, server(t), 4)
		})
	}
}

// cutsOften is how many interruptions of each server a campaign has.
const cutsOften = 700

// A server is where repositories lie.
type server struct {
	addr  string
	dir   string                         // its files
	place func(addr, name string) string // of a folder in dir, by that address
	env   []string                       // of clients
}

func bySFTP(t *testing.T) server {
	t.Helper()
	s, dir := fixture.SSHD(t), t.TempDir()
	return server{s.Addr, dir, func(addr, name string) string {
		return "sftp://" + s.User + "@" + addr + filepath.Join(dir, name) + "/?hostkey=" + s.HostKey
	}, []string{"LIFEBOAT_SSH_IDENTITY=" + s.Key, "SSH_AUTH_SOCK="}}
}

func inS3(t *testing.T) server {
	t.Helper()
	s := fixture.S3(t, "versitygw", "backup")
	return server{s.Addr, filepath.Join(s.Dir, "backup"), func(addr, name string) string {
		return "s3://backup/" + name + "/?endpoint=http://" + addr
	}, []string{"AWS_ACCESS_KEY_ID=" + fixture.S3Key, "AWS_SECRET_ACCESS_KEY=" + fixture.S3Secret}}
}

// A way is how a client is interrupted.
type way struct {
	name    string
	answer  bool // what the server answers is lost, and not the request
	down    bool // it gets no connection until it has given up
	killed  bool
	arrives bool // the request does, after the client's death
}

var ways = []way{
	{name: "request lost"},
	{name: "answer lost", answer: true},
	{name: "request lost and long no line", down: true},
	{name: "answer lost and long no line", down: true, answer: true},
	{name: "killed as the request was lost", killed: true},
	{name: "killed as the answer was lost", killed: true, answer: true},
	{name: "killed before the request came", killed: true, arrives: true},
}

// A cell is what a plan wants to see as often as all others.
type cell struct {
	victim int // of victims
	step   string
	way    int
}

// A cutPlan spreads interruptions evenly.
type cutPlan struct {
	mu    sync.Mutex
	rnd   *rand.Rand
	left  int // interruptions to come
	hits  map[cell]int
	tried map[cell]int
	ended histogram // how clients came out of it
}

func newCutPlan(times int, seed uint64) *cutPlan {
	return &cutPlan{rnd: rand.New(rand.NewPCG(seed, 5)), left: times, hits: map[cell]int{}, tried: map[cell]int{}, ended: histogram{}}
}

// next is the cell that was seen least, of those that can be seen at all; of these
// one whose way and step were tried least.
func (p *cutPlan) next() (c cell, seed uint64, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all, ways, steps := 1, make([]int, len(ways)), map[cell]int{}
	for at, n := range p.tried {
		all += n
		ways[at.way] += n
		steps[cell{at.victim, at.step, 0}] += n
	}
	least := -1.0
	for v := range victims {
		for _, step := range victims[v].steps {
			for w := range ways {
				at := cell{v, step, w}
				n := float64(4*p.hits[at]+p.tried[at]) + float64(ways[w]+steps[cell{v, step, 0}])/float64(4*all) + p.rnd.Float64()/100
				if least < 0 || n < least {
					c, least = at, n
				}
			}
		}
	}
	p.tried[c]++
	return c, p.rnd.Uint64(), p.left > 0
}

// note counts an interruption.
func (p *cutPlan) note(c cell, how string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hits[c]++
	p.ended[how]++
	p.left--
}

// String is a histogram of steps for each victim, and one of ways.
func (p *cutPlan) String() string {
	steps, how := make([]histogram, len(victims)), histogram{}
	for c, n := range p.hits {
		if steps[c.victim] == nil {
			steps[c.victim] = histogram{}
		}
		steps[c.victim][c.step] += n
		how[ways[c.way].name] += n
	}
	text := ""
	for v, h := range steps {
		text += fmt.Sprintf("%s: %v\n", strings.Join(victims[v].jobs, ", "), h)
	}
	return text + fmt.Sprintf("%v\n%v", how, p.ended)
}

// run follows the plan in some repositories of a server at once.
func (p *cutPlan) run(t *testing.T, s server, lanes int) {
	t.Helper()
	fixture.Need(t, "casync")
	var all sync.WaitGroup
	for i := range lanes {
		name := fmt.Sprintf("pi%d", i)
		// Not parallel to the test's eye: they wait more than they work.
		all.Go(func() {
			t.Run(name, func(t *testing.T) {
				(&cutter{t: t, server: s, plan: p, dir: filepath.Join(s.dir, name), name: name, line: fixture.NewLine(t, s.addr), ledger: newLedger()}).run()
			})
		})
	}
	all.Wait()
	t.Logf("%v", p)
}

// A cutter interrupts those who work in one repository.
type cutter struct {
	// config
	t      *testing.T
	server server
	plan   *cutPlan
	dir    string // of the repository
	name   string
	line   *fixture.Line // of the client that is interrupted

	// state
	ledger *ledger
}

// run judges after each interruption.
func (k *cutter) run() {
	k.work(1, []string{"init"}, []string{"backup a"}, []string{"backup a"})
	for done := 0; !k.t.Failed(); {
		c, seed, more := k.plan.next()
		if deadline, ok := k.t.Deadline(); ok && time.Until(deadline) < time.Minute {
			k.t.Log("no time is left")
			more = false
		}
		if !more {
			break
		}
		rnd := rand.New(rand.NewPCG(seed, 6))
		if !k.round(c, rnd) {
			continue
		}
		k.ledger.judge(k.t, k.dir, rnd)
		k.line.Settle()
		must(k.t, grow(k.dir, time.Minute)) // or a prune that died bars the next one
		k.work(seed, []string{"backup b"}, []string{"prune"})
		if done++; done%20 == 0 {
			k.tidy(seed)
		}
		if k.t.Failed() {
			k.t.Logf("%s, behind %v, seed %d", k.name, c, seed)
		}
	}
	k.tidy(1)
}

// tidy holds that prunes over the server leave nothing that nobody needs.
func (k *cutter) tidy(seed uint64) {
	for range 3 {
		must(k.t, grow(k.dir, 3*workGrace))
		k.work(seed, []string{"prune"})
	}
	k.ledger.tidied(k.t, k.dir)
}

func (k *cutter) hire(addr string, seed uint64, stages ...[]string) *crew {
	return hire(k.t, order{Place: k.server.place(addr, k.name), Stages: stages, Seed: seed, Delay: serverDelay}, k.server.env...)
}

// work has jobs done that nobody interrupts, and that must be: again only where
// this machine was too slow.
func (k *cutter) work(seed uint64, stages ...[]string) {
	for try := 1; ; try++ {
		slow := false
		k.follow(k.hire(k.server.addr, seed, stages...), func(rest string) bool {
			now := try < 3 && (strings.Contains(rest, repo.ErrSlow.Error()) || strings.Contains(rest, context.DeadlineExceeded.Error()))
			slow = slow || now
			return now
		})
		if !slow {
			return
		}
		must(k.t, grow(k.dir, time.Minute))
	}
}

// follow lets somebody come to the end, and minds what fails and may not.
func (k *cutter) follow(c *crew, may func(rest string) bool) {
	ended := c.follow(func(verb, rest string) {
		k.ledger.hear(verb, rest)
		if verb == "failed" && !may(rest) {
			k.t.Errorf("%s: %s", k.name, rest)
		}
	})
	if !ended {
		k.t.Errorf("%s: a client that nobody interrupted did not come to its end", k.name)
	}
}

// round lets both work, and interrupts one of them if it comes to what the cell
// wants; false where it did not.
func (k *cutter) round(c cell, rnd *rand.Rand) bool {
	age := []time.Duration{time.Minute, 25 * time.Minute, 70 * time.Minute, 3 * time.Hour}[rnd.IntN(4)]
	if strings.HasPrefix(c.step, "sweep-") || c.step == "end-list" {
		age = max(age, 70*time.Minute)
	}
	must(k.t, grow(k.dir, age))
	var all sync.WaitGroup
	trap := &trap{k: k, cell: c, left: rnd.IntN(2), rnd: rand.New(rand.NewPCG(rnd.Uint64(), 7))}
	for i, v := range victims {
		var stages [][]string
		for _, job := range v.jobs {
			stages = append(stages, []string{job})
		}
		if i != c.victim {
			crew := k.hire(k.server.addr, rnd.Uint64(), stages...)
			all.Go(func() { k.follow(crew, workMayFail) })
			continue
		}
		trap.crew = k.hire(k.line.Addr, rnd.Uint64(), stages...)
		all.Go(func() { trap.ended = trap.crew.follow(trap.hear) })
	}
	all.Wait()
	return trap.sprung()
}

// A trap interrupts a client.
type trap struct {
	// config
	k    *cutter
	crew *crew
	cell cell
	left int // steps of the kind that it lets pass
	rnd  *rand.Rand

	// state
	mu     sync.Mutex
	armed  bool
	last   string // step that was begun
	at     string // the same, when the line broke
	failed bool
	ended  bool
}

// hear hears the client, before that takes a step.
func (p *trap) hear(verb, rest string) {
	p.k.ledger.hear(verb, rest)
	switch verb {
	case "failed":
		p.fail(rest)
	case "step":
		p.step(rest)
	}
}

// step arms the line where the step is the one.
func (p *trap) step(rest string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, _, _ = strings.Cut(rest, " ")
	if p.armed || p.last != p.cell.step {
		return
	}
	if p.left--; p.left >= 0 {
		return
	}
	p.armed = true
	w := ways[p.cell.way]
	b := fixture.Break{Answers: w.answer, Down: w.down, Then: func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.at = p.last
		if w.killed {
			_ = p.crew.cmd.Process.Kill() // it may have ended
		}
	}}
	pieces := 3 // a step is several requests: a removal looks first
	if strings.HasPrefix(p.last, "put-") {
		pieces = 6 // open, write, sync, look, close, rename by SFTP; a large body in S3
	}
	b.Skip = p.rnd.IntN(pieces)
	if p.rnd.IntN(3) == 0 {
		b.Part = p.rnd.Float64()
	}
	if w.arrives {
		b.Late = time.Duration(50+p.rnd.IntN(200)) * time.Millisecond
	}
	p.k.line.BreakAt(b)
}

// lineWords are what a client may say when it gives up a line.
var lineWords = []string{"the connection broke", "connection reset", "log in: ", "begin SFTP: ", "given up after"}

// fail minds what a client gives up for, and mends the line for what it does next.
func (p *trap) fail(rest string) {
	p.k.line.Mend()
	p.mu.Lock()
	defer p.mu.Unlock()
	if workMayFail(rest) {
		return
	}
	p.failed = true
	if p.at == "" || !slices.ContainsFunc(lineWords, func(w string) bool { return strings.Contains(rest, w) }) {
		p.k.t.Errorf("%s, at %q by %v: %s", p.k.name, p.at, p.cell, rest)
	}
}

// sprung tells whether the client was interrupted, and notes it.
func (p *trap) sprung() bool {
	p.k.line.Mend()
	killed := ways[p.cell.way].killed
	if !p.ended && (p.at == "" || !killed) {
		p.k.t.Errorf("%s: a client that nobody killed did not come to its end", p.k.name)
	}
	if p.at == "" || p.ended && killed {
		return false
	}
	c, how := p.cell, "went on"
	c.step = p.at
	switch {
	case killed:
		how = "was killed"
	case p.failed:
		how = "gave up"
	}
	if ways[p.cell.way].down {
		how += ", without a line for long"
	}
	p.k.plan.note(c, how)
	return true
}
