package identity_test

import (
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"lifeboat/clone/extent"
	"lifeboat/clone/identity"
	"lifeboat/clone/manifest"
)

// memory is a tree of files in memory that can be edited.
type memory struct{ fstest.MapFS }

func (m memory) WriteFile(name string, data []byte) error {
	if _, ok := m.MapFS[name]; !ok {
		return fs.ErrNotExist
	}
	m.MapFS[name] = &fstest.MapFile{Data: data}
	return nil
}

// tree makes files of pairs of name and content.
func tree(pairs ...string) memory {
	m := memory{fstest.MapFS{}}
	for i := 0; i < len(pairs); i += 2 {
		m.MapFS[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

// files hands on nil as nil.
func files(m memory) identity.Files {
	if m.MapFS == nil {
		return nil
	}
	return m
}

const (
	rootUUID = "7295bbc3-bbc2-4267-9fa0-099e10ef5bf0"
	bootUUID = "5DE4-665C"
	swapUUID = "0e1a3c5b-2b7c-4f7e-8a53-3f3b8a0e7d11"
	usbUUID  = "c3d9a0f1-57a4-4d20-9c0e-64a9d9f0f5a2"
)

// card is the head of a disk with the ID, a FAT boot part, an ext4 root and a
// swap part.
func card(id string) *manifest.Head {
	const mib = 1 << 20
	places := []extent.Extent{{Off: 4 * mib, Len: 512 * mib}, {Off: 516 * mib, Len: 4096 * mib}, {Off: 4612 * mib, Len: 512 * mib}}
	contents := []manifest.FS{
		{Type: "vfat", Label: "bootfs", UUID: bootUUID},
		{Type: "ext4", Label: "rootfs", UUID: rootUUID},
		{Type: "swap", UUID: swapUUID},
	}
	h := &manifest.Head{Table: manifest.Table{Kind: manifest.MBR, ID: id}}
	for i, fs := range contents {
		h.Parts = append(h.Parts, manifest.Part{Num: i + 1, Extent: places[i], FS: fs})
		h.Table.Entries = append(h.Table.Entries, manifest.Entry{Num: i + 1, Extent: places[i], UUID: id + "-0" + string(rune('1'+i))})
	}
	return h
}

// A system is what a distribution writes; deadbeef is its disk ID.
type system struct {
	boot, root memory
	refs       []string // file:line use reference, ? where the boot goes on without
}

var systems = map[string]system{
	"Raspberry Pi OS bookworm": {
		tree("cmdline.txt", "console=serial0,115200 console=tty1 root=PARTUUID=deadbeef-02 rootfstype=ext4 fsck.repair=yes rootwait quiet splash plymouth.ignore-serial-consoles cfg80211.ieee80211_regdom=GB\n",
			"config.txt", "dtparam=audio=on\ncamera_auto_detect=1\nauto_initramfs=1\n[cm4]\notg_mode=1\n[all]\n"),
		tree("etc/fstab", `proc            /proc           proc    defaults          0       0
PARTUUID=deadbeef-01  /boot/firmware  vfat    defaults          0       2
PARTUUID=deadbeef-02  /               ext4    defaults,noatime  0       1
# a swapfile is not a swap partition, no line here
#   use  dphys-swapfile swap[on|off]  for that
`),
		[]string{
			"cmdline.txt:1 root= PARTUUID=deadbeef-02",
			"etc/fstab:2 fstab /boot/firmware PARTUUID=deadbeef-01",
			"etc/fstab:3 fstab / PARTUUID=deadbeef-02",
		},
	},
	"Raspbian buster with a USB disk": {
		tree("cmdline.txt", "dwc_otg.lpm_enable=0 console=serial0,115200 console=tty1 root=/dev/mmcblk0p2 rootfstype=ext4 elevator=deadline fsck.repair=yes rootwait"),
		tree("etc/fstab", `proc  /proc  proc  defaults  0  0
/dev/mmcblk0p1  /boot  vfat  defaults  0  2
/dev/mmcblk0p2  /      ext4  defaults,noatime  0  1
/dev/sda1  /mnt/usb  ext4  defaults,nofail  0  0
UUID=`+usbUUID+`  /srv  ext4  noauto,users  0  0
nas:/export  /mnt/nas  nfs  defaults  0  0
//server/share /mnt/smb cifs credentials=/root/UUID=x 0 0
/swapfile none swap sw 0 0
`),
		[]string{
			"cmdline.txt:1 root= /dev/mmcblk0p2",
			"etc/fstab:2 fstab /boot /dev/mmcblk0p1",
			"etc/fstab:3 fstab / /dev/mmcblk0p2",
			"etc/fstab:4 fstab /mnt/usb /dev/sda1?",
			"etc/fstab:5 fstab /srv UUID=" + usbUUID + "?",
		},
	},
	"Ubuntu 24.04 and its folders": {
		tree("config.txt", "[all]\nos_prefix=current/\nkernel=vmlinuz\ncmdline=cmdline.txt\ninitramfs initrd.img followkernel\n[tryboot]\nos_prefix=new/\n",
			"current/cmdline.txt", "console=serial0,115200 multipath=off dwc_otg.lpm_enable=0 console=tty1 root=LABEL=rootfs rootfstype=ext4 panic=10 rootwait fixrtc\n",
			"old/cmdline.txt", "root=LABEL=writable rootwait\n"),
		tree("etc/fstab", "LABEL=rootfs\t/\text4\tdiscard,errors=remount-ro\t0 1\nLABEL=bootfs       /boot/firmware  vfat    defaults        0       1\n"),
		[]string{
			"current/cmdline.txt:1 root= LABEL=rootfs",
			"old/cmdline.txt:1 root= LABEL=writable?",
			"etc/fstab:1 fstab / LABEL=rootfs",
			"etc/fstab:2 fstab /boot/firmware LABEL=bootfs",
		},
	},
	"DietPi": {
		tree("cmdline.txt", "root=PARTUUID=deadbeef-02 rootfstype=ext4 rootwait net.ifnames=0 logo.nologo console=tty1"),
		tree("etc/fstab", `#----------------------------------------------------------------
# TMPFS
tmpfs /tmp tmpfs size=499M,noatime,lazytime,nodev,nosuid,mode=1777
PARTUUID=deadbeef-02 / ext4 noatime,lazytime,rw 0 1
PARTUUID=deadbeef-01 /boot vfat noatime,lazytime,rw 0 2
UUID=`+usbUUID+` /mnt/usb ext4 noatime,lazytime,rw,nofail,noauto,x-systemd.automount
UUID="`+swapUUID+`" none swap sw 0 0
`),
		[]string{
			"cmdline.txt:1 root= PARTUUID=deadbeef-02",
			"etc/fstab:4 fstab / PARTUUID=deadbeef-02",
			"etc/fstab:5 fstab /boot PARTUUID=deadbeef-01",
			"etc/fstab:6 fstab /mnt/usb UUID=" + usbUUID + "?",
			"etc/fstab:7 fstab swap UUID=" + swapUUID + "?",
		},
	},
	"Armbian, one part": {
		memory{},
		tree("boot/armbianEnv.txt", "verbosity=1\nconsole=both\noverlays=usbhost2 usbhost3\nrootdev=UUID="+rootUUID+"\nrootfstype=ext4\nusbstoragequirks=0x2537:0x1066:u,0x2537:0x1068:u\n",
			"boot/boot.scr", "",
			"etc/fstab", "UUID="+rootUUID+" / ext4 defaults,noatime,commit=120,errors=remount-ro,x-gvfs-hide 0 1\ntmpfs /tmp tmpfs defaults,nosuid 0 0\n"),
		[]string{
			"boot/armbianEnv.txt:4 rootdev= UUID=" + rootUUID,
			"etc/fstab:1 fstab / UUID=" + rootUUID,
		},
	},
	"LibreELEC": {
		tree("cmdline.txt", "boot=UUID="+bootUUID+" disk=UUID="+rootUUID+" quiet console=tty0\n", "config.txt", "include distroconfig.txt\n", "distroconfig.txt", "arm_64bit=1\n"),
		memory{},
		[]string{
			"cmdline.txt:1 boot= UUID=" + bootUUID,
			"cmdline.txt:1 disk= UUID=" + rootUUID,
		},
	},
	"Debian with extlinux": {
		tree("extlinux/extlinux.conf", "default l0\nlabel l0\n\tmenu label Debian\n\tlinux /vmlinuz-6.1\n\tinitrd /initrd.img-6.1\n\tfdtdir /dtb/\n\tAPPEND\troot=UUID="+rootUUID+" ro rootwait\n"),
		tree("etc/fstab", "/dev/disk/by-uuid/"+rootUUID+" / ext4 defaults 0 1\n",
			"etc/crypttab", "# <name> <device>\ndata UUID="+usbUUID+" none luks,nofail\n",
			"etc/initramfs-tools/conf.d/resume", "RESUME=UUID="+swapUUID+"\n"),
		[]string{
			"extlinux/extlinux.conf:7 root= UUID=" + rootUUID,
			"etc/fstab:1 fstab / UUID=" + rootUUID,
			"etc/crypttab:2 crypttab data UUID=" + usbUUID + "?",
			"etc/initramfs-tools/conf.d/resume:1 RESUME= UUID=" + swapUUID + "?",
		},
	},
	"Odroid boot.ini": {
		tree("boot.ini", "ODROIDXU-UBOOT-CONFIG\n\n# setenv bootrootfs \"root=/dev/mmcblk1p2\"\nsetenv bootrootfs \"console=tty1 console=ttySAC2,115200n8 root=UUID="+rootUUID+" rootwait ro\"\nsetenv bootargs \"${bootrootfs} root=${other} smsc95xx.macaddr=${macaddr}\"\n"),
		memory{},
		[]string{"boot.ini:4 root= UUID=" + rootUUID},
	},
	"A/B with another name": {
		tree("config.txt", "# cmdline=no.txt\ncmdline=extra.txt\nos_prefix=a/\n", "a/extra.txt", "root=PARTUUID=deadbeef-01/PARTNROFF=1 init=/sbin/init resume=/dev/disk/by-partuuid/deadbeef-03",
			"autoboot.txt", "[all]\ntryboot_a_b=1\nboot_partition=1\n"),
		memory{},
		[]string{
			"a/extra.txt:1 root= PARTUUID=deadbeef-01/PARTNROFF=1",
			"a/extra.txt:1 resume= PARTUUID=deadbeef-03?",
			"autoboot.txt:3 boot_partition= 1",
		},
	},
}

func TestReferences(t *testing.T) {
	t.Parallel()
	for name, s := range systems {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refs, err := identity.References(files(s.boot), files(s.root))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range refs {
				text := r.File + ":" + string(rune('0'+r.Line)) + " " + r.Use + " " + r.String()
				if r.Optional {
					text += "?"
				}
				got = append(got, text)
			}
			if !slices.Equal(got, s.refs) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(s.refs, "\n"))
			}
		})
	}
}

