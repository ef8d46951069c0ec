package uinit_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"lifeboat/initramfs/uinit"
	"lifeboat/internal/fixture"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true},
		{"", "a", false},
		{"a", "", false},
		{"*", "", true},
		{"**", "abc", true},
		{"a*c", "abbbc", true},
		{"a*c", "abbbcd", false},
		{"a*b*c", "aXbYbZc", true},
		{"?", "x", true},
		{"?", "", false},
		{"a?c", "a/c", true},
		{"*", "a/b/c", true}, // no meaning of '/'
		{"[0-9]", "7", true},
		{"[0-9]", "x", false},
		{"[0-9a-f]x", "bx", true},
		{"[a-", "a", false}, // never closed
		{"[]", "]", false},
		{"[a-]", "-", true},
		{"usb:v0781p*d*dc*dsc*dp*ic08isc06ip50in*", "usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00", true},
		{"usb:v*p*d*dc*dsc*dp*ic08isc06ip62in*", "usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00", false},
		{"of:N*T*Cbrcm,bcm2835-sdhostC*", "of:NmmcT(null)Cbrcm,bcm2835-sdhostCfoo", true},
		{"of:N*T*Cbrcm,bcm2835-sdhost", "of:NmmcT(null)Cbrcm,bcm2835-sdhost", true},
		{"pci:v00008086d0000[12]*sv*", "pci:v00008086d00002934sv0000", true},
		{"fs-ext4", "fs-ext4", true},
	} {
		if got := uinit.Match(c.pattern, c.s); got != c.want {
			t.Errorf("match(%q, %q) = %v, want %v", c.pattern, c.s, got, c.want)
		}
	}
}

// A pattern of many stars must not take time that grows with their number.
func TestMatchManyStars(t *testing.T) {
	t.Parallel()
	if uinit.Match(strings.Repeat("a*", 500)+"b", strings.Repeat("a", 20000)) {
		t.Error("a*a*…b matched a string without b")
	}
}

func TestNormal(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"snd-pcm":       "snd_pcm",
		"a[0-9]-b[c-d]": "a[0-9]_b[c-d]",
		"plain":         "plain",
	} {
		if got := uinit.Normal(in); got != want {
			t.Errorf("normal(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("a*[0-9]?", "abc7x")
	f.Add("[a-", "-")
	f.Add("usb:v*p*in*", "usb:v1p2in3")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		got := uinit.Match(pattern, s)
		if got && !uinit.Match("*"+pattern+"*", s) {
			t.Errorf("%q fits %q, but not with stars around it", pattern, s)
		}
		if !strings.ContainsAny(pattern, "*?[") && got != (pattern == s) {
			t.Errorf("match(%q, %q) = %v", pattern, s, got)
		}
	})
}

// kmod's own modprobe judges what an alias stands for, with the indexes of the
// kernel of User-Mode Linux and names that Debian's has not.
func TestAliasesAsModprobe(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "modprobe", "depmod")
	dirs, _ := filepath.Glob("/usr/lib/uml/modules/*/modules.alias.bin")
	if len(dirs) == 0 {
		fixture.Missing(t, "the modules of user-mode-linux")
	}
	dir := filepath.Dir(dirs[0])
	root := t.TempDir()
	if err := os.MkdirAll(root+"/lib/modules", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, root+"/lib/modules/"+filepath.Base(dir)); err != nil {
		t.Fatal(err)
	}
	x, err := uinit.ReadIndex(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	builtin, err := os.ReadFile(dir + "/modules.builtin")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{
		"fs-vfat", "fs-f2fs", "fs-xfs", "nls_cp437", "nls-cp437", "crypto-crc32c", "crypto-lz4", "net-pf-16-proto-16-family-nbd",
		"scsi:t-0x00", "scsi:t-0x05", "block-major-7-0", "devname:loop-control", "char-major-10-237", "virtio:d00000001v00000400", "no-such-alias",
	}
	for _, name := range names {
		out, _ := fixture.Try(t, "modprobe", "-d", root, "-S", filepath.Base(dir), "-R", name)
		var want []string
		if !strings.Contains(out, "not found") {
			want = strings.Fields(strings.ReplaceAll(out, "-", "_"))
		}
		want = slices.DeleteFunc(want, func(m string) bool { // nothing is to be loaded for those
			return strings.Contains(uinit.Normal(string(builtin)), "/"+m+".ko")
		})
		got := slices.Compact(slices.Sorted(slices.Values(x.ByAlias(name))))
		slices.Sort(want)
		if want = slices.Compact(want); !slices.Equal(got, want) && !(len(got) == 0 && len(want) == 1 && want[0] == uinit.Normal(name)) {
			t.Errorf("%s: got %q, modprobe says %q", name, got, want)
		}
	}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	x, err := uinit.ReadIndex(fstest.MapFS{
		"modules.dep": {Data: []byte("kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko\n" +
			"kernel/fs/jbd2/jbd2.ko:\nkernel/lib/crc16.ko:\nkernel/drivers/usb-storage.ko.xz: \nnonsense\n")},
		"modules.alias":   {Data: []byte("# Aliases\nalias fs-ext4 ext4\nalias usb:v*ic08* usb-storage\nalias short\n")},
		"modules.softdep": {Data: []byte("# Soft\nsoftdep ext4 pre: crypto-crc32c a-b post: late\nsoftdep\nsoftdep x y\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := x.Deps("ext4"); !slices.Equal(got, []string{"crc16", "jbd2"}) {
		t.Errorf("dependencies of ext4, in the order of loading: got %q, want crc16 jbd2", got)
	}
	if got := x.ByAlias("fs_ext4"); !slices.Equal(got, []string{"ext4"}) {
		t.Errorf("fs_ext4: got %q, want ext4", got)
	}
	if got := x.ByAlias("usb:v1ic08"); !slices.Equal(got, []string{"usb_storage"}) {
		t.Errorf("usb: got %q, want usb_storage", got)
	}
	pre, post := x.Softdeps("ext4")
	if !slices.Equal(pre, []string{"crypto_crc32c", "a_b"}) || !slices.Equal(post, []string{"late"}) {
		t.Errorf("softdeps of ext4: got %q and %q", pre, post)
	}
	if _, err := uinit.ReadIndex(fstest.MapFS{}); err == nil {
		t.Error("a folder without modules.dep gave no error")
	}
}

func FuzzIndex(f *testing.F) {
	f.Add("a.ko: b.ko", "alias x y", "softdep a pre: b post: c")
	f.Fuzz(func(t *testing.T, dep, alias, soft string) {
		x, err := uinit.ReadIndex(fstest.MapFS{
			"modules.dep": {Data: []byte(dep)}, "modules.alias": {Data: []byte(alias)}, "modules.softdep": {Data: []byte(soft)},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range x.ByAlias("usb:v1") {
			if strings.Contains(m, " ") {
				t.Errorf("module %q", m)
			}
		}
	})
}
