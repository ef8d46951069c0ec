package repo_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"lifeboat/clone/repo"
)

// TestRemake loses repository.json, and makes it again out of the snapshots.
func TestRemake(t *testing.T) {
	t.Parallel()
	sealed, keys := newKey(t)
	sealed.Chunk = 2 * chunk
	for name, c := range map[string]repo.InitOptions{"plain": {}, "sealed": sealed} {
		s := newMemory(false)
		r := fresh(t, s, c, keys)
		disk := randomContent(rand.New(rand.NewPCG(3, 4)), 9*chunk+512)
		mustSave(t, r, disk, repo.SaveOptions{Name: "one"})
		last := mustSave(t, r, disk, repo.SaveOptions{})
		was := s.files["repository.json"]
		delete(s.files, "repository.json")

		if _, err := repo.Open(t.Context(), s, keys); !errors.Is(err, repo.ErrNoRepository) || !strings.Contains(err.Error(), "2 snapshots") {
			t.Errorf("%s: opened without it: %v", name, err)
		}
		s.files["snapshots/"+last.Series+"/"+last.ID+".json"] = simFile{data: []byte("{}")} // the newest does not tell
		made, err := repo.Init(t.Context(), s, repo.InitOptions{}, keys)
		if err != nil || made.Snapshots != 2 {
			t.Fatalf("%s: %+v, %v", name, made, err)
		}
		if is := s.files["repository.json"]; string(is.data) != string(was.data) {
			t.Errorf("%s: it says\n%s, and said\n%s", name, is.data, was.data)
		}
		if again := mustSave(t, open(t, s, keys), disk, repo.SaveOptions{}); again.Chunks != 0 {
			t.Errorf("%s: %d chunks are put again", name, again.Chunks)
		}
	}
}

// TestRemakeRefused: where what was cannot be known, nothing is written; least of
// all a new key over that of all there is.
func TestRemakeRefused(t *testing.T) {
	t.Parallel()
	sealed, keys := newKey(t)
	for name, c := range map[string]struct {
		was, now repo.InitOptions
		keys     repo.Options
		harm     func(s *memory)
		want     error
	}{
		"no key":        {was: sealed, want: repo.ErrKey},
		"another's key": {was: sealed, now: sealed, want: repo.ErrKey},
		"encrypt now":   {now: sealed, keys: keys, want: repo.ErrExists},
		"all damaged": {harm: func(s *memory) {
			for name, f := range s.files {
				if strings.HasSuffix(name, ".caibx") {
					f.data[100] ^= 1
				}
			}
		}},
	} {
		s := newMemory(false)
		mustSave(t, fresh(t, s, c.was, keys), randomContent(rand.New(rand.NewPCG(3, 4)), 3*chunk), repo.SaveOptions{})
		delete(s.files, "repository.json")
		if c.harm != nil {
			c.harm(s)
		}
		before := maps.Clone(s.files)
		if _, err := repo.Init(t.Context(), s, c.now, c.keys); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if len(s.files) != len(before) || string(s.files["key.age"].data) != string(before["key.age"].data) {
			t.Errorf("%s: something was written", name)
		}
	}
}
