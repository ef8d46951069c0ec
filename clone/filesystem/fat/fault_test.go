package fat_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lifeboat/clone/filesystem/fat"
	"lifeboat/internal/fixture"
)

const longA, longB = "overlays/a long name that takes more than a few slots of its folder.dtbo", "overlays/another long name.txt"

// change is one thing that an editor does, and what it does to the tree.
type change struct {
	name string
	do   func(e *fat.Editor) error
	want func(t map[string]string)
}

func changes() []change {
	big := strings.Repeat("new and much larger. ", 700)
	put := func(name, data string) change {
		return change{"write " + name, func(e *fat.Editor) error { return e.WriteFile(name, []byte(data)) },
			func(t map[string]string) { t[name] = data }}
	}
	rename := func(from, to string) change {
		return change{"rename " + from + " to " + to, func(e *fat.Editor) error { return e.Rename(from, to) },
			func(t map[string]string) { t[to] = t[from]; delete(t, from) }}
	}
	remove := func(name string) change {
		return change{"remove " + name, func(e *fat.Editor) error { return e.Remove(strings.TrimSuffix(name, "/")) },
			func(t map[string]string) { delete(t, name) }}
	}
	return []change{
		put("config.txt", "small"), put("config.txt", big), put("config.txt", ""), put("new.txt", big),
		put("overlays/new file with a long name that makes the folder grow.dtbo", big),
		put("overlays/"+strings.Repeat("n", 255), "long name"), put(longA, "short"),
		{"make folder", func(e *fat.Editor) error { return e.MkdirAll("overlays/x/y y y y y y y y y y y y y y y") },
			func(t map[string]string) { t["overlays/x/"], t["overlays/x/y y y y y y y y y y y y y y y/"] = "", "" }},
		remove("cmdline.txt"), remove(longA), remove("empty/"),
		rename("cmdline.txt", "other.txt"), rename("cmdline.txt", "config.txt"), rename(longA, longB),
		rename(longA, "moved to the root with a long name.txt"), rename("cmdline.txt", "overlays/"+strings.Repeat("c", 255)),
	}
}

// Power fails at each write of each change. What fsck.vfat then finds is at
// most clusters and slots that belong to nobody; all files that were not meant
// are as they were, those that were are old or new; and a second try succeeds.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "fsck.vfat")
	for _, k := range []kind{
		{"fat12", 1 << 20, []string{"-F", "12", "-s", "1", "-f", "1"}},
		{"fat16", 3 << 20, []string{"-F", "16", "-s", "1"}},
		{"fat32", 2 << 20, []string{"-F", "32", "-s", "1"}}, // fewer clusters than others take, but fsck.vfat does
	} {
		base := furnished(t, k)
		for _, c := range changes() {
			t.Run(k.name+" "+c.name, func(t *testing.T) {
				t.Parallel()
				for n := 0; ; n++ {
					if cutAt(t, base, c, n) {
						if n < 1 {
							t.Errorf("got %d writes, want some", n)
						}
						return
					}
				}
			})
		}
	}
}

// furnished is an image with a few files and an almost full folder.
func furnished(t *testing.T, k kind) []byte {
	t.Helper()
	b, err := os.ReadFile(mkfs(t, k.size, k.args...))
	if err != nil {
		t.Fatal(err)
	}
	m := disk(b)
	e := edit(t, m, k.size)
	err = errors.Join(e.MkdirAll("overlays"), e.Mkdir("empty"),
		e.WriteFile("config.txt", []byte(strings.Repeat("old ", 1000))), e.WriteFile("cmdline.txt", []byte("root=PARTUUID")),
		e.WriteFile(longA, []byte(strings.Repeat("A", 3000))), e.WriteFile("overlays/some.dtbo", []byte("some")))
	for i := 0; i < 4; i++ {
		err = errors.Join(err, e.WriteFile("overlays/"+sampleName(i), []byte(sampleName(i))))
	}
	if err := errors.Join(err, e.Close()); err != nil {
		t.Fatal(err)
	}
	return m.b
}

// cutAt lets write n of a change fail, and tells whether there was none.
func cutAt(t *testing.T, base []byte, c change, n int) (done bool) {
	t.Helper()
	size := int64(len(base))
	m := disk(base)
	m.fail = n
	e := edit(t, m, size)
	err := errors.Join(c.do(e), e.Close())
	if err != nil && !errors.Is(err, errPower) {
		t.Fatalf("write %d: got %v, want %v", n, err, errPower)
	}
	before := tree(t, edit(t, disk(base), size).FS())
	after := maps.Clone(before)
	c.want(after)
	got := tree(t, edit(t, m, size).FS())
	when := fmt.Sprintf("write %d of %.60s", n, c.name)
	if err == nil {
		onlySays(t, when, fsck(t, m.b), faultless())
		sameTree(t, got, after)
		return true
	}
	onlySays(t, when, fsck(t, m.b), harmless())
	oldOrNew(t, when, got, before, after)
	if strings.HasPrefix(c.name, "write") {
		m.fail = -1
		again := edit(t, m, size)
		if err := errors.Join(c.do(again), again.Close()); err != nil {
			t.Errorf("%s: second try: %v", when, err)
		}
		// the sum is right, but not if what belongs to nobody were free
		onlySays(t, when+", second try", fsck(t, m.b), append(harmless(), "Free cluster summary wrong", "Auto-correcting."))
		sameTree(t, tree(t, again.FS()), after)
	}
	return false
}

// fsck is what fsck.vfat says of an image.
func fsck(t *testing.T, b []byte) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(image, b, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(image)
	out, _ := fixture.Try(t, "fsck.vfat", "-n", image)
	return out
}

// oldOrNew holds that each file is as it was before or as it is to be after.
func oldOrNew(t *testing.T, when string, got, before, after map[string]string) {
	t.Helper()
	names := maps.Clone(before)
	maps.Copy(names, after)
	maps.Copy(names, got)
	for name := range names {
		g, isThere := got[name]
		b, wasThere := before[name]
		a, willBe := after[name]
		if old, fresh := isThere == wasThere && g == b, isThere == willBe && g == a; !old && !fresh {
			t.Errorf("%s: %.40s: got %d bytes (there: %v), want the old or the new content", when, name, len(g), isThere)
		}
	}
}

// What fsck.vfat says of a file system without faults, and what it may say
// after a power cut: all of it is about things that belong to nobody.
func faultless() []string {
	return []string{"fsck.fat 4.2", "files, ", "Warning: Filesystem is FAT32", "but has only", "This may lead to problems"}
}

func harmless() []string {
	return append(faultless(), "Leaving filesystem unchanged", "Free cluster summary uninitialized",
		"Reclaimed ", "Reclaiming unconnected clusters", "Orphaned long file name part", "Auto-deleting.",
		"FATs differ but appear to be intact", "Using first FAT")
}

// onlySays holds the lines of fsck.vfat against those that are allowed.
func onlySays(t *testing.T, when, out string, allowed []string) {
	t.Helper()
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if line != "" && !slices.ContainsFunc(allowed, func(s string) bool { return strings.Contains(line, s) }) {
			t.Errorf("%s: fsck.vfat says %q", when, line)
		}
	}
}
