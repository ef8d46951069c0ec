package clone_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lifeboat/boards"
	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
	"lifeboat/internal/fixture"
	"lifeboat/internal/speech"
)

// A spoken plan can be said in all languages.
type spoken interface {
	fmt.Stringer
	In(l speech.Language) string
}

// TestPlansAreTranslated marks what goes through the catalogue: no word of a plan
// may stand outside of the marks, but for what no language changes. That each text
// in the marks is German as well holds package speech.
func TestPlansAreTranslated(t *testing.T) {
	t.Parallel()
	for name, plan := range map[string]spoken{
		"restore":       spokenRestore(t),
		"two disks":     spokenMerge(t),
		"grow":          spokenGrowth(t, "swap-behind-root", 400<<20),
		"nothing to do": spokenGrowth(t, "pi-mbr-fat-ext4", 128<<20),
		"fix-boot":      spokenRepair(t),
	} {
		if plan.String() != plan.In(speech.English) || plan.String() == plan.In(speech.German) {
			t.Errorf("%s: as a string it is English, got\n%s", name, plan)
		}
		for _, word := range strings.Fields(outside(plan.In(speech.Marked))) {
			if !slices.Contains([]string{"vfat,", "kB", "kB,", "MB", "MB,", "GB,", "→", ",", ":", "card", "target", "fstab"}, word) {
				t.Errorf("%s: %q stands outside of the catalogue in\n%s", name, word, plan.In(speech.Marked))
			}
		}
	}
}

// outside is what stands outside of the marks, without quotes and what has a
// digit, a slash or an equals sign.
func outside(text string) string {
	inner := regexp.MustCompile(`⟦[^⟦⟧]*⟧`)
	for inner.MatchString(text) {
		text = inner.ReplaceAllString(text, "")
	}
	return regexp.MustCompile(`"[^"]*"|\S*[0-9/=]\S*`).ReplaceAllString(text, "")
}

// spokenRestore has most of the notes that a restore can have.
func spokenRestore(t *testing.T) spoken {
	t.Helper()
	card := fixture.Card(t, "gpt-fat-ext4")
	src := blocksOf(t, card)
	o := keeping(t, src, card, 1)
	o.From, o.IDs, o.Device, o.Random = "card", clone.NewIDs, "/dev/sda", rand.Reader
	board, _ := boards.Find("rpi-4-b")
	o.Notes = clone.BoardMisses(board, src, src.Head())
	head := *src.Head()
	head.Table.Notes = []speech.Text{speech.New("a hybrid MBR stands beside the GPT; the GPT counts")}
	head.Unreadable = extent.Of(extent.Extent{Off: 0, Len: 512}, extent.Extent{Off: head.Parts[1].Extent.Off, Len: 512})
	head.Areas = []manifest.Area{{Name: "boot0", Size: 1 << 20}}
	head.Parts = slices.Clone(head.Parts)
	head.Parts[1].FS.Dirty, head.Parts[1].Why = true, "…"
	facts := disk.Facts{Disk: disk.Disk{Path: "/dev/sdb", Size: 8 << 30, Sector: 512}, Holds: disk.Untold}
	plan, err := clone.PlanRestore(&head, facts, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Notes) < 8 || len(plan.Stays) != 1 {
		t.Fatalf("it has few notes:\n%s", plan)
	}
	return plan
}

func spokenMerge(t *testing.T) spoken {
	t.Helper()
	one, two := blocksOf(t, fixture.Card(t, "pi-mbr-fat-ext4")), blocksOf(t, fixture.Card(t, "gpt-fat-ext4"))
	m := merge(t, one, two, one.Head(), two.Head())
	plan, err := clone.PlanRestore(m.Head(), disk.Facts{Disk: disk.Disk{Path: "target", Size: 1 << 30, Sector: 512}, File: true},
		clone.Options{From: "card", Guests: m.Guests(), Notes: m.Notes()})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func spokenGrowth(t *testing.T, card string, size int64) spoken {
	t.Helper()
	src := blocksOf(t, fixture.Card(t, card))
	plan, err := clone.PlanGrow(src.Head(), disk.Facts{Disk: disk.Disk{Path: "card", Size: size, Sector: 512}}, clone.GrowLast)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func spokenRepair(t *testing.T) spoken {
	t.Helper()
	card := fixture.Card(t, "pi-mbr-fat-ext4")
	b, err := os.ReadFile(card)
	if err == nil {
		err = os.WriteFile(card, bytes.ReplaceAll(b, []byte("PARTUUID=6c696665"), []byte("PARTUUID=deadbeef")), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	src := blocksOf(t, card)
	src.Head().Parts[1].FS.Dirty = true // its files are not mended, and that is told
	plan, err := clone.PlanFixBoot(src.Head(), clone.BootTrees(src, src.Head()), disk.Facts{Disk: disk.Disk{Path: "card", Size: src.Head().Size, Sector: 512}})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Wrong) == 0 || len(plan.Repairs) == 0 || len(plan.Left) == 0 {
		t.Fatalf("it says little:\n%s", plan)
	}
	return plan
}
