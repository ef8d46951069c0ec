package house

import (
	"path"
	"strings"
	"testing"

	"lifeboat/internal/fixture"
)

const module = "lifeboat/"

// forTests is the rank of what only tests import.
const forTests = 100

// rows are the layers of docs: imports go down only, a row knows none of its
// own, but for a package and the folders inside it.
var rows = []struct {
	rank     int
	packages []string
}{
	{forTests, []string{"internal/fixture", "internal/powerloss", "internal/vmtest", "internal/vmtest/guestinit", "internal/vmtest/boardinit", "internal/house", "clone/store/storetest"}},
	{6, []string{"cmd/lifeboat"}}, // asks, prints, exits; joins the flows
	{5, []string{"netboot", "initramfs", "initramfs/uinit", "internal/nightly"}}, // the worlds around the engine
	{4, []string{"clone"}}, // the engine
	{3, []string{"clone/layout", "clone/identity", "clone/fit", "clone/live", "clone/increment", "clone/image", "clone/repo", "clone/tree"}}, // stages
	{2, []string{"clone/disk", "clone/store", "clone/codec", "clone/filesystem",
		"clone/filesystem/ext4", "clone/filesystem/fat", "clone/filesystem/swap"}}, // devices, places, packings, file systems
	{1, []string{"clone/manifest", "boards", "internal/progress", "internal/atomicfile", "internal/memory", "internal/onefile"}}, // data
	{0, []string{"clone/extent", "internal/speech"}}, // words
}

func rankOf(pkg string) (int, bool) {
	for _, row := range rows {
		for _, p := range row.packages {
			if p == pkg {
				return row.rank, true
			}
		}
	}
	return 0, false
}

// TestLayers holds the arrows: whoever imports upwards or sideways has put code
// into the wrong room.
func TestLayers(t *testing.T) {
	t.Parallel()
	for _, f := range folders(t) {
		rank, known := rankOf(f.name)
		if !known {
			t.Errorf("package %s has no rank: add it to rows, and to the picture in docs", f.name)
			continue
		}
		for _, s := range f.files {
			if s.test() {
				continue
			}
			for _, i := range s.tree.Imports {
				to, ours := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), module)
				if toRank, _ := rankOf(to); ours && toRank >= rank && !family(f.name, to) && rank != forTests {
					t.Errorf("%s imports %s, which is not below it", s.name, to)
				}
			}
		}
	}
}

// family tells whether one folder lies in the other.
func family(a, b string) bool {
	return strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/") && path.Dir(b) == a
}

// TestShipped holds that nothing of the tests is linked into the tool.
func TestShipped(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "go")
	out := fixture.Run(t, "go", "-C", fixture.Top(t), "list", "-deps", "./cmd/lifeboat")
	for dep := range strings.FieldsSeq(out) {
		pkg, ours := strings.CutPrefix(dep, module)
		rank, _ := rankOf(pkg)
		if dep == "testing" || ours && rank == forTests {
			t.Errorf("the tool links %s, which is for tests", dep)
		}
	}
}
