package repo_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/clone/repo"
	"lifeboat/clone/store"
)

// indexOf reads the index file of a snapshot.
func indexOf(t *testing.T, s store.Store, snap *repo.Snapshot) []byte {
	t.Helper()
	name, _, _ := snap.Files()
	body, err := s.Open(t.Context(), name, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPatches: what a live source yields late counts, and what it finds not to be
// in use in the end is zero. The index is that of a disk that held still.
func TestPatches(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 9))
		s := newMemory(false)
		r := fresh(t, s, repo.InitOptions{}, repo.Options{})
		first := randomContent(rnd, 12*chunk+4096)
		last := randomContent(rnd, 12*chunk+4096)
		recs := first.records()
		for range 3 { // rounds that are overtaken by the next one
			for range 20 {
				off := rnd.Int64N(12*chunk/4096) * 4096
				data := make([]byte, 4096*(1+rnd.IntN(3)))
				for i := range data {
					data[i] = byte(rnd.Uint32())
				}
				recs = append(recs, extent.Record{Extent: extent.Extent{Off: off, Len: int64(len(data))}, Data: data})
			}
		}
		recs = append(recs, last.records()...)
		live, err := saveLive(t.Context(), r, last, recs)
		if err != nil {
			t.Fatal(err)
		}
		if err := readBack(t.Context(), r, live, last); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		still := mustSave(t, r, last, repo.SaveOptions{})
		if !bytes.Equal(indexOf(t, s, live), indexOf(t, s, still)) {
			t.Errorf("seed %d: the index is another one than that of a disk that held still", seed)
		}
	}
}

// saveLive puts records as the copy loop does: what goes back is a patch.
func saveLive(ctx context.Context, r *repo.Repo, c content, recs []extent.Record) (*repo.Snapshot, error) {
	k, err := r.Save(repo.SaveOptions{Identity: somebody, Verify: true})
	if err != nil {
		return nil, err
	}
	if err := k.Start(ctx, c.head()); err != nil {
		return nil, err
	}
	end := int64(0)
	for _, rec := range recs {
		put := k.Put
		if rec.Off < end {
			put = k.Patch
		}
		if err := put(ctx, rec); err != nil {
			return nil, err
		}
		end = max(end, rec.End())
	}
	live := c.tail()
	live.Live = &manifest.LiveFacts{Method: "tracefs"}
	err = k.Commit(ctx, live)
	return k.Snapshot(), err
}

// TestSame: an increment gives the index that reading all gives, whatever was
// freed and came into use meanwhile.
func TestSame(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 10))
		s := newMemory(false)
		sealed, keys := repo.InitOptions{}, repo.Options{}
		if seed%3 == 0 {
			sealed, keys = newKey(t)
		}
		r := fresh(t, s, sealed, keys)
		was := randomContent(rnd, 14*chunk+512)
		base := mustSave(t, r, was, repo.SaveOptions{})

		now := content{bytes: bytes.Clone(was.bytes)}
		var changed extent.Set
		for range 6 { // written to
			e := extent.Extent{Off: rnd.Int64N(14*chunk/4096) * 4096, Len: 4096}
			now.bytes[e.Off] ^= byte(1 + rnd.IntN(255))
			changed = changed.Union(extent.Of(e))
		}
		now.used = was.used
		for range 5 { // freed, or new
			e := extent.Of(extent.Extent{Off: rnd.Int64N(14*chunk/4096) * 4096, Len: 4096 * (1 + rnd.Int64N(100))}).Clip(extent.Extent{Len: 14 * chunk})
			if rnd.IntN(2) == 0 {
				now.used = now.used.Subtract(e)
			} else {
				changed = changed.Union(e.Subtract(now.used))
				now.used = now.used.Union(e)
			}
		}
		var recs []extent.Record
		for _, rec := range now.records() {
			for _, e := range extent.Of(rec.Extent).Intersect(changed) {
				recs = append(recs, extent.Record{Extent: e, Data: now.bytes[e.Off:e.End()]})
			}
			for _, e := range extent.Of(rec.Extent).Subtract(changed) {
				recs = append(recs, extent.Record{Extent: e, Kind: extent.Same})
			}
		}
		sortRecords(recs)
		snap, err := save(t.Context(), r, repo.SaveOptions{Identity: somebody, Base: base, Verify: true}, now, recs)
		if err != nil {
			t.Fatal(err)
		}
		if err := readBack(t.Context(), r, snap, now); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		if full := mustSave(t, r, now, repo.SaveOptions{}); !bytes.Equal(indexOf(t, s, snap), indexOf(t, s, full)) {
			t.Errorf("seed %d: the increment's index is another one than that of reading all", seed)
		}
	}
}

// TestSameOutOfAnother: what a base's chunk should bring, and another one's file
// brings, is not taken.
func TestSameOutOfAnother(t *testing.T) {
	t.Parallel()
	s := newMemory(false)
	r := fresh(t, s, repo.InitOptions{}, repo.Options{})
	c := content{bytes: make([]byte, 2*chunk), used: extent.Of(extent.Extent{Len: 2 * chunk})}
	rand.NewChaCha8([32]byte{1}).Read(c.bytes)
	base := mustSave(t, r, c, repo.SaveOptions{})
	ids := idsOf(t, r, base)
	a, b := chunkFile(ids[0]), chunkFile(ids[1])
	s.files[a], s.files[b] = s.files[b], s.files[a]
	recs := []extent.Record{
		{Extent: extent.Extent{Len: 4096}, Data: bytes.Repeat([]byte{1}, 4096)},
		{Extent: extent.Extent{Off: 4096, Len: 2*chunk - 4096}, Kind: extent.Same},
	}
	var wrong *repo.BaseError
	var damage *repo.DamageError
	_, err := save(t.Context(), r, repo.SaveOptions{Identity: somebody, Base: base}, c, recs)
	if !errors.As(err, &wrong) || !errors.As(err, &damage) || damage.ID != ids[0] {
		t.Errorf("got %v", err)
	}
}

func sortRecords(recs []extent.Record) {
	for i := range recs {
		for j := i; j > 0 && recs[j].Off < recs[j-1].Off; j-- {
			recs[j], recs[j-1] = recs[j-1], recs[j]
		}
	}
}

// TestRefusedRecords: what no source may yield.
func TestRefusedRecords(t *testing.T) {
	t.Parallel()
	r := fresh(t, store.NewFolder(t.TempDir()), repo.InitOptions{}, repo.Options{})
	for want, rec := range map[string]extent.Record{
		"there is none":    {Extent: extent.Extent{Len: 512}, Kind: extent.Same},
		"behind the end":   {Extent: extent.Extent{Off: chunk, Len: 512}, Data: make([]byte, 512)},
		"brings 3":         {Extent: extent.Extent{Len: 512}, Data: make([]byte, 3)},
		"lie behind":       {Extent: extent.Extent{Off: -512, Len: 512}, Kind: extent.Zero},
		"end of the disk ": {Extent: extent.Extent{Off: 1 << 62, Len: 1 << 62}, Kind: extent.Zero},
	} {
		c := content{bytes: make([]byte, chunk)}
		if _, err := save(t.Context(), r, repo.SaveOptions{Identity: somebody}, c, []extent.Record{rec}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if left, err := r.Snapshots(t.Context(), ""); err != nil || len(left) != 0 {
		t.Errorf("snapshots of what failed: %v, %v", left, err)
	}
}
