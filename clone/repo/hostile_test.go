package repo_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"lifeboat/clone/repo"
	"lifeboat/clone/store"
)

// A broken is a repository in a folder with one snapshot, to be damaged.
type broken struct {
	dir  string
	r    *repo.Repo
	snap *repo.Snapshot
	c    content
}

func newBroken(t *testing.T) *broken {
	t.Helper()
	b := &broken{dir: t.TempDir(), c: randomContent(mrand.New(mrand.NewPCG(1, 20)), 6*chunk)}
	b.r = fresh(t, store.NewFolder(b.dir), repo.InitOptions{}, repo.Options{})
	b.snap = mustSave(t, b.r, b.c, repo.SaveOptions{})
	return b
}

func (b *broken) path(name string) string { return filepath.Join(b.dir, filepath.FromSlash(name)) }

func (b *broken) read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(b.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (b *broken) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(b.path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// rewrite changes the record, and binds index and manifest as they are now.
func (b *broken) rewrite(t *testing.T, change func(*repo.Record)) {
	t.Helper()
	index, manifest, record := b.snap.Files()
	rec := b.snap.Record
	bound := func(name string) repo.Bound {
		data := b.read(t, name)
		sum := sha256.Sum256(data)
		return repo.Bound{Size: int64(len(data)), Sum: hex.EncodeToString(sum[:])}
	}
	rec.Index, rec.Manifest = bound(index), bound(manifest)
	change(&rec)
	data, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	b.write(t, record, data)
}

// firstChunk is the name of a chunk that is not of zeros.
func (b *broken) firstChunk(t *testing.T) string {
	t.Helper()
	index, _, _ := b.snap.Files()
	x, err := repo.DecodeIndex(b.read(t, index))
	if err != nil {
		t.Fatal(err)
	}
	return b.r.ChunkName(x.IDs()[0])
}

// TestHostile: each lie is an error of the reader, names what it is of, and is
// found by verify.
func TestHostile(t *testing.T) {
	t.Parallel()
	for name, c := range lies(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBroken(t)
			c.harm(t, b)
			s, err := b.r.Find(t.Context(), repo.Latest)
			if err == nil {
				err = readBack(t.Context(), b.r, s, b.c)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("read: got %v, want %q", err, c.want)
			}
			v, err := b.r.Verify(t.Context(), repo.VerifyOptions{})
			if err != nil || len(v.Bad) == 0 || !strings.Contains(strings.Join(v.Bad, "\n"), c.want) {
				t.Errorf("verify: got %+v and %v, want %q", v, err, c.want)
			}
		})
	}
}

// A lie is some damage, and what the error must say.
type lie struct {
	harm func(t *testing.T, b *broken)
	want string
}

func lies(t *testing.T) map[string]lie {
	pack := func(b []byte) []byte {
		enc, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer enc.Close()
		return enc.EncodeAll(b, nil)
	}
	return map[string]lie{
		"missing chunk":   {func(t *testing.T, b *broken) { os.Remove(b.path(b.firstChunk(t))) }, "no such file"},
		"other bytes":     {func(t *testing.T, b *broken) { b.write(t, b.firstChunk(t), pack(make([]byte, chunk))) }, "damaged"},
		"cut off":         {func(t *testing.T, b *broken) { b.write(t, b.firstChunk(t), b.read(t, b.firstChunk(t))[:100]) }, "chunk"},
		"bomb":            {func(t *testing.T, b *broken) { b.write(t, b.firstChunk(t), pack(make([]byte, 300<<20))) }, "more than is allowed"},
		"too large":       {func(t *testing.T, b *broken) { b.write(t, b.firstChunk(t), make([]byte, 2*chunk)) }, "cannot rightly have"},
		"index cut":       {func(t *testing.T, b *broken) { i, _, _ := b.snap.Files(); b.write(t, i, b.read(t, i)[:100]) }, "index"},
		"index exchanged": {flipIndex, "not the file that the record names"},
		"index lies": {func(t *testing.T, b *broken) {
			i, _, _ := b.snap.Files()
			x := b.read(t, i)
			binary.LittleEndian.PutUint64(x[64:], 1<<60)
			b.write(t, i, x)
			b.rewrite(t, func(*repo.Record) {})
		}, "not its place"},
		"record lies of the size": {func(t *testing.T, b *broken) { b.rewrite(t, func(r *repo.Record) { r.Size = 1 << 60 }) }, "not possible"},
		"of another repository": {func(t *testing.T, b *broken) {
			b.rewrite(t, func(r *repo.Record) { r.Repository = "0000000000000000" })
		}, "another snapshot"},
		"record of control bytes": {func(t *testing.T, b *broken) { b.rewrite(t, func(r *repo.Record) { r.Host = "\x1b[2J" }) }, "host"},
		"manifest exchanged":      {func(t *testing.T, b *broken) { _, m, _ := b.snap.Files(); b.write(t, m, pack([]byte("{}"))) }, "manifest"},
		"manifest of another disk": {func(t *testing.T, b *broken) {
			_, m, _ := b.snap.Files()
			b.write(t, m, pack([]byte(`{"head":{"size":512,"sector":512},"tail":{}}`)))
			b.rewrite(t, func(*repo.Record) {})
		}, "manifest"},
		"in use behind the end": {func(t *testing.T, b *broken) {
			_, m, _ := b.snap.Files()
			b.write(t, m, pack([]byte(`{"head":{"size":1572864,"sector":512},"tail":{"used":[{"off":1572864,"len":512}]}}`)))
			b.rewrite(t, func(*repo.Record) {})
		}, "ends behind"},
	}
}

func flipIndex(t *testing.T, b *broken) {
	i, _, _ := b.snap.Files()
	x := b.read(t, i)
	x[80] ^= 1
	b.write(t, i, x)
}

// TestHealing: a chunk that is lost is put again by the next backup that has its
// bytes, where that does not take its base's word.
func TestHealing(t *testing.T) {
	t.Parallel()
	b := newBroken(t)
	if err := os.Remove(b.path(b.firstChunk(t))); err != nil {
		t.Fatal(err)
	}
	if again := mustSave(t, b.r, b.c, repo.SaveOptions{}); again.Chunks != 1 {
		t.Errorf("%d chunks were put, want the lost one", again.Chunks)
	}
	if err := readBack(t.Context(), b.r, b.snap, b.c); err != nil {
		t.Error(err)
	}
}

// TestPruneMindsDamage: where it cannot be known what is needed, nothing goes.
func TestPruneMindsDamage(t *testing.T) {
	t.Parallel()
	b := newBroken(t)
	flipIndex(t, b)
	if _, err := b.r.Prune(t.Context(), repo.PruneOptions{Now: true}); err == nil || !strings.Contains(err.Error(), "nothing is removed") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(b.path(b.firstChunk2(t))); err != nil {
		t.Error(err)
	}
}

// firstChunk2 is any chunk that is there.
func (b *broken) firstChunk2(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob(b.path("chunks.castr/*/*.cacnk"))
	if err != nil || len(found) == 0 {
		t.Fatal("no chunk is left")
	}
	rel, _ := filepath.Rel(b.dir, found[0])
	return rel
}
