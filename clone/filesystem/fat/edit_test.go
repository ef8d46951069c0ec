package fat_test

import (
	"maps"
	"slices"
	"testing"
)

// Each edit is judged by fsck.vfat, and at the end mtools reads all files.
func TestEdit(t *testing.T) {
	t.Parallel()
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			path := mkfs(t, k.size, k.args...)
			f, size := openFile(t, path)
			e := edit(t, f, size)
			want := map[string]string{"overlays/": "", "empty/": "", "deep/": "", "deep/er/": "", "deep/er/still/": ""}
			do := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			do(e.MkdirAll("overlays"))
			do(e.Mkdir("empty"))
			do(e.MkdirAll("deep/er/still"))
			files := samples(60, int(open(t, path).ClusterSize())*5/2)
			for i, name := range slices.Sorted(maps.Keys(files)) {
				to := "overlays/" + name
				if i%5 == 0 {
					to = "deep/er/still/" + name
				}
				do(e.WriteFile(to, []byte(files[name])))
				want[to] = files[name]
				if i%7 == 0 {
					do(e.Sync())
					clean(t, path)
				}
			}
			do(e.WriteFile("config.txt", []byte("one")))
			do(e.WriteFile("CONFIG.TXT", []byte("two")))
			want["config.txt"] = "two"
			do(e.Remove("empty"))
			delete(want, "empty/")
			do(e.Sync())
			clean(t, path)
			sameTree(t, tree(t, open(t, path)), want)
			sameTree(t, mcopyOut(t, path), asMtools(want))
			check(t, open(t, path))
			for name := range files {
				if _, err := e.FS().Stat("overlays/" + name); err == nil {
					do(e.Remove("overlays/" + name))
					delete(want, "overlays/"+name)
				}
			}
			do(e.Close())
			clean(t, path)
			sameTree(t, mcopyOut(t, path), asMtools(want))
		})
	}
}

type kind struct {
	name string
	size int64
	args []string
}

func kinds() []kind {
	return []kind{
		{"fat12", 4 << 20, []string{"-F", "12"}},
		{"fat12-odd", 1400 << 10, []string{"-F", "12", "-s", "1", "-f", "1"}},
		{"fat16", 16 << 20, []string{"-F", "16", "-s", "2"}},
		{"fat16-4096", 64 << 20, []string{"-F", "16", "-S", "4096", "-s", "1"}},
		{"fat32", 40 << 20, []string{"-F", "32", "-s", "1"}},
		{"fat32-8", 300 << 20, []string{"-F", "32", "-s", "8", "-f", "1"}},
		{"fat32-4096", 300 << 20, []string{"-F", "32", "-S", "4096", "-s", "1"}},
	}
}
