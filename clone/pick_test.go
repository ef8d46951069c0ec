package clone_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/manifest"
	"lifeboat/internal/fixture"
)

// keeping are the options that leave a part of the target alone.
func keeping(tb testing.TB, src *clone.Blocks, to string, keep ...int) clone.Options {
	tb.Helper()
	f, err := os.Open(to)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		tb.Fatal(err)
	}
	now, err := clone.LookAt(f, info.Size(), 512, src.Head())
	if err != nil {
		tb.Fatal(err)
	}
	return clone.Options{Keep: keep, Present: now}
}

// marked is a copy of a card whose free bytes are all 0x5A: whatever is written
// to it can be seen.
func marked(tb testing.TB, card string) string {
	tb.Helper()
	to := fixture.Card(tb, card)
	b := blocksOf(tb, to)
	f, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	all := extent.Of(extent.Extent{Off: 0, Len: b.Head().Size})
	for _, e := range all.Subtract(b.Used().Union(b.Head().Table.Own)) {
		if _, err := f.WriteAt(bytes.Repeat([]byte{0x5a}, int(e.Len)), e.Off); err != nil {
			tb.Fatal(err)
		}
	}
	return to
}

func bytesOf(tb testing.TB, path string, e extent.Extent) []byte {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, e.Len)
	if _, err := f.ReadAt(b, e.Off); err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestKeptPartIsUntouched restores a card over a copy of itself, with each of
// its parts kept in turn: not a byte of that part may differ, new IDs or not.
// The last parts of some end where a GPT would have its backup, which the wipe
// destroys.
func TestKeptPartIsUntouched(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	for _, name := range []string{"pi-mbr-fat-ext4", "gpt-fat-ext4", "pi-noobs", "swap-behind-root"} {
		src := blocksOf(t, fixture.Card(t, name))
		for _, part := range src.Head().Parts {
			for _, ids := range []clone.IDs{clone.KeepIDs, clone.NewIDs} {
				if ids == clone.NewIDs && name != "pi-mbr-fat-ext4" {
					continue
				}
				t.Run(fmt.Sprintf("%s/%d/%s", name, part.Num, ids), func(t *testing.T) {
					t.Parallel()
					to := marked(t, name)
					before := bytesOf(t, to, part.Extent)
					o := keeping(t, src, to, part.Num)
					o.IDs = ids
					if _, err := restore(t.Context(), t, src, to, o); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(bytesOf(t, to, part.Extent), before) {
						t.Error("the part that was to stay was written to")
					}
					fixture.Check(t, to)
				})
			}
		}
	}
}

// TestKeptPartSurvivesFaults breaks a restore that keeps a part at each record:
// the part is untouched, and the same again finds it, though there is no table.
func TestKeptPartSurvivesFaults(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	const name = "pi-mbr-fat-ext4"
	src := blocksOf(t, fixture.Card(t, name))
	kept := src.Head().Parts[1].Extent
	to := marked(t, name)
	before := bytesOf(t, to, kept)
	for at := 0; ; at++ {
		seen, hit := 0, false
		broken := func() error { return errFault }
		_, err := restore(t.Context(), t, faulty{src, at, broken, &seen, &hit}, to, keeping(t, src, to, 2))
		if !bytes.Equal(bytesOf(t, to, kept), before) {
			t.Fatalf("fault at record %d: the part was written to", at)
		}
		if !hit {
			if err != nil || at < 3 {
				t.Fatalf("record %d: %v", at, err)
			}
			fixture.Check(t, to)
			return
		}
		var touched *clone.TouchedError
		if !errors.As(err, &touched) {
			t.Fatalf("fault at record %d: got %v", at, err)
		}
	}
}

// TestNamesByPlace: a disk that is put where it cannot have the name that its
// files give it is restored with a reservation, or with other names.
func TestNamesByPlace(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	card := fixture.Card(t, "pi-mbr-fat-ext4")
	b, err := os.ReadFile(card)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.Replace(b, []byte("root=PARTUUID=6c696665-02 rootfstype"), []byte("root=/dev/mmcblk0p2       rootfstype"), 1)
	if err := os.WriteFile(card, b, 0o600); err != nil {
		t.Fatal(err)
	}
	src := blocksOf(t, card)
	for _, c := range []struct {
		slot, device string
		removable    bool
		told         int
	}{
		{"nvme", "", false, 1}, {"usb", "", false, 1}, {"sd", "", false, 0},
		{"usb", "", true, 0}, // a card in a reader
		{"", "", false, 0}, {"nvme", "/dev/nvme0n1", false, 0},
	} {
		to := fixture.Sparse(t, "target.img", src.Head().Size)
		facts, err := disk.Host().Look(to)
		if err != nil {
			t.Fatal(err)
		}
		facts.Disk.Slot, facts.Disk.Removable = c.slot, c.removable
		report := executed(t.Context(), t, src, facts, clone.Options{Device: c.device})
		if len(report.Reservations) != c.told {
			t.Errorf("%+v: got %q", c, report.Reservations)
		}
		for _, text := range report.Reservations {
			if !strings.Contains(text, "/dev/mmcblk0p2: no disk in a slot of kind "+c.slot) {
				t.Errorf("%+v: got %q", c, text)
			}
		}
	}
}

func executed(ctx context.Context, tb testing.TB, src *clone.Blocks, facts disk.Facts, o clone.Options) *clone.Report {
	tb.Helper()
	o.Random = rand.Reader
	plan, err := clone.PlanRestore(src.Head(), facts, o)
	if err != nil {
		tb.Fatal(err)
	}
	target, err := disk.Claim(ctx, disk.Host(), facts, nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer target.Close()
	run := clone.Runner{Tools: filesystem.Tools{Run: filesystem.Exec}, Logf: tb.Logf, Clock: time.Now}
	report, err := run.Execute(ctx, plan, src, target)
	if err != nil {
		tb.Fatal(err)
	}
	return report
}

// TestTableWithoutParts holds that all bytes count where a table has no part: the
// first sector of a damaged file system looks like that.
func TestTableWithoutParts(t *testing.T) {
	t.Parallel()
	b := bytes.Repeat([]byte("content "), 1<<16)
	clear(b[:512])
	b[510], b[511] = 0x55, 0xaa
	src, err := clone.NewBlocks(bytes.NewReader(b), int64(len(b)), 512)
	if err != nil {
		t.Fatal(err)
	}
	if head := src.Head(); head.Table.Kind != manifest.NoTable || len(head.Parts) != 1 || len(head.Table.Notes) == 0 {
		t.Errorf("got the table %+v with %d parts", head.Table, len(head.Parts))
	}
	if got := src.Used().Bytes(); got != int64(len(b)) {
		t.Errorf("%d of %d bytes are in use", got, len(b))
	}
}
