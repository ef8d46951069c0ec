package repo_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"lifeboat/clone/repo"
	"lifeboat/clone/store"
	"lifeboat/internal/fixture"
)

// TestFull: the disk of a repository becomes full at any byte of a backup or a
// prune.
func TestFull(t *testing.T) {
	t.Parallel()
	fill(t, 4, 1)
}

// TestFullOften is the campaign.
func TestFullOften(t *testing.T) {
	fill(t, 100, often(t))
}

func fill(t *testing.T, times int, seed uint64) {
	t.Helper()
	fixture.Root(t)
	fixture.Need(t, "casync")
	mount, err := fixture.Mount("tmpfs", "tmpfs", "size=6M")
	must(t, err)
	defer mount.Close()
	dir, rnd, l := filepath.Join(fixture.MountPath(mount), "repo"), rand.New(rand.NewPCG(seed, 5)), newLedger()
	must(t, os.Mkdir(dir, 0o700))
	r := fresh(t, store.NewFolder(dir), repo.InitOptions{Grace: workGrace}, workOptions())
	full := 0
	for range times {
		rest := fillUp(t, filepath.Join(fixture.MountPath(mount), "rest"), rnd.Int64N(500_000))
		c := workContent(rnd)
		s, err := save(t.Context(), r, repo.SaveOptions{Identity: somebody}, c, c.records())
		if err == nil {
			l.sums[s.ID] = ""
		} else if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("a backup to a full disk: %v", err)
		}
		if _, perr := r.Prune(t.Context(), repo.PruneOptions{}); perr != nil && !errors.Is(perr, syscall.ENOSPC) && !errors.Is(perr, repo.ErrPruning) {
			t.Errorf("a prune on a full disk: %v", perr)
		}
		if err != nil {
			full++
		}
		must(t, os.Remove(rest))
		l.judge(t, dir, rnd)
		for id := range l.sums { // so that it does not fill up by itself
			delete(l.sums, id)
		}
		all, err := r.Snapshots(t.Context(), "")
		must(t, err)
		must(t, r.Forget(t.Context(), all[:len(all)-1]...))
		must(t, grow(dir, 2*workGrace))
	}
	l.tidy(t, dir)
	if full == 0 {
		t.Error("it never was full")
	}
	t.Logf("full in %d of %d backups", full, times)
}

// fillUp leaves as many bytes of a file system free.
func fillUp(t *testing.T, path string, free int64) string {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	st, err := f.Stat()
	must(t, err)
	must(t, f.Truncate(max(0, st.Size()-free)))
	return path
}
