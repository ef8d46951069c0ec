package repo_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"lifeboat/clone/repo"
	"lifeboat/clone/store"
)

// TestEmptyFiles holds that a file without bytes, which is what FAT has after a
// power loss of one that was being put, is taken for none: it is in nobody's way,
// it is put again, and prune removes it.
func TestEmptyFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := store.NewFolder(dir)
	must(t, os.WriteFile(filepath.Join(dir, "repository.json"), nil, 0o600))
	if _, err := repo.Open(t.Context(), s, repo.Options{}); !errors.Is(err, repo.ErrNoRepository) {
		t.Fatalf("got %v, want ErrNoRepository", err)
	}
	r := fresh(t, s, repo.InitOptions{Grace: workGrace}, repo.Options{})
	c := workContent(rand.New(rand.NewPCG(1, 1)))
	first := mustSave(t, r, c, repo.SaveOptions{})
	index, manifest, record := first.Files()
	src, err := r.Source(t.Context(), first)
	must(t, err)
	chunkFile := filepath.Join(dir, r.ChunkName(src.IDs()[0]))
	src.Close()
	must(t, r.Forget(t.Context(), first))
	empty := []string{index, manifest, record, "intents/20261124T021500Z-5f0c9a1e-0.json", "condemned/20261124T021500Z-5f0c9a1e.json"}
	for _, name := range empty {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	must(t, os.Truncate(chunkFile, 0))
	again := mustSave(t, r, c, repo.SaveOptions{})
	if got := readAll(t, r, again); !bytes.Equal(got, c.visible()) {
		t.Error("a chunk that was empty was not put again")
	}
	all, err := r.Snapshots(t.Context(), "")
	if err != nil || len(all) != 1 {
		t.Errorf("%d snapshots, want 1: %v", len(all), err)
	}
	v, err := r.Verify(t.Context(), repo.VerifyOptions{})
	if err != nil || len(v.Bad) > 0 {
		t.Errorf("verify: %v, %q", err, v.Bad)
	}
	l := newLedger()
	l.tidy(t, dir)
}

func readAll(t *testing.T, r *repo.Repo, s *repo.Snapshot) []byte {
	t.Helper()
	src, err := r.Source(t.Context(), s)
	must(t, err)
	defer src.Close()
	b := make([]byte, s.Size)
	if _, err := src.ReadAt(b, 0); err != nil && err != io.EOF {
		t.Error(err)
	}
	return b
}
