package repo_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lifeboat/clone/extent"
	"lifeboat/clone/repo"
	"lifeboat/clone/store"
	"lifeboat/internal/atomicfile"
	"lifeboat/internal/fixture"
)

// What workers do to a real store, so that others can interrupt them: a process
// of its own, which tells each step before it takes it, and waits for a word.

const (
	workGrace = time.Hour
	// workDelay is long for a store on this machine, and serverDelay for a server
	// on it; both are short for who waits.
	workDelay   = 500 * time.Millisecond
	serverDelay = 2 * time.Second
)

// An order is what a worker is to do.
type order struct {
	Place  string     // as store.Open wants it; a folder ends in a slash
	Stages [][]string // the jobs of a stage are done at once
	Seed   uint64
	Delay  time.Duration // how long a request may take to have its effect
}

func TestMain(m *testing.M) {
	fixture.Main(m, map[string]func(*testing.T, []string){"worker": work})
}

// work is that process: its argument is an order.
func work(t *testing.T, args []string) {
	var o order
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		t.Fatal(err)
	}
	w := &worker{in: bufio.NewReader(os.Stdin), o: workOptions().WithDelay(o.Delay)}
	s, _, err := store.Open(o.Place, store.HostOptions(os.Getenv))
	if err != nil {
		t.Fatal(err)
	}
	w.s = &teller{Store: s, w: w}
	if f, ok := s.(*store.Folder); ok {
		w.s = &folderTeller{w.s.(*teller), f}
	} else if c, ok := s.(cleaner); ok {
		w.s = &cleanTeller{w.s.(*teller), c}
	}
	for i, stage := range o.Stages {
		var all sync.WaitGroup
		for k, job := range stage {
			rnd := rand.New(rand.NewPCG(o.Seed, uint64(i*100+k)))
			all.Go(func() {
				if err := w.do(t.Context(), job, rnd); err != nil {
					w.say("failed %s: %v", job, err)
				}
			})
		}
		all.Wait()
	}
	w.say("ended")
}

// A worker does orders.
type worker struct {
	s  store.Store
	o  repo.Options
	mu sync.Mutex
	in *bufio.Reader // nil = nobody wants to know
}

// say tells the process that started this one, and goes on when that answers.
func (w *worker) say(format string, args ...any) {
	if w.in == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Println("worker", strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " "))
	if _, err := w.in.ReadString('\n'); err != nil {
		os.Exit(1) // nobody wants to know any more
	}
}

func workOptions() repo.Options {
	return repo.Options{Workers: 2, Resume: store.ResumeOptions{Backoff: time.Millisecond}}.WithDelay(workDelay)
}

func (w *worker) do(ctx context.Context, job string, rnd *rand.Rand) error {
	what, arg, _ := strings.Cut(job, " ")
	switch what {
	case "image":
		return w.image(ctx, filepath.Join(w.s.(*folderTeller).dir(), "..", arg), rnd)
	case "drop":
		return w.drop(filepath.Join(w.s.(*folderTeller).dir(), "..", arg))
	case "init":
		_, err := repo.Init(ctx, w.s, repo.InitOptions{Chunk: chunk, Grace: workGrace}, repo.Options{})
		return err
	case "age":
		age, err := time.ParseDuration(arg)
		if err != nil {
			return err
		}
		return grow(w.s.(*folderTeller).dir(), age)
	}
	r, err := repo.Open(ctx, w.s, w.o)
	if err != nil {
		return err
	}
	defer r.Close()
	switch what {
	case "backup":
		return w.backup(ctx, r, arg, rnd)
	case "forget":
		return w.forget(ctx, r, rnd)
	case "prune":
		_, err = r.Prune(ctx, repo.PruneOptions{Now: arg == "now"})
		return err
	}
	return errors.New("nobody knows how to")
}

// workContent is a disk whose chunks come out of a small pool, so that what one
// snapshot brings another has had, or another is just losing.
func workContent(rnd *rand.Rand) content {
	const chunks, pool = 7, 24
	c := content{bytes: make([]byte, chunks*chunk+4096)}
	for n := range int64(chunks) {
		noise := rand.NewChaCha8([32]byte{byte(rnd.IntN(pool))})
		_, _ = noise.Read(c.bytes[n*chunk : n*chunk+40_000/512*512])
		c.used = c.used.Append(extent.Extent{Off: n * chunk, Len: 64 << 10})
	}
	return c
}

func (w *worker) backup(ctx context.Context, r *repo.Repo, host string, rnd *rand.Rand) error {
	c := workContent(rnd)
	o := repo.SaveOptions{Identity: repo.Identity{Machine: host}, Host: host, Verify: rnd.IntN(2) == 0}
	if old, err := r.Snapshots(ctx, o.Identity.Series()); err == nil && len(old) > 0 && rnd.IntN(3) > 0 {
		o.Base = old[len(old)-1]
	}
	s, err := save(ctx, r, o, c, c.records())
	if err != nil {
		return err
	}
	w.say("saved %s %x", s.ID, sha256.Sum256(c.visible()))
	return nil
}

