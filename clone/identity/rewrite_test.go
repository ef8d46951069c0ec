package identity_test

import (
	"errors"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lifeboat/clone/identity"
)

var changes = map[string]string{
	"deadbeef-01":    "1234abcd-01",
	"deadbeef-02":    "1234abcd-02",
	"5DE4-665C":      "12AB-34CD",
	rootUUID:         "99999999-bbc2-4267-9fa0-099e10ef5bf0",
	"LABEL=my disk":  "LABEL=new",
	"/dev/mmcblk0p1": "/dev/sda1",
	"/dev/mmcblk0p2": "/dev/nvme0n1p2",
}

func TestRewrite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"console=serial0,115200 root=PARTUUID=deadbeef-02 rootwait", "console=serial0,115200 root=PARTUUID=1234abcd-02 rootwait"},
		{"root=PARTUUID=DEADBEEF-02", "root=PARTUUID=1234ABCD-02"},
		{"root=PARTUUID=deadbeef-01/PARTNROFF=1", "root=PARTUUID=1234abcd-01/PARTNROFF=1"},
		{"root=PARTUUID=deadbeef-0a PARTUUID=deadbeef-021", "root=PARTUUID=deadbeef-0a PARTUUID=deadbeef-021"},
		{"boot=UUID=5DE4-665C disk=UUID=" + rootUUID + " quiet", "boot=UUID=12AB-34CD disk=UUID=99999999-bbc2-4267-9fa0-099e10ef5bf0 quiet"},
		{"UUID=5de4-665c", "UUID=12ab-34cd"},
		{"cryptdevice=UUID=5DE4-665C:name", "cryptdevice=UUID=12AB-34CD:name"},
		{"/dev/mmcblk0p2 / ext4\n/dev/mmcblk0p20 /x ext4", "/dev/nvme0n1p2 / ext4\n/dev/mmcblk0p20 /x ext4"},
		{"/dev/mmcblk0p2/file x/dev/mmcblk0p2 /dev/mmcblk0p2.img", "/dev/mmcblk0p2/file x/dev/mmcblk0p2 /dev/mmcblk0p2.img"},
		{`UUID="` + rootUUID + `" / ext4`, `UUID="99999999-bbc2-4267-9fa0-099e10ef5bf0" / ext4`},
		{"/dev/disk/by-partuuid/deadbeef-01 /boot", "/dev/disk/by-partuuid/1234abcd-01 /boot"},
		{"/dev/disk/by-uuid/5DE4-665C /boot", "/dev/disk/by-uuid/12AB-34CD /boot"},
		{`LABEL=my\040disk /x` + "\n" + `/dev/disk/by-label/my\x20disk /x` + "\n" + `LABEL="my disk" LABEL=mydisk`, "LABEL=new /x\n/dev/disk/by-label/new /x\n" + `LABEL="new" LABEL=mydisk`},
		{"PARTLABEL=my disk", "PARTLABEL=my disk"},
		{"PTUUID=deadbeef-02 XPARTUUID=deadbeef-02 partuuid=deadbeef-02 deadbeef-02", "PTUUID=deadbeef-02 XPARTUUID=deadbeef-02 partuuid=deadbeef-02 deadbeef-02"},
		{"# PARTUUID=deadbeef-01 old\r\n", "# PARTUUID=1234abcd-01 old\r\n"},
		{"", ""},
	} {
		got, n := identity.Rewrite([]byte(c.in), changes)
		if string(got) != c.want || (n > 0) != (c.in != c.want) {
			t.Errorf("%q: got %q (%d) want %q", c.in, got, n, c.want)
		}
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, to, in, want string }{
		{"/dev/mmcblk0", "/dev/sda", "root=/dev/mmcblk0p2 /dev/mmcblk0p12 /dev/mmcblk1p2", "root=/dev/sda2 /dev/sda12 /dev/mmcblk1p2"},
		{"/dev/mmcblk0", "/dev/nvme0n1", "/dev/mmcblk0p1 /boot", "/dev/nvme0n1p1 /boot"},
		{"/dev/sda", "/dev/mmcblk0", "/dev/sda2 /dev/sdab2", "/dev/mmcblk0p2 /dev/sdab2"},
	} {
		got, _ := identity.Rewrite([]byte(c.in), identity.Devices(c.from, c.to))
		if string(got) != c.want {
			t.Errorf("%s to %s: got %q want %q", c.from, c.to, got, c.want)
		}
	}
}

