package powerloss_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lifeboat/clone"
	"lifeboat/clone/extent"
	"lifeboat/internal/fixture"
	"lifeboat/internal/powerloss"
)

// TestSnapshots lets the power of cards fail that are being written to, and
// brings what is left to a larger one.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	snapshots(t, layouts[:shortLayouts], 150, 1, 7, nil)
}

// TestSnapshotsOften is the campaign. Other people's tools get the same cards.
func TestSnapshotsOften(t *testing.T) {
	t.Parallel()
	fixture.Long(t)
	fixture.Need(t, "partclone.ext4", "e2image")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var p peers
	t.Run("of", func(t *testing.T) {
		for some := range slices.Chunk(layouts, 8) {
			snapshots(t, some, 700, 4, seed, &p)
		}
	})
	t.Log(p.String())
}

// The cards: one part for the file system, and one for a journal if it has one.
const (
	cardSize    = 64 * mib
	partOff     = 4 * mib
	partSize    = 44 * mib
	journalOff  = 52 * mib
	journalSize = 8 * mib
)

// snapshots lets the kernel write to a card of each layout, and judges each as
// it may be at some instants.
func snapshots(t *testing.T, of []layoutCase, changes, instants int, seed uint64, p *peers) {
	t.Helper()
	fixture.Root(t)
	fixture.Need(t, "mke2fs", "e2fsck", "sfdisk", "mount", "umount", "losetup")
	logs := make([]*powerloss.Log, len(of))
	var disks []*powerloss.Disk
	var orders []order
	for i, l := range of {
		d := powerloss.Open(t, l.make(t))
		disks = append(disks, d)
		o := order{Node: loop(t, d.Path(), partOff, partSize), Dir: t.TempDir(), Changes: changes, Seed: seed + uint64(i)}
		o.Options = strings.Trim(l.Options+","+l.journalOption(t, d.Path()), ",")
		orders = append(orders, o)
	}
	letWrite(t, orders, func() {
		for i, d := range disks {
			logs[i] = d.Log()
		}
	})
	for i, l := range of {
		t.Run(l.Name, func(t *testing.T) {
			t.Parallel()
			l.snapshots(t, logs[i], instants, seed+uint64(i), p)
		})
	}
}

// make makes the card of a layout.
func (l layoutCase) make(t *testing.T) string {
	t.Helper()
	card := fixture.Sparse(t, "card", cardSize)
	table := fmt.Sprintf(`label: dos\nlabel-id: 0x63726173\nstart=%d,size=%d,type=83\n`, partOff/512, partSize/512)
	if l.Journal == "" {
		script(t, card, table)
		args := slices.Concat([]string{"-q", "-F", "-E", fmt.Sprintf("offset=%d", partOff)}, strings.Fields(l.Args), []string{card, fmt.Sprintf("%dk", partSize/1024)})
		fixture.Run(t, "mke2fs", args...)
		return card
	}
	script(t, card, table+fmt.Sprintf(`start=%d,size=%d,type=83\n`, journalOff/512, journalSize/512))
	journal, part := loop(t, card, journalOff, journalSize), loop(t, card, partOff, partSize)
	fixture.Run(t, "mke2fs", slices.Concat([]string{"-q", "-F"}, strings.Fields(l.Journal), []string{journal})...)
	fixture.Run(t, "mke2fs", slices.Concat([]string{"-q", "-F", "-J", "device=" + journal}, strings.Fields(l.Args), []string{part})...)
	fixture.Run(t, "sync", "-f", card)
	return card
}

func script(t *testing.T, card, table string) {
	t.Helper()
	fixture.Run(t, "sh", "-c", fmt.Sprintf("printf '%s' | sfdisk -q --no-tell-kernel %s", table, card))
}

// loop lays a loop device over a part of a file, until the test's end.
func loop(t *testing.T, file string, off, size int64) string {
	t.Helper()
	node := strings.TrimSpace(fixture.Run(t, "losetup", "-f", "--show", "-o", fmt.Sprint(off), "--sizelimit", fmt.Sprint(size), file))
	t.Cleanup(func() {
		// The test's context has ended: fixture.Run would start nothing.
		if out, err := exec.Command("losetup", "-d", node).CombinedOutput(); err != nil {
			t.Errorf("losetup -d %s: %v: %s", node, err, out)
		}
	})
	return node
}

// journalOption names the device of a journal that has a part of its own.
func (l layoutCase) journalOption(t *testing.T, disk string) string {
	t.Helper()
	if l.Journal == "" {
		return ""
	}
	return "journal_path=" + loop(t, disk, journalOff, journalSize)
}

// snapshots judges a card at some instants of its log: every second one is
// that before a sync, when most writes can be lost.
func (l layoutCase) snapshots(t *testing.T, log *powerloss.Log, instants int, seed uint64, p *peers) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	m := log.Medium(t)
	syncs := log.Syncs()
	waiting, last := 0, 0
	for i := range instants {
		step := log.Len() / (instants + 1)
		at := max(last, step*(i+1)+rnd.IntN(step+1))
		if next, _ := slices.BinarySearch(syncs, at); i%2 == 0 && next < len(syncs) {
			at = syncs[next]
		}
		last = at
		m.To(at)
		lost := m.Pending()
		m.Tear(rnd)
		card := m.Copy(t)
		m.Mend()
		t.Run(fmt.Sprintf("%d of %d", at, log.Len()), func(t *testing.T) {
			t.Logf("%d writes were not safe", lost)
			if l.judge(t, card, rnd.IntN(2) == 0, p) {
				waiting++
			}
		})
		must(t, os.Remove(card))
	}
	if waiting < instants/2 {
		t.Errorf("only %d of %d cards had a journal that waited for its replay", waiting, instants)
	}
}

