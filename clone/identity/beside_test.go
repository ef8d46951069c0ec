package identity_test

import (
	"slices"
	"testing"

	"lifeboat/clone/identity"
	"lifeboat/clone/manifest"
)

// pair are a disk with a boot part alone, and one with root and swap.
func pair() (boot, root *manifest.Head) {
	boot, root = card("0000b007"), card("00000007")
	boot.Table.Entries, boot.Parts = boot.Table.Entries[:1], boot.Parts[:1]
	root.Table.Entries, root.Parts = root.Table.Entries[1:], root.Parts[1:]
	return boot, root
}

// TestCheckTwoDisks: what one disk does not have may be on the other.
func TestCheckTwoDisks(t *testing.T) {
	t.Parallel()
	boot, root := pair()
	onBoot := tree("cmdline.txt", "root=PARTUUID=00000007-02 rootwait")
	onRoot := tree("etc/fstab", "PARTUUID=0000b007-01 /boot/firmware vfat defaults 0 2\nUUID="+rootUUID+" / ext4 defaults 0 1\n")
	for _, c := range []struct {
		name   string
		a, b   *manifest.Head
		boot   memory
		root   memory
		bad    int // without the other disk
		still  int // with it
		beside int // references that lead to the other disk
	}{
		{"the one that boots", boot, root, onBoot, memory{}, 1, 0, 1},
		// Alone it has nothing that boots, and the boot part is missing.
		{"the one with the root", root, boot, memory{}, onRoot, 2, 0, 1},
		{"by place", boot, root, tree("cmdline.txt", "root=/dev/nvme0n1p2"), memory{}, 1, 0, 1},
		{"by place, of a part that cannot be a root", boot, root, tree("cmdline.txt", "root=/dev/nvme0n1p3"), memory{}, 1, 1, 0},
		{"on neither", boot, root, tree("cmdline.txt", "root=PARTUUID=00000008-02"), memory{}, 1, 1, 0},
		{"no root=", boot, root, tree("cmdline.txt", "quiet"), memory{}, 0, 1, 0},
	} {
		serious := func(f identity.Finding) bool { return f.Serious() }
		alone, err := identity.Check(c.a, files(c.boot), files(c.root))
		if err != nil {
			t.Fatal(err)
		}
		both, err := identity.Check(c.a, files(c.boot), files(c.root), c.b)
		if err != nil {
			t.Fatal(err)
		}
		count := func(all []identity.Finding, is func(identity.Finding) bool) int {
			return len(all) - len(slices.DeleteFunc(slices.Clone(all), is))
		}
		if got := count(alone, serious); got != c.bad {
			t.Errorf("%s, alone: %d are serious, want %d: %+v", c.name, got, c.bad, alone)
		}
		if got := count(both, serious); got != c.still {
			t.Errorf("%s, with the other disk: %d are serious, want %d: %+v", c.name, got, c.still, both)
		}
		if got := count(both, func(f identity.Finding) bool { return f.Elsewhere }); got != c.beside {
			t.Errorf("%s: %d lead to the other disk, want %d: %+v", c.name, got, c.beside, both)
		}
	}
}

// TestRootOf: which part the boot files name, as they are and as they will be.
func TestRootOf(t *testing.T) {
	t.Parallel()
	h := card("00000007")
	for _, c := range []struct {
		text    string
		changes map[string]string
		want    int
	}{
		{"root=PARTUUID=00000007-02", nil, 2},
		{"root=PARTUUID=00000008-01", nil, 0},
		{"root=PARTUUID=00000008-01", map[string]string{"00000008-01": "00000007-02"}, 2},
		{"root=/dev/nvme0n1p1", map[string]string{"/dev/nvme0n1p1": "PARTUUID=00000007-02"}, 2},
		{"root=LABEL=rootfs", nil, 2},
		{"quiet", nil, 0},
	} {
		got, err := identity.RootOf(h, tree("cmdline.txt", c.text), c.changes)
		if err != nil || got != c.want {
			t.Errorf("%s with %v: got %d, %v, want %d", c.text, c.changes, got, err, c.want)
		}
	}
}