// A disk that names its own parts has nothing serious; after new IDs and Apply
// it still has not.
func TestCheckAndApply(t *testing.T) {
	t.Parallel()
	changes := map[string]string{
		"deadbeef": "12345678", "deadbeef-01": "12345678-01", "deadbeef-02": "12345678-02", "deadbeef-03": "12345678-03",
		rootUUID: "99999999-bbc2-4267-9fa0-099e10ef5bf0", bootUUID: "1234-ABCD", swapUUID: "88888888-2b7c-4f7e-8a53-3f3b8a0e7d11",
	}
	for name, s := range systems {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			boot, root := copyOf(s.boot), copyOf(s.root)
			serious(t, card("deadbeef"), boot, root, 0)
			if _, err := identity.Apply(changes, boot, root); err != nil {
				t.Fatal(err)
			}
			renamed := card("12345678")
			for i := range renamed.Parts {
				if to, ok := changes[renamed.Parts[i].FS.UUID]; ok {
					renamed.Parts[i].FS.UUID = to
				}
			}
			serious(t, renamed, boot, root, 0)
			again, err := identity.Apply(changes, boot, root)
			if err != nil || len(again) != 0 {
				t.Errorf("Apply again: got %q, %v want nothing to do", again, err)
			}
		})
	}
}

