package clone_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lifeboat/boards"
	"lifeboat/clone"
	"lifeboat/clone/identity"
	"lifeboat/clone/manifest"
	"lifeboat/internal/fixture"
	"lifeboat/internal/speech"
)

// packed hides that a source can be read anywhere.
type packed struct{ clone.Source }

// merge puts two disks together. A source that is no *clone.Blocks is as good.
func merge(tb testing.TB, first, second clone.Source, h1, h2 *manifest.Head) *clone.Merged {
	tb.Helper()
	m, err := clone.Merge(first, second, h1, h2, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// onto restores a merged source to a new image file of that size.
func onto(tb testing.TB, m *clone.Merged, size int64, o clone.Options) (string, *clone.Report) {
	tb.Helper()
	to := fixture.Sparse(tb, "one.img", size)
	o.Guests, o.Notes = m.Guests(), m.Notes()
	report, err := restore(tb.Context(), tb, m.Source(), to, o)
	if err != nil {
		tb.Fatal(err)
	}
	return to, report
}

// firmwareRoot is the part that a Raspberry Pi 4's firmware tells the kernel to
// take for its root: found in what sfdisk and blkid say.
func firmwareRoot(tb testing.TB, path string) fixture.Part {
	tb.Helper()
	b := blocksOf(tb, path)
	board, ok := boards.Find("rpi-4-b")
	if !ok {
		tb.Fatal("no such board")
	}
	chain, err := boards.Firmware(clone.BootTrees(b, b.Head()).Boot, board, boards.FirmwareOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	named := regexp.MustCompile(`root=(?:PART)?UUID=(\S+)`).FindStringSubmatch(chain.Args)
	if named == nil {
		tb.Fatalf("the kernel is told %q", chain.Args)
	}
	id := strings.TrimSpace(fixture.Run(tb, "sfdisk", "--disk-id", path))
	for _, p := range fixture.Parts(tb, path) {
		mbr := fmt.Sprintf("%s-%02x", strings.TrimPrefix(id, "0x"), p.Num)
		fsID, _ := fixture.Try(tb, "blkid", "-p", "-o", "value", "-s", "UUID", fixture.Cut(tb, path, p))
		if slices.Contains([]string{strings.ToLower(p.UUID), mbr, strings.TrimSpace(fsID)}, strings.ToLower(named[1])) {
			return p
		}
	}
	tb.Fatalf("no part of %s is %s\n%s", id, named[1], fixture.Run(tb, "sfdisk", "-d", path))
	return fixture.Part{}
}

// boots tells of everything that would not be found at boot, and whether root is
// the part that the kernel takes.
func boots(tb testing.TB, path string, root int) {
	tb.Helper()
	b := blocksOf(tb, path)
	trees := clone.BootTrees(b, b.Head())
	findings, err := identity.Check(b.Head(), trees.Boot, trees.Root)
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range findings {
		if f.Serious() {
			tb.Errorf("%s: %s", path, f.Text)
		}
	}
	if p := firmwareRoot(tb, path); p.Num != root || fixture.FSType(tb, fixture.Cut(tb, path, p)) != "ext4" {
		tb.Errorf("the firmware's root is part %d", p.Num)
	}
}

// Types of a GPT: UEFI 2.10, and the Discoverable Partitions Specification.
const (
	typeBasic = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"
	typeLinux = "0fc63daf-8483-4772-8e79-3d69d8477de4"
	typeSwap  = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"
	typeRoot  = "b921b045-1df0-41c3-af44-4c6f280d3fae" // of arm64
)

// Scripts of sfdisk.
const (
	gptBoot  = "label: gpt\nstart=4MiB, size=40MiB, type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7, uuid=0FC63DAF-0000-4000-8000-00000000000B\n"
	gptRoot  = "label: gpt\nstart=4MiB, size=84MiB, type=B921B045-1DF0-41C3-AF44-4C6F280D3FAE, uuid=0FC63DAF-0000-4000-8000-00000000000A, name=root\nstart=88MiB, size=8MiB, type=swap\n"
	fullBoot = "label: dos\nlabel-id: 0x626f6f74\nstart=4MiB, size=40MiB, type=c\nstart=44MiB, size=1MiB, type=83\nstart=45MiB, size=1MiB, type=83\n"
)

// TestMerge puts a card and a disk together, of all kinds of tables. The card's
// places and numbers stay, the boot's references find the root on it.
func TestMerge(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "sfdisk", "e2fsck", "fsck.vfat", "blkid")
	const bootGUID, rootGUID = "PARTUUID=0fc63daf-0000-4000-8000-00000000000b", "PARTUUID=0fc63daf-0000-4000-8000-00000000000a"
	for _, c := range []struct {
		name string
		pair fixture.Pair
		ids  clone.IDs
		want string // numbers and types in the end; the root is the second disk's first part
		root int
	}{
		{"MBR and MBR", fixture.Pair{}, clone.KeepIDs, "1 c, 2 83, 3 82", 2},
		{"MBR and MBR, new IDs", fixture.Pair{}, clone.NewIDs, "1 c, 2 83, 3 82", 2},
		{"named by place", fixture.Pair{RootRef: "/dev/nvme0n1p1", BootRef: "/dev/mmcblk0p1"}, clone.KeepIDs, "1 c, 2 83, 3 82", 2},
		{"MBR and GPT", fixture.Pair{Root: gptRoot, RootRef: rootGUID}, clone.KeepIDs, "1 c, 2 83, 3 82", 2},
		{"GPT and MBR", fixture.Pair{Boot: gptBoot, BootRef: bootGUID}, clone.NewIDs, "1 " + typeBasic + ", 2 " + typeLinux + ", 3 " + typeSwap, 2},
		{"GPT and GPT", fixture.Pair{Boot: gptBoot, BootRef: bootGUID, Root: gptRoot, RootRef: rootGUID}, clone.KeepIDs, "1 " + typeBasic + ", 2 " + typeRoot + ", 3 " + typeSwap, 2},
		{"no table", fixture.Pair{Root: fixture.NoTable, RootRef: "UUID=11111111-2222-3333-4444-555555555502"}, clone.KeepIDs, "1 c, 2 83", 2},
		{"logical", fixture.Pair{Boot: fullBoot}, clone.NewIDs, "1 c, 2 83, 3 83, 5 83, 6 82", 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			boot, root := c.pair.Make(t)
			a, b := blocksOf(t, boot), blocksOf(t, root)
			var first, second clone.Source = a, b
			if c.ids == clone.NewIDs { // packed images cannot be read anywhere
				first, second = packed{a}, packed{b}
			}
			m := merge(t, first, second, a.Head(), b.Head())
			one, report := onto(t, m, 300<<20, clone.Options{IDs: c.ids})
			if !report.Verified || len(report.Findings) < 3 {
				t.Errorf("%+v", report)
			}
			fixture.Check(t, one)
			if got := types(t, one); got != c.want {
				t.Errorf("got the parts %s\nwant %s", got, c.want)
			}
			boots(t, one, c.root)
			// GUIDs and UUIDs need not change.
			kept := c.ids == clone.KeepIDs && (c.name == "GPT and GPT" || c.name == "no table")
			sameFiles(t, tree(t, root, b.Head().Parts[0].Num), tree(t, one, c.root), "etc/fstab", !kept)
			sameFiles(t, tree(t, boot, 1), tree(t, one, 1), "cmdline.txt", !kept)
			keeps := strings.Contains(fixture.Run(t, "sfdisk", "-d", one), "626f6f74")
			if isMBR := !strings.HasPrefix(c.name, "GPT"); isMBR && keeps != (c.ids == clone.KeepIDs) {
				t.Errorf("the first disk's ID is there: %v", keeps)
			}
		})
	}
}

// types are the numbers and types of the parts, in sfdisk's words.
func types(tb testing.TB, path string) string {
	tb.Helper()
	var all []string
	for _, p := range fixture.Parts(tb, path) {
		all = append(all, fmt.Sprintf("%d %s", p.Num, strings.ToLower(p.Type)))
	}
	return strings.Join(all, ", ")
}

// sameFiles compares two trees, but for a file that must have been edited, or
// not.
func sameFiles(tb testing.TB, want, got map[string]string, file string, edited bool) {
	tb.Helper()
	if len(want) == 0 || edited != (got[file] != want[file]) {
		tb.Errorf("%s: was %q and is %q, among %d files", file, want[file], got[file], len(want))
	}
	delete(want, file)
	delete(got, file)
	if !maps.Equal(want, got) {
		tb.Errorf("got %d files, want %d, and not the same", len(got), len(want))
	}
}

// TestMergeStaleRoot: the card has a root of its own, which nothing names any
// more, with the same UUIDs and labels, as two cards flashed from one image have.
func TestMergeStaleRoot(t *testing.T) {
	t.Parallel()
	boot := fixture.Card(t, "pi-mbr-fat-ext4")
	_, root := fixture.Pair{}.Make(t)
	fixture.DeviceTree(t, boot)
	cmdline := filepath.Join(t.TempDir(), "cmdline.txt")
	if err := os.WriteFile(cmdline, []byte("root=PARTUUID=726f6f74-01 rootwait\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fixture.Run(t, "mcopy", "-o", "-i", boot+"@@4M", cmdline, "::cmdline.txt")
	a, b := blocksOf(t, boot), blocksOf(t, root)
	m := merge(t, a, b, a.Head(), b.Head())
	if text := strings.Join(speech.Strings(m.Notes()), "\n"); !strings.Contains(text, "part 3 has the UUID of part 2") || !strings.Contains(text, `label "rootfs"`) {
		t.Errorf("the notes: %s", text)
	}
	one, report := onto(t, m, 300<<20, clone.Options{})
	for _, text := range report.Reservations {
		if strings.Contains(text, "UUID=626f6f74-01") {
			continue // the fstab of this pair names another card
		}
		t.Errorf("reservation: %s", text)
	}
	fixture.Check(t, one)
	if p := firmwareRoot(t, one); p.Num != 3 {
		t.Errorf("the root is part %d", p.Num)
	}
	h := blocksOf(t, one).Head()
	p2, _ := h.Part(2)
	p3, _ := h.Part(3)
	if p2.FS.UUID == p3.FS.UUID {
		t.Errorf("both roots have the UUID %s", p2.FS.UUID)
	}
	sameFiles(t, tree(t, root, 1), tree(t, one, 3), "etc/fstab", true)
	sameTree(t, boot, one, 2)
}

// TestMergeRefused: what could not be told apart, or would not boot.
func TestMergeRefused(t *testing.T) {
	t.Parallel()
	full := fullBoot + "start=46MiB, size=1MiB, type=83\n"
	extended := fullBoot + "start=46MiB, size=1MiB, type=5\n"
	for _, c := range []struct {
		name string
		pair fixture.Pair
		swap bool
		want string
	}{
		{"one is the copy", fixture.Pair{Root: "label: dos\nlabel-id: 0x626f6f74\nstart=4MiB, size=84MiB, type=83\n"}, false, "both disks have the ID 626f6f74"},
		{"the wrong way round", fixture.Pair{}, true, "the boot part is on the second disk"},
		{"no line is free", fixture.Pair{Boot: full}, false, "an MBR has four lines, and none is free for the 2 parts that come"},
		{"an extended part", fixture.Pair{Boot: extended}, false, "one of which is an extended part already: 2 parts come, for 0 free lines"},
		{"no table in front", fixture.Pair{Root: fixture.NoTable}, true, "nothing boots from it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			boot, root := c.pair.Make(t)
			a, b := blocksOf(t, boot), blocksOf(t, root)
			if c.swap {
				a, b = b, a
			}
			_, err := clone.Merge(a, b, a.Head(), b.Head(), rand.Reader)
			var no *clone.Refusal
			if !errors.As(err, &no) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
