package repo_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"aead.dev/minisign"
	"filippo.io/age"

	"lifeboat/clone/repo"
	"lifeboat/clone/store"
)

// newKey is for a repository that is encrypted: how it is made, and what opens it.
func newKey(t *testing.T) (repo.InitOptions, repo.Options) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return repo.InitOptions{Encrypt: repo.Recipients{Age: []age.Recipient{id.Recipient()}}}, repo.Options{Keys: repo.Keys{Age: []age.Identity{id}}}
}

func TestEncrypted(t *testing.T) {
	t.Parallel()
	sealed, keys := newKey(t)
	dir := t.TempDir()
	s := store.NewFolder(dir)
	r := fresh(t, s, sealed, keys)
	c := randomContent(mrand.New(mrand.NewPCG(4, 20)), 9*chunk+512)
	copy(c.bytes[c.used[0].Off:], strings.Repeat("a secret of the disk", 1000))
	snap := mustSave(t, r, c, repo.SaveOptions{Host: "hidden-host", Verify: true})
	if again := mustSave(t, r, c, repo.SaveOptions{}); again.Chunks != 0 {
		t.Errorf("%d chunks are put again: their names are not of their bytes", again.Chunks)
	}
	if err := readBack(t.Context(), r, snap, c); err != nil {
		t.Error(err)
	}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if data, _ := os.ReadFile(path); bytes.Contains(data, []byte("a secret")) || bytes.Contains(data, []byte("hidden-host")) {
			t.Errorf("%s tells", path)
		}
		return err
	})
	if _, err := repo.Open(t.Context(), s, repo.Options{}); !errors.Is(err, repo.ErrKey) {
		t.Errorf("without a key: %v", err)
	}
	other, _ := age.GenerateX25519Identity()
	if _, err := repo.Open(t.Context(), s, repo.Options{Keys: repo.Keys{Age: []age.Identity{other}}}); !errors.Is(err, repo.ErrKey) {
		t.Errorf("with another key: %v", err)
	}
	swapChunks(t, dir)
	if err := readBack(t.Context(), r, snap, c); err == nil {
		t.Error("two chunks were exchanged, and nobody minds")
	}
}

// swapChunks exchanges the files of two chunks.
func swapChunks(t *testing.T, dir string) {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(dir, "chunks.sealed/*/*"))
	a, errA := os.ReadFile(found[0])
	b, errB := os.ReadFile(found[1])
	if err := errors.Join(errA, errB, os.WriteFile(found[0], b, 0o600), os.WriteFile(found[1], a, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestSigned(t *testing.T) {
	t.Parallel()
	public, secret, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := store.NewFolder(t.TempDir())
	r := fresh(t, s, repo.InitOptions{}, repo.Options{})
	c := randomContent(mrand.New(mrand.NewPCG(5, 20)), 3*chunk)
	signed := mustSave(t, r, c, repo.SaveOptions{Sign: &secret})
	trusting := open(t, s, repo.Options{Trust: []minisign.PublicKey{public}})
	mustSave(t, r, c, repo.SaveOptions{Name: "forged"})
	all, err := trusting.Snapshots(t.Context(), "")
	if len(all) != 1 || all[0].ID != signed.ID || !all[0].Signed || !errors.Is(err, repo.ErrSignature) {
		t.Errorf("got %d snapshots and %v", len(all), err)
	}
	if _, err := trusting.Find(t.Context(), "forged"); !errors.Is(err, repo.ErrSignature) {
		t.Errorf("the forged one: %v", err)
	}
}

// TestMayOnlyAdd: a key that can do no more than docs/REPOSITORY.md, section 9,
// lists is enough for a backup.
func TestMayOnlyAdd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSim(mrand.New(mrand.NewPCG(6, 20)))
		admin, board := s.process(), s.process()
		var refused []string
		board.rule = mayOnlyAdd(s, &refused)
		done := make(chan struct{})
		c := randomContent(mrand.New(mrand.NewPCG(7, 20)), 5*chunk)
		go func() {
			defer close(done)
			fresh(t, admin, repo.InitOptions{}, repo.Options{})
			r, err := repo.Open(t.Context(), board, repo.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			for range 2 {
				before, err := r.Snapshots(t.Context(), somebody.Series())
				o := repo.SaveOptions{Identity: somebody, Verify: true}
				if len(before) > 0 {
					o.Base = before[0]
				}
				snap, saveErr := save(t.Context(), r, o, c, c.records())
				if err = errors.Join(err, saveErr); err == nil {
					err = readBack(t.Context(), r, snap, c)
				}
				if err != nil {
					t.Errorf("%v; refused: %q", err, refused)
				}
				c.bytes[c.used[0].Off] ^= 1
			}
		}()
		s.run(0, 0, func() bool {
			synctest.Wait()
			select {
			case <-done:
				return true
			default:
				return false
			}
		})
		if len(refused) == 0 {
			t.Error("nothing was refused: the rule is never asked")
		}
	})
}

// mayOnlyAdd is what a store would enforce for a board's key.
func mayOnlyAdd(s *sim, refused *[]string) func(verb, name string) error {
	return func(verb, name string) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		own := strings.HasPrefix(name, "snapshots/"+somebody.Series()+"/")
		chunkFile := strings.HasPrefix(name, "chunks.castr/")
		_, there := s.files[name]
		ok := false
		switch verb {
		case "put":
			ok = !there && (own || chunkFile || strings.HasPrefix(name, "intents/"))
		case "open", "stat": // a server that may not list does not tell what is not there
			ok = own || chunkFile && (there || verb == "open") || strings.HasPrefix(name, "condemned/") || name == "repository.json"
		case "list":
			ok = own || strings.HasPrefix(name, "condemned/")
		}
		if ok {
			return nil
		}
		*refused = append(*refused, verb+" "+name)
		return fs.ErrPermission
	}
}
