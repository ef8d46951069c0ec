package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/internal/fixture"
)

// TestDamagedBase backs a mounted system up whose last snapshot lost its bytes:
// all is read, the damage is told, and the next snapshot is whole.
func TestDamagedBase(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	fixture.Need(t, "mke2fs", "sfdisk", "losetup", "addpart", "chroot", "mount", "unshare")
	b := &bench{TB: t, dir: t.TempDir(), sectors: map[string]int64{}}
	b.tool = filepath.Join(b.dir, "lifeboat")
	b.run("CGO_ENABLED=0 go build -trimpath -ldflags=-s -o " + b.tool + " .")
	b.system(160)
	outside := b.tool
	b.tool = "unshare --mount sh enter.sh"
	b.run(b.tool + " repo init /repo")
	log := func(change string) string {
		b.run(change + "; sync; " + b.lifeboat("backup / /repo"))
		text, err := os.ReadFile(filepath.Join(b.dir, "lifeboat.log"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const grow = "find root/usr -type f | head -n 20 | while read -r f; do echo more >> $f; done"
	for _, c := range []struct {
		change string
		want   []string
	}{
		{grow, []string{"all was read: there is no earlier snapshot"}},
		{grow, []string{"what may have changed"}},
		{grow + "; find repo -name '*.cacnk' -exec truncate -s 9 {} +", []string{
			"once more, and all is read", ": it is put anew", "all was read: the snapshot that goes before: ", "but: the repository is damaged (the snapshot that goes before: ",
		}},
		{grow, []string{"all was read: what is known here is not of the series' last snapshot"}},
	} {
		got := log(c.change)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("behind %s: got %s\nwant %q in it", c.change, got, want)
			}
		}
	}
	b.tool = outside
	b.run(b.lifeboat("restore --grow=none repo@latest card.img"))
	fixture.Check(t, filepath.Join(b.dir, "card.img"))
}
