package repo_test

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"lifeboat/clone/repo"
	"lifeboat/clone/store"
	"lifeboat/internal/fixture"
)

// A crew is a worker's process and the pipes to it.
type crew struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// hire starts a worker.
func hire(t *testing.T, o order, env ...string) *crew {
	t.Helper()
	o.Delay = cmp.Or(o.Delay, workDelay)
	text, err := json.Marshal(o)
	must(t, err)
	c := &crew{cmd: fixture.Child(t, "worker", string(text))}
	c.cmd.Env = append(c.cmd.Env, env...)
	c.cmd.Stderr = os.Stderr
	c.in, err = c.cmd.StdinPipe()
	must(t, err)
	out, err := c.cmd.StdoutPipe()
	must(t, err)
	must(t, c.cmd.Start())
	c.out = bufio.NewScanner(out)
	return c
}

// follow hears each thing that a worker says, and lets it go on. It tells whether
// the worker came to the end of its orders.
func (c *crew) follow(hear func(verb, rest string)) bool {
	ended := false
	for c.out.Scan() {
		line, ours := strings.CutPrefix(c.out.Text(), "worker ")
		if !ours {
			continue
		}
		verb, rest, _ := strings.Cut(line, " ")
		hear(verb, rest)
		ended = ended || verb == "ended"
		fmt.Fprintln(c.in) // it may be dead
	}
	c.in.Close()
	_ = c.cmd.Wait() // it was killed, or says why not
	return ended
}

// A ledger is what a store has promised: which snapshots it must have.
type ledger struct {
	mu   sync.Mutex
	sums map[string]string // of what was saved, by ID; of what is not to be missed
	may  map[string]string // of what somebody began to forget
	images
}

func newLedger() *ledger {
	return &ledger{sums: map[string]string{}, may: map[string]string{}, images: newImages()}
}

// hear notes what a worker says.
func (l *ledger) hear(verb, rest string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, sum, _ := strings.Cut(rest, " ")
	switch verb {
	case "saved":
		l.sums[id] = sum
	case "forgets":
		l.may[id] = l.sums[id]
		delete(l.sums, id)
	default:
		l.images.hear(verb, id, sum)
	}
}

// judge holds that all snapshots of the repository in a folder are whole, that
// those are there that must be, that one of them is what was saved, in our eyes
// and in casync's, and that a backup can be made.
func (l *ledger) judge(t *testing.T, dir string, rnd *rand.Rand) {
	t.Helper()
	r, err := repo.Open(t.Context(), store.NewFolder(dir), workOptions())
	must(t, err)
	defer r.Close()
	all, err := r.Snapshots(t.Context(), "")
	must(t, err)
	v, err := r.Verify(t.Context(), repo.VerifyOptions{})
	must(t, err)
	if len(v.Bad) > 0 || v.Snapshots != len(all) {
		t.Errorf("verify: %d of %d snapshots, %q", v.Snapshots, len(all), v.Bad)
	}
	there := map[string]*repo.Snapshot{}
	for _, s := range all {
		there[s.ID] = s
	}
	for _, id := range slices.Sorted(maps.Keys(l.sums)) {
		if there[id] == nil {
			t.Errorf("snapshot %s was acknowledged, and is gone", id)
		}
	}
	if len(all) > 0 {
		l.read(t, r, dir, all[rnd.IntN(len(all))])
	}
	c := workContent(rnd)
	s, err := save(t.Context(), r, repo.SaveOptions{Identity: repo.Identity{Machine: "judge"}, Verify: true}, c, c.records())
	if err != nil {
		t.Errorf("a second run: %v", err)
		return
	}
	l.sums[s.ID] = fmt.Sprintf("%x", sha256.Sum256(c.visible()))
}

// read reads one snapshot whole, and lets casync do it too.
func (l *ledger) read(t *testing.T, r *repo.Repo, dir string, s *repo.Snapshot) {
	t.Helper()
	src, err := r.Source(t.Context(), s)
	must(t, err)
	defer src.Close()
	ours := make([]byte, s.Size)
	if _, err := src.ReadAt(ours, 0); err != nil && err != io.EOF {
		t.Errorf("snapshot %s: %v", s.ID, err)
		return
	}
	got := fmt.Sprintf("%x", sha256.Sum256(ours))
	want, known := l.sums[s.ID]
	if !known {
		want = l.may[s.ID]
	}
	if want != "" && got != want {
		t.Errorf("snapshot %s: its bytes are others than were saved", s.ID)
	}
	index, _, _ := s.Files()
	out := filepath.Join(t.TempDir(), "card.img")
	fixture.Run(t, "casync", "extract", "--store="+filepath.Join(dir, "chunks.castr"), filepath.Join(dir, index), out)
	theirs, err := os.ReadFile(out)
	if err != nil || fmt.Sprintf("%x", sha256.Sum256(theirs)) != got {
		t.Errorf("snapshot %s: casync extracts %d other bytes (%v)", s.ID, len(theirs), err)
	}
	os.Remove(out)
}

// tidy holds that prunes leave nothing in a folder that no snapshot needs, and no
// file in the making.
func (l *ledger) tidy(t *testing.T, dir string) {
	t.Helper()
	r, err := repo.Open(t.Context(), store.NewFolder(dir), workOptions())
	must(t, err)
	defer r.Close()
	for range 3 {
		must(t, grow(dir, 3*workGrace))
		_, err := r.Prune(t.Context(), repo.PruneOptions{})
		must(t, err)
	}
	l.tidied(t, dir)
}

// tidied holds that nothing is in a folder that no snapshot needs.
func (l *ledger) tidied(t *testing.T, dir string) {
	t.Helper()
	r, err := repo.Open(t.Context(), store.NewFolder(dir), workOptions())
	must(t, err)
	defer r.Close()
	needed := map[string]bool{"repository.json": true, "catalog.json": true}
	all, err := r.Snapshots(t.Context(), "")
	must(t, err)
	for _, s := range all {
		src, err := r.Source(t.Context(), s)
		must(t, err)
		for _, id := range src.IDs() {
			needed[r.ChunkName(id)] = true
		}
		index, manifest, record := s.Files()
		needed[index], needed[manifest], needed[record] = true, true, true
		src.Close()
	}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err == nil && !d.IsDir() && !needed[name] && garbage.MatchString(d.Name()) {
			t.Logf("%q: others' old bytes, taken for a name when a folder grew", name)
		} else if err == nil && !d.IsDir() && !needed[name] {
			t.Errorf("nobody needs %s, and it is still there", name)
		}
		return skipUnfit(d, err)
	}))
}

// A histogram counts interruptions by the step that was under way.
type histogram map[string]int

func (h histogram) add(o histogram) {
	for step, n := range o {
		h[step] += n
	}
}

func (h histogram) String() string {
	total := 0
	var parts []string
	for _, step := range slices.Sorted(maps.Keys(h)) {
		total += h[step]
		parts = append(parts, fmt.Sprintf("%s %d", step, h[step]))
	}
	return fmt.Sprintf("%d interruptions: %s", total, strings.Join(parts, ", "))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