// broken cannot write its second file.
type broken struct {
	memory
	left *int
}

func (b broken) WriteFile(name string, data []byte) error {
	if *b.left--; *b.left < 0 {
		return fs.ErrPermission
	}
	return b.memory.WriteFile(name, data)
}

func TestApplySaysWhatItChanged(t *testing.T) {
	t.Parallel()
	boot := tree("cmdline.txt", "root=PARTUUID=deadbeef-02")
	root := tree("etc/fstab", "PARTUUID=deadbeef-01 /boot vfat defaults 0 2\nproc /proc proc defaults 0 0\n", "etc/hostname", "PARTUUID=deadbeef-01")
	before := maps.Clone(root.MapFS)
	one := 1
	got, err := identity.Apply(changes, broken{boot, &one}, broken{root, &one})
	if want := []string{"boot part: cmdline.txt"}; !slices.Equal(got, want) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "etc/fstab") {
		t.Errorf("second write refused: got %q, %v", got, err)
	}
	got, err = identity.Apply(changes, boot, root)
	if want := []string{"root part: etc/fstab"}; !slices.Equal(got, want) || err != nil {
		t.Errorf("second run: got %q, %v want %q", got, err, want)
	}
	if got := string(root.MapFS["etc/hostname"].Data); got != string(before["etc/hostname"].Data) {
		t.Errorf("a file that names no part: got %q", got)
	}
}

func TestHugeFileIsRefused(t *testing.T) {
	t.Parallel()
	boot := tree("cmdline.txt", strings.Repeat("x", 2<<20))
	if refs, err := identity.References(boot, nil); err == nil {
		t.Errorf("got %d references and no error", len(refs))
	}
}

// known is every form that may change, said in another way than the code does.
var known = regexp.MustCompile(`(^|[^0-9A-Za-z_.-])((PART)?UUID=["']?|/dev/disk/by-(part)?uuid/)(?i:deadbeef-0[12]|5DE4-665C|7295bbc3-bbc2-4267-9fa0-099e10ef5bf0)($|[^0-9A-Za-z_.-])` +
	`|(^|[^0-9A-Za-z_./-])/dev/mmcblk0p[12]($|[^0-9A-Za-z_./-])` +
	`|LABEL=.?my( |\\040|\\x20)disk|by-label/my(\\040|\\x20)disk`)

func FuzzRewrite(f *testing.F) {
	for _, seed := range []string{
		"root=PARTUUID=deadbeef-02 rootwait", "/dev/mmcblk0p2 /dev/mmcblk0p20", "UUID=5DE4-665C\nLABEL=my\\040disk",
		"LABEL=\"my disk\"", "/dev/disk/by-label/my\\x20disk", "PTUUID=deadbeef-02", "UUID=UUID=5de4-665c", "\xff\x00PARTUUID='deadbeef-01'",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, n := identity.Rewrite(data, changes)
		if n == 0 && string(got) != string(data) {
			t.Fatalf("%q became %q and nothing was counted", data, got)
		}
		if n > 0 && !known.Match(data) {
			t.Fatalf("%q became %q: no form that is known", data, got)
		}
		if same, m := identity.Rewrite(data, nil); m != 0 || string(same) != string(data) {
			t.Fatalf("%q: changed by no changes", data)
		}
		if again, _ := identity.Rewrite(got, changes); string(again) != string(got) {
			t.Fatalf("%q: rewriting twice gives %q, once %q", data, again, got)
		}
	})
}

func FuzzReferences(f *testing.F) {
	for _, s := range systems {
		for _, m := range []memory{s.boot, s.root} {
			for name, file := range m.MapFS {
				f.Add(name, file.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if !fs.ValidPath(name) {
			return
		}
		m := tree(name, string(data))
		findings, err := identity.Check(card("deadbeef"), m, m)
		if err != nil {
			return
		}
		for _, f := range findings {
			if f.Text.IsZero() || f.OK && f.Ref.Kind != identity.Other && f.Part == 0 {
				t.Fatalf("finding without sense: %+v", f)
			}
		}
	})
}
