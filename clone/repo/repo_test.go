package repo_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"lifeboat/clone"
	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/clone/repo"
	"lifeboat/clone/store"
	"lifeboat/internal/fixture"
)

// The engine's interfaces are met by shape.
var (
	_ clone.Readable = (*repo.Source)(nil)
	_ clone.Sink     = (*repo.Sink)(nil)
	_ clone.Patcher  = (*repo.Sink)(nil)
)

const chunk = repo.MinChunk

var somebody = repo.Identity{Serial: "10000000abcdef01", Machine: "0123456789abcdef0123456789abcdef", Disk: "a85f3b63"}

// fresh makes a repository in a store.
func fresh(t testing.TB, s store.Store, c repo.InitOptions, o repo.Options) *repo.Repo {
	t.Helper()
	if c.Chunk == 0 {
		c.Chunk = chunk
	}
	if _, err := repo.Init(t.Context(), s, c, o); err != nil {
		t.Fatal(err)
	}
	return open(t, s, o)
}

func open(t testing.TB, s store.Store, o repo.Options) *repo.Repo {
	t.Helper()
	r, err := repo.Open(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// A content is a disk as a test sees it: its bytes, and which are in use.
type content struct {
	bytes []byte
	used  extent.Set
}

// randomContent has runs of data, of zeros in use, and of what is not in use.
func randomContent(r *rand.Rand, size int64) content {
	c := content{bytes: make([]byte, size)}
	for off := int64(0); off < size; {
		n := min(4096*(1+r.Int64N(80)), size-off)
		switch r.IntN(4) {
		case 0: // not in use
		case 1:
			c.used = c.used.Append(extent.Extent{Off: off, Len: n})
		default:
			for i := off; i < off+n; i += 8 {
				c.bytes[i] = byte(r.Uint32())
			}
			c.used = c.used.Append(extent.Extent{Off: off, Len: n})
		}
		off += n
	}
	return c
}

// visible are the bytes with what is not in use as zero.
func (c content) visible() []byte {
	b := make([]byte, len(c.bytes))
	for _, e := range c.used {
		copy(b[e.Off:e.End()], c.bytes[e.Off:])
	}
	return b
}

func (c content) head() *manifest.Head {
	return &manifest.Head{Version: manifest.Version, Size: int64(len(c.bytes)), Sector: 512}
}

func (c content) tail() *manifest.Tail { return &manifest.Tail{Used: c.used} }

// records cuts what is in use into records, as a source would.
func (c content) records() []extent.Record {
	var recs []extent.Record
	for _, e := range c.used {
		for e.Len > 0 {
			n := min(e.Len, 64<<10)
			r := extent.Record{Extent: extent.Extent{Off: e.Off, Len: n}, Data: c.bytes[e.Off : e.Off+n]}
			if extent.IsZero(r.Data) {
				r.Kind, r.Data = extent.Zero, nil
			}
			recs = append(recs, r)
			e.Off, e.Len = e.Off+n, e.Len-n
		}
	}
	return recs
}

// save makes a snapshot of records.
func save(ctx context.Context, r *repo.Repo, o repo.SaveOptions, c content, recs []extent.Record) (*repo.Snapshot, error) {
	k, err := r.Save(o)
	if err != nil {
		return nil, err
	}
	err = k.Start(ctx, c.head())
	for _, rec := range recs {
		if err != nil {
			break
		}
		err = k.Put(ctx, rec)
	}
	if err == nil {
		err = k.Commit(ctx, c.tail())
	}
	if err != nil {
		k.Abort(context.WithoutCancel(ctx))
		return nil, err
	}
	return k.Snapshot(), nil
}

func mustSave(t testing.TB, r *repo.Repo, c content, o repo.SaveOptions) *repo.Snapshot {
	t.Helper()
	if o.Identity == (repo.Identity{}) {
		o.Identity = somebody
	}
	s, err := save(t.Context(), r, o, c, c.records())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// readBack reads a snapshot by a pass and by ReadAt, and compares.
func readBack(ctx context.Context, r *repo.Repo, s *repo.Snapshot, want content) error {
	src, err := r.Source(ctx, s)
	if err != nil {
		return err
	}
	defer src.Close()
	pass, err := src.Open(ctx, extent.Of(extent.Extent{Len: int64(len(want.bytes))}))
	if err != nil {
		return err
	}
	defer pass.Close()
	got, at := make([]byte, len(want.bytes)), extent.Set{}
	for {
		rec, err := pass.Next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		copy(got[rec.Off:rec.End()], rec.Data)
		at = at.Append(rec.Extent)
	}
	if fmt.Sprint(at) != fmt.Sprint(want.used) {
		return fmt.Errorf("in use: got %v, want %v", at, want.used)
	}
	if !bytes.Equal(got, want.visible()) {
		return fmt.Errorf("the pass yields other bytes")
	}
	all := make([]byte, len(got))
	if n, err := src.ReadAt(all, 0); n != len(all) || err != nil {
		return fmt.Errorf("read at 0: %d bytes and %v", n, err)
	}
	if !bytes.Equal(all, got) {
		return fmt.Errorf("ReadAt reads other bytes")
	}
	return nil
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int64{512, chunk, chunk + 512, 9*chunk + 4096, 40 * chunk} {
		r := fresh(t, store.NewFolder(t.TempDir()), repo.InitOptions{}, repo.Options{})
		c := randomContent(rnd, size)
		s := mustSave(t, r, c, repo.SaveOptions{Verify: true})
		if err := readBack(t.Context(), r, s, c); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		v, err := r.Verify(t.Context(), repo.VerifyOptions{})
		if err != nil || len(v.Bad) > 0 || v.Read != v.Chunks || v.Snapshots != 1 {
			t.Errorf("%d bytes: verify: %+v, %v", size, v, err)
		}
	}
}

// TestSecondSnapshotIsSmall holds that what is there is not put again, with and
// without a base.
func TestSecondSnapshotIsSmall(t *testing.T) {
	t.Parallel()
	r := fresh(t, store.NewFolder(t.TempDir()), repo.InitOptions{}, repo.Options{})
	c := randomContent(rand.New(rand.NewPCG(3, 4)), 60*chunk)
	first := mustSave(t, r, c, repo.SaveOptions{})
	if first.Chunks < 40 {
		t.Fatalf("the first has put %d chunks", first.Chunks)
	}
	if again := mustSave(t, r, c, repo.SaveOptions{}); again.Chunks != 0 {
		t.Errorf("without a base: %d chunks put again", again.Chunks)
	}
	if again := mustSave(t, r, c, repo.SaveOptions{Base: first}); again.Chunks != 0 || again.Base != first.ID {
		t.Errorf("with a base: %d chunks put again, base %q", again.Chunks, again.Base)
	}
	c.bytes[c.used[0].Off] ^= 1
	if again := mustSave(t, r, c, repo.SaveOptions{Base: first}); again.Chunks != 1 {
		t.Errorf("one byte changed: %d chunks put, want 1", again.Chunks)
	}
}

// TestCasyncReads: the judge of the layout is casync.
func TestCasyncReads(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "casync")
	for _, size := range []int64{20*chunk + 4096, 3 * chunk} {
		dir := t.TempDir()
		r := fresh(t, store.NewFolder(dir), repo.InitOptions{}, repo.Options{})
		c := randomContent(rand.New(rand.NewPCG(5, uint64(size))), size)
		s := mustSave(t, r, c, repo.SaveOptions{})
		index, _, _ := s.Files()
		out := filepath.Join(t.TempDir(), "card.img")
		fixture.Run(t, "casync", "extract", "--store="+filepath.Join(dir, "chunks.castr"), filepath.Join(dir, index), out)
		got, err := os.ReadFile(out)
		if err != nil || !bytes.Equal(got, c.visible()) {
			t.Errorf("casync extracts %d other bytes (%v)", len(got), err)
		}
	}
}

// TestReadsCasync: an index and chunks that casync made are read.
func TestReadsCasync(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "casync")
	c := randomContent(rand.New(rand.NewPCG(6, 6)), 12*chunk+8192)
	dir := t.TempDir()
	r := fresh(t, store.NewFolder(dir), repo.InitOptions{}, repo.Options{})
	card, index := filepath.Join(dir, "card.img"), filepath.Join(dir, "card.caibx")
	if err := os.WriteFile(card, c.visible(), 0o600); err != nil {
		t.Fatal(err)
	}
	fixture.Run(t, "casync", "make", fmt.Sprintf("--chunk-size=%d:%d:%d", chunk, chunk, chunk), "--store="+filepath.Join(dir, "chunks.castr"), index, card)
	data, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	x, err := repo.DecodeIndex(data)
	if err != nil {
		t.Fatal(err)
	}
	// The same disk saved by us finds all chunks there already, whole.
	s := mustSave(t, r, content{c.visible(), extent.Of(extent.Extent{Len: int64(len(c.bytes))})}, repo.SaveOptions{Verify: true})
	if s.Chunks != 0 {
		t.Errorf("%d chunks are put that casync had put, of %d", s.Chunks, len(x.IDs()))
	}
	if err := readBack(t.Context(), r, s, content{c.visible(), extent.Of(extent.Extent{Len: int64(len(c.bytes))})}); err != nil {
		t.Errorf("chunks that casync packed: %v", err)
	}
}