func copyOf(m memory) identity.Files {
	if m.MapFS == nil {
		return nil
	}
	return memory{maps.Clone(m.MapFS)}
}

func serious(t *testing.T, h *manifest.Head, boot, root fs.FS, want int) {
	t.Helper()
	findings, err := identity.Check(h, boot, root)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.Serious() {
			want--
			if want < 0 {
				t.Errorf("serious: %s", f.Text)
			}
		}
	}
	if want > 0 {
		t.Errorf("got %d serious findings less than wanted", want)
	}
}

// unresolved is what Check says of the references that are not OK.
func unresolved(t *testing.T, boot, root memory) []string {
	t.Helper()
	findings, err := identity.Check(card("12345678"), files(boot), files(root))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, f := range findings {
		if !f.OK {
			texts = append(texts, f.Text.String())
		}
	}
	return texts
}

func TestWhatCheckSays(t *testing.T) {
	t.Parallel()
	const fstab = "etc/fstab"
	for _, c := range []struct {
		name       string
		boot, root memory
		want       []string // of the findings that are not OK
	}{
		{
			"cmdline.txt forgotten", tree("cmdline.txt", "console=tty1 root=PARTUUID=deadbeef-02 rootwait"), tree(fstab, "PARTUUID=12345678-02 / ext4 defaults 0 1"),
			[]string{"boot part: cmdline.txt line 1: root=: PARTUUID=deadbeef-02 is not on this disk; part 2 (ext4 rootfs) is PARTUUID=12345678-02"},
		},
		{
			"fstab forgotten", tree("cmdline.txt", "root=PARTUUID=12345678-02"), tree(fstab, "proc /proc proc defaults\nUUID=ABCD-EF01 /boot/firmware vfat defaults 0 2"),
			[]string{"root part: etc/fstab line 2: fstab /boot/firmware: UUID=ABCD-EF01 is not on this disk; part 1 (vfat bootfs) is UUID=5DE4-665C"},
		},
		{
			"another disk", tree("cmdline.txt", "root=/dev/mmcblk0p2"), tree(fstab, "/dev/sda1 /mnt/usb ext4 defaults,nofail 0 0"),
			[]string{"root part: etc/fstab line 1: fstab /mnt/usb: /dev/sda1 is not on this disk (the boot goes on without it)"},
		},
		{
			"the wrong part", tree("cmdline.txt", "root=PARTUUID=12345678-01"), memory{},
			[]string{"boot part: cmdline.txt line 1: root=: PARTUUID=12345678-01 is part 1, which holds vfat; part 2 (ext4 rootfs) is PARTUUID=12345678-02"},
		},
		{
			"a part that is not there", tree("cmdline.txt", "root=/dev/mmcblk0p20"), memory{},
			[]string{"boot part: cmdline.txt line 1: root=: /dev/mmcblk0p20 is not on this disk; part 2 (ext4 rootfs) is PARTUUID=12345678-02"},
		},
		{
			"no root=", tree("cmdline.txt", "console=tty1 rootwait"), memory{},
			[]string{"no root= in any of the boot files: nothing tells the kernel where its root is"},
		},
		{
			"no boot files", tree("config.txt", ""), tree(fstab, "PARTUUID=12345678-02 / ext4 defaults 0 1"),
			[]string{"there is no cmdline.txt, extlinux.conf, armbianEnv.txt, uEnv.txt or boot.ini: nothing tells the kernel where its root is"},
		},
		{
			"a script alone", tree("boot.scr", ""), memory{},
			[]string{"there is no cmdline.txt, extlinux.conf, armbianEnv.txt, uEnv.txt or boot.ini: nothing tells the kernel where its root is, unless the boot script does"},
		},
		{"nothing", memory{}, memory{}, []string{"no part of this disk could be looked into: whether it boots is not known"}},
		{"root by network", tree("cmdline.txt", "root=/dev/nfs nfsroot=10.0.0.1:/pi rw ip=dhcp"), memory{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := unresolved(t, c.boot, c.root)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}