// forget keeps some of the newest.
func (w *worker) forget(ctx context.Context, r *repo.Repo, rnd *rand.Rand) error {
	all, err := r.Snapshots(ctx, "")
	if err != nil {
		return err
	}
	for _, s := range all[:max(0, len(all)-1-rnd.IntN(4))] {
		w.say("forgets %s", s.ID)
		if err := r.Forget(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// grow makes all files below a folder older.
func grow(dir string, age time.Duration) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return skipUnfit(d, err)
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		at := st.ModTime().Add(-age)
		return os.Chtimes(path, at, at)
	})
}

// skipUnfit keeps a walk out of folders that nobody may look into.
func skipUnfit(d fs.DirEntry, err error) error {
	if err == nil && d.IsDir() && atomicfile.Unfit(d.Name()) {
		return fs.SkipDir
	}
	return err
}

// A teller is a store that tells what is asked of it before that happens.
type teller struct {
	store.Store
	w *worker
}

func (s *teller) step(verb, name string) { s.w.say("step %s %s", stepOf(verb, name), name) }

// stepOf names a step of backup, forget or prune by what is asked of the store.
func stepOf(verb, name string) string {
	kind, _, _ := strings.Cut(name, "/")
	if kind == "snapshots" {
		kind = strings.TrimPrefix(filepath.Ext(name), ".")
	}
	names := map[string]string{
		"put intents": "put intent", "put chunks.castr": "put chunk", "put caibx": "put index", "put json": "put record",
		"remove json": "forget record", "remove intents": "end intent", "put catalog.json": "put catalog", "put pruning.json": "begin prune",
		"put condemned": "condemn", "remove condemned": "end list", "remove chunks.castr": "sweep chunk", "remove caibx": "sweep file",
		"remove manifest": "sweep file", "remove pruning.json": "end prune", "open chunks.castr": "read chunk", "stat chunks.castr": "look up chunk", "flush ": "name chunks",
	}
	if name, ok := names[verb+" "+kind]; ok {
		return strings.ReplaceAll(name, " ", "-")
	}
	if verb == "list" {
		return verb
	}
	if verb == "put" || verb == "clean" || verb == "sync" {
		return verb + "-" + kind
	}
	return "read"
}

func (s *teller) Open(ctx context.Context, name string, off int64) (io.ReadCloser, error) {
	s.step("open", name)
	return s.Store.Open(ctx, name, off)
}

func (s *teller) Stat(ctx context.Context, name string) (store.Info, error) {
	s.step("stat", name)
	return store.Stat(ctx, s.Store, name)
}

func (s *teller) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	s.step("put", name)
	return s.Store.Put(ctx, name, size, r)
}

func (s *teller) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	s.step("list", prefix)
	return s.Store.List(ctx, prefix)
}

func (s *teller) Remove(ctx context.Context, name string) error {
	s.step("remove", name)
	return s.Store.Remove(ctx, name)
}

// A folderTeller has the powers that folders have beyond a store's.
type folderTeller struct {
	*teller
	f *store.Folder
}

func (s *folderTeller) Path(name string) (string, error) { return s.f.Path(name) }

func (s *folderTeller) Clean(ctx context.Context, before time.Time) (int64, error) {
	s.step("clean", "")
	return s.f.Clean(ctx, before)
}

func (s *folderTeller) Sync(ctx context.Context) error {
	s.step("sync", "")
	return s.f.Sync(ctx)
}

// A cleanTeller is of a server on which leftovers can be removed.
type cleanTeller struct {
	*teller
	c cleaner
}

type cleaner interface {
	Clean(ctx context.Context, before time.Time) (int64, error)
}

func (s *cleanTeller) Clean(ctx context.Context, before time.Time) (int64, error) {
	s.step("clean", "")
	return s.c.Clean(ctx, before)
}

// Batch has chunks given their names together, as those of a folder are.
func (s *folderTeller) Batch(ctx context.Context) (store.Batch, error) {
	b, err := s.f.Batch(ctx)
	return &batchTeller{b, s.teller}, err
}

type batchTeller struct {
	store.Batch
	s *teller
}

func (b *batchTeller) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	b.s.step("put", name)
	return b.Batch.Put(ctx, name, size, r)
}

func (b *batchTeller) Flush(ctx context.Context) error {
	b.s.step("flush", "")
	return b.Batch.Flush(ctx)
}

func (s *folderTeller) dir() string {
	path, _ := s.f.Path(".")
	return path
}

// workMayFail tells whether an error says: start it again. A base that another
// forgets meanwhile is such.
func workMayFail(line string) bool {
	return slices.ContainsFunc([]string{repo.ErrPruning.Error(), repo.ErrSlow.Error(), "start it again", "that this one is to follow", context.DeadlineExceeded.Error()}, func(s string) bool { return strings.Contains(line, s) })
}