// judge brings what was left of a card to a larger, used one, and tells whether
// its file system had to be repaired.
func (l layoutCase) judge(t *testing.T, card string, packed bool, p *peers) bool {
	t.Helper()
	src := openCard(t, card)
	part := src.Head().Parts[0]
	torn := strings.Contains(part.Why, tornCommit)
	refused := l.async() && strings.Contains(part.Why, badBlock)
	if !torn && !refused && ((part.Why == "") != (l.Why == "") || !strings.Contains(part.Why, l.Why)) {
		t.Errorf("all bytes are copied: got the reason %q, want %q", part.Why, l.Why)
	}
	target := fixture.Sparse(t, "target", cardSize+32*mib)
	fill(t, target, 0xa5)
	var from clone.Source = src
	if packed {
		from = openImage(t, pack(t, card, ".img.zst"))
	}
	report, err := restore(t.Context(), t, from, target, clone.KeepIDs)
	if err != nil {
		t.Error(err)
		return part.FS.Dirty
	}
	if l.Journal != "" {
		leftAlone(t, card, target, report)
		return true
	}
	t.Logf("%d of %d bytes were in use", report.Used, int64(cardSize))
	truth, want, err := l.truth(t, card)
	if err != nil && l.fast() { // no kernel can: it is left to who knows more
		if len(report.Reservations) == 0 || !strings.Contains(report.Reservations[0], "fast commits") {
			t.Errorf("the kernel: %v; we: %q", err, report.Reservations)
		}
		return true
	}
	switch {
	case !refused:
		must(t, err)
	case !errors.Is(err, unix.EBADMSG):
		t.Errorf("the kernel trusts a journal that we do not: %v", err)
	}
	l.reserved(t, report)
	copied := fixture.Cut(t, target, fixture.Parts(t, target)[0])
	clean(t, copied)
	got, err := listing(t, copied, "ro")
	must(t, err)
	if torn || refused {
		fixture.Try(t, "e2fsck", "-fy", truth)
		want, err = listing(t, truth, "ro")
		must(t, err)
	}
	if l.fast() {
		want, got = withoutRepairs(want), withoutRepairs(got)
	}
	same(t, want, got)
	if p != nil && part.Why == "" {
		p.compare(t, truth, want)
	}
	return part.FS.Dirty || l.Why != ""
}

// reserved minds reservations that are not this card's.
func (l layoutCase) reserved(t *testing.T, report *clone.Report) {
	t.Helper()
	for _, why := range report.Reservations {
		noRoot := strings.HasPrefix(why, "no part of this disk could be looked into") // it has no fstab
		notGrown := strings.Contains(l.Args, "bigalloc") && strings.Contains(why, "larger place")
		if !noRoot && !notGrown {
			t.Error(why)
		}
	}
}

// leftAlone holds that all bytes were copied and none was changed: e2fsck would
// look for the journal, and find that of the source.
func leftAlone(t *testing.T, card, target string, report *clone.Report) {
	t.Helper()
	all := extent.Of(extent.Extent{Off: partOff, Len: partSize}, extent.Extent{Off: journalOff, Len: journalSize})
	if off := differs(t, card, target, extent.Of(extent.Extent{Len: cardSize}).Subtract(all)); off >= 0 {
		t.Errorf("byte %d of the copy is another; reservations: %q", off, report.Reservations)
	}
	if len(report.Reservations) == 0 || !strings.Contains(report.Reservations[0], "another disk") {
		t.Errorf("got the reservations %q, want one of its journal", report.Reservations)
	}
}

// tornCommit is a word of why all bytes are copied where a commit block of more
// than a sector came to the disk in part. Linux 6.18 takes its transaction, e2fsck
// 1.47 leaves it: nobody was told that it was safe, and both are right.
const tornCommit = "checksum of transaction"

// badBlock is one of why they are where a commit block came to the disk before what
// it commits, which is the price of async commits: Linux does not mount such a card.
const badBlock = "a checksum in transaction"

func (l layoutCase) async() bool { return strings.Contains(l.Options, "journal_async_commit") }

// fast tells whether the journal may hold fast commits.
func (l layoutCase) fast() bool { return strings.Contains(l.Args, "fast_commit") }

// truth is the part of a card as its power loss left it, and what it holds when
// a kernel has replayed its journal. Without one only e2fsck can help.
func (l layoutCase) truth(t *testing.T, card string) (part string, holds map[string]string, err error) {
	t.Helper()
	cut := fixture.Part{Num: 1, Off: partOff, Size: partSize}
	part, again := fixture.Cut(t, card, cut), fixture.Cut(t, card, cut)
	if strings.Contains(l.Args, "^has_journal") {
		fixture.Try(t, "e2fsck", "-fy", again)
	}
	holds, err = listing(t, again, "rw")
	return part, holds, err
}

func clean(t *testing.T, part string) {
	t.Helper()
	if out, code := fixture.Try(t, "e2fsck", "-fn", part); code != 0 {
		t.Errorf("e2fsck -fn: exit code %d\n%s", code, out)
	}
}

func same(t *testing.T, want, got map[string]string) {
	t.Helper()
	if diff := compare(want, got); len(diff) > 0 {
		t.Errorf("%d of %d files differ:\n%s", len(diff), len(want), strings.Join(diff[:min(10, len(diff))], "\n"))
	}
}
