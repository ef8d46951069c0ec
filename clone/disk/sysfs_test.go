package disk_test

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"lifeboat/clone/disk"
)

// A machine is a made-up /sys and /proc.
type machine struct{ sys, proc fstest.MapFS }

func newMachine() *machine {
	return &machine{sys: fstest.MapFS{"block": {Mode: fs.ModeDir | 0o755}}, proc: fstest.MapFS{}}
}

// sysfs is the machine as package disk sees it. There are no nodes.
func (m *machine) sysfs(t *testing.T) *disk.Sys {
	return &disk.Sys{Proc: m.proc, Sys: m.sys, Dev: path.Join(t.TempDir(), "dev")}
}

// add plugs in a disk at a place under devices/, with files beside those that
// all disks have. sectors are of 512 bytes.
func (m *machine) add(place, dev string, sectors int64, files map[string]string) {
	name := path.Base(place)
	dir := "devices/" + place
	m.put(dir, map[string]string{
		"dev": dev, "size": strconv.FormatInt(sectors, 10), "queue/logical_block_size": "512",
		"removable": "0", "ro": "0", "diskseq": "7",
	})
	m.put(dir, files)
	m.sys[dir+"/holders"] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	m.link("block/"+name, "../"+dir)
	m.link("class/block/"+name, "../../"+dir)
}

// part adds part num to a disk.
func (m *machine) part(place, name, dev string, num int, start, sectors int64) {
	dir := "devices/" + place + "/" + name
	m.put(dir, map[string]string{
		"partition": strconv.Itoa(num), "dev": dev,
		"start": strconv.FormatInt(start, 10), "size": strconv.FormatInt(sectors, 10),
	})
	m.sys[dir+"/holders"] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	m.link("class/block/"+name, "../../"+dir)
}

func (m *machine) put(dir string, files map[string]string) {
	for name, text := range files {
		m.sys[dir+"/"+name] = &fstest.MapFile{Data: []byte(text + "\n"), Mode: 0o444}
	}
}

func (m *machine) link(name, to string) {
	m.sys[name] = &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink | 0o777}
}

const (
	sdPlace   = "platform/soc/3f202000.mmc/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0"
	usbRoot   = "platform/soc/3f980000.usb/usb1/1-1/1-1.2"
	usbPlace  = usbRoot + "/1-1.2:1.0/host0/target0:0:0/0:0:0:0/block/sda"
	nvmePlace = "platform/axi/1000110000.pcie/pci0000:00/0000:00:00.0/nvme/nvme0/nvme0n1"
)

// pi is a Raspberry Pi that runs from its card, with a stick and an NVMe disk.
func pi() *machine {
	m := newMachine()
	m.add(sdPlace, "179:0", 62333952, map[string]string{
		"device/type": "SD", "device/name": "SC32G", "device/serial": "0x1a2b3c4d",
	})
	m.part(sdPlace, "mmcblk0p1", "179:1", 1, 8192, 1048576)
	m.part(sdPlace, "mmcblk0p2", "179:2", 2, 1056768, 61277184)
	m.add(usbPlace, "8:0", 30031872, map[string]string{
		"removable": "1", "device/vendor": "SanDisk", "device/model": "Ultra Fit       ",
	})
	m.put("devices/"+usbRoot, map[string]string{"idVendor": "0781", "serial": "4C530001"})
	m.part(usbPlace, "sda1", "8:1", 1, 2048, 4096)
	m.add(nvmePlace, "259:0", 1000215216, map[string]string{
		"device/model": "WD Blue SN580", "device/serial": "2345A", "hidden": "0",
	})
	m.proc["self/mountinfo"] = &fstest.MapFile{Data: []byte(piMounts)}
	m.proc["swaps"] = &fstest.MapFile{Data: []byte("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/var/swap file 524284 0 -2\n")}
	return m
}

// Lines with no, one and two optional fields.
const piMounts = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw
30 27 179:1 / /boot/firmware rw,relatime shared:2 master:1 - vfat /dev/mmcblk0p1 rw
`

func TestDisks(t *testing.T) {
	t.Parallel()
	m := pi()
	m.add("pci0/ata1/host1/target1:0:0/1:0:0:0/block/sdaa", "65:160", 1953525168, map[string]string{
		"device/vendor": "ATA", "device/model": "CT1000", "device/vpd_pg80": "\x00\x80\x00\x05S\x1b[31mN1",
	})
	m.add("platform/mmc1/mmc1:0001/block/mmcblk1", "179:32", 30535680, map[string]string{"device/type": "MMC", "device/name": "DG4016"})
	m.add("platform/mmc1/mmc1:0001/block/mmcblk1boot0", "179:64", 8192, nil)
	m.add(strings.ReplaceAll(usbPlace, "sda", "sdb"), "8:16", 0, nil) // an empty reader
	m.add("virtual/nvme/nvme0c0n1", "0:0", 1000215216, map[string]string{"hidden": "1"})
	m.add("virtual/block/loop0", "7:0", 0, nil)
	m.add("virtual/block/loop1", "7:1", 2048, map[string]string{"loop/backing_file": "/home/pi/a.img"})
	m.add("virtual/block/zram0", "252:0", 2048, nil)
	m.add("virtual/block/dm-0", "254:0", 2048, nil)
	m.add("virtual/block/ram0", "1:0", 8192, nil)
	m.add("pci0/ata2/block/sr0", "11:0", 2097151, nil)
	disks, err := m.sysfs(t).Disks()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range disks {
		got = append(got, fmt.Sprintf("%s|%s|%s|%s|%s|%d|%d", d.Name, d.Bus, d.Slot, d.Model, d.Serial, d.Size, len(d.Parts)))
	}
	want := []string{
		"loop1|loop||/home/pi/a.img||1048576|0",
		"sda|usb|usb|SanDisk Ultra Fit|4C530001|15376318464|1",
		"sdb|usb|usb||4C530001|0|0",
		"sdaa|ata|sata|CT1000|S [31mN1|1000204886016|0",
		"mmcblk0|sd|sd|SC32G|0x1a2b3c4d|31914983424|2",
		"mmcblk1|emmc|emmc|DG4016||15634268160|0",
		"nvme0n1|nvme|nvme|WD Blue SN580|2345A|512110190592|0",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
	for _, d := range disks {
		if d.Name == "mmcblk0" && (d.Parts[1].Extent.Off != 541065216 || d.Parts[1].Extent.Len != 31373918208 || d.Seq != 7 || d.Major != 179) {
			t.Errorf("mmcblk0: got %+v", d)
		}
	}
}

// andMounted adds a line to the mount table.
func andMounted(line string) func(m *machine) {
	return func(m *machine) {
		m.proc["self/mountinfo"].Data = append(m.proc["self/mountinfo"].Data, []byte(line+"\n")...)
	}
}

const sdaaPlace = "pci0/ata1/block/sdaa"

var userCases = []struct {
	name string
	disk string
	do   func(m *machine)
	want string
}{
	{"root and boot", "mmcblk0", nil, "DEV/mmcblk0p2 is the running system's root; DEV/mmcblk0p1 is mounted on /boot/firmware"},
	{"free", "sda", nil, ""},
	{"no optional field", "sda", andMounted(`31 27 8:1 / /mnt/a\040b rw - ext4 /dev/sda1 rw`), "DEV/sda1 is mounted on /mnt/a b"},
	{"the whole disk", "sda", andMounted(`31 27 8:0 / /mnt rw - ext4 /dev/sda rw`), "DEV/sda is mounted on /mnt"},
	{"another's name begins alike", "sda", func(m *machine) {
		m.add(sdaaPlace, "65:160", 4096, nil)
		m.part(sdaaPlace, "sdaa1", "65:161", 1, 8, 8)
		andMounted(`31 27 65:161 / /mnt rw - ext4 /dev/sdaa1 rw`)(m)
	}, ""},
	{"btrfs shows a number of its own", "sda", andMounted(`31 27 0:44 /@ /mnt rw shared:9 - btrfs /dev/sda1 rw`), "DEV/sda1 is mounted on /mnt"},
	{"second disk of a btrfs", "nvme0n1", func(m *machine) {
		m.link("fs/btrfs/0f3b/devices/nvme0n1", "../../../../block/nvme0n1")
	}, "DEV/nvme0n1 belongs to a mounted btrfs"},
	{"swap on a part", "sda", func(m *machine) {
		m.proc["swaps"].Data = append(m.proc["swaps"].Data, []byte("/dev/sda1 partition 1 0 -3\n")...)
	}, "DEV/sda1 is swap space in use"},
	{"a mapping, and a mount on it", "sda", func(m *machine) {
		m.add("virtual/block/dm-0", "253:0", 4096, map[string]string{"dm/name": "vg-home"})
		m.sys["devices/"+usbPlace+"/sda1/holders/dm-0"] = &fstest.MapFile{Data: []byte("x"), Mode: fs.ModeSymlink | 0o777}
		andMounted(`31 27 253:0 / /home rw - ext4 /dev/mapper/vg-home rw`)(m)
	}, "DEV/sda1 carries dm-0 (vg-home); DEV/sda1 carries dm-0 (vg-home), which is mounted on /home"},
	{"a part of a RAID", "sda", func(m *machine) {
		m.add("virtual/block/md0", "9:0", 4096, nil)
		m.part("virtual/block/md0", "md0p1", "259:9", 1, 8, 8)
		m.sys["devices/"+usbPlace+"/holders/md0"] = &fstest.MapFile{Data: []byte("x"), Mode: fs.ModeSymlink | 0o777}
		andMounted(`31 27 259:9 / /srv rw - ext4 /dev/md0p1 rw`)(m)
	}, "DEV/sda carries md0; DEV/sda carries md0, which is mounted on /srv"},
	{"a loop device over a part", "sda", func(m *machine) {
		m.add("virtual/block/loop3", "7:3", 4096, map[string]string{"loop/backing_file": "/dev/sda1"})
		andMounted(`31 27 7:3 / /mnt rw - ext4 /dev/loop3 rw`)(m)
	}, "DEV/sda1 carries loop3; DEV/sda1 carries loop3, which is mounted on /mnt"},
	{"holders in a circle", "sda", func(m *machine) {
		m.add("virtual/block/dm-0", "253:0", 4096, nil)
		m.sys["devices/"+usbPlace+"/holders/dm-0"] = &fstest.MapFile{Data: []byte("x"), Mode: fs.ModeSymlink | 0o777}
		m.sys["devices/virtual/block/dm-0/holders/sda"] = &fstest.MapFile{Data: []byte("x"), Mode: fs.ModeSymlink | 0o777}
	}, "DEV/sda carries dm-0; DEV/sda carries dm-0, which carries sda"},
	{"an overlay whose lower half is out of sight", "sda", func(m *machine) {
		m.proc["self/mountinfo"].Data = []byte("27 1 0:25 / / rw - overlay overlay rw,lowerdir=/lower\n")
		m.proc["cmdline"] = &fstest.MapFile{Data: []byte("quiet root=/dev/sda1 boot=overlay")}
	}, "DEV/sda1 is the running system's root"},
}

func TestUsers(t *testing.T) {
	t.Parallel()
	for _, c := range userCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := pi()
			if c.do != nil {
				c.do(m)
			}
			sys := m.sysfs(t)
			disks, err := sys.Disks()
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range disks {
				if d.Name != c.disk {
					continue
				}
				uses, err := sys.Users(d)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, u := range uses {
					got = append(got, strings.ReplaceAll(u.String(), sys.Dev, "DEV"))
				}
				if g := strings.Join(got, "; "); g != c.want {
					t.Errorf("got  %q\nwant %q", g, c.want)
				}
				return
			}
			t.Errorf("no disk %s", c.disk)
		})
	}
}

// A mount table that cannot be read must not look like an empty one.
func TestUsersRefusesToGuess(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "27 1 8:1 / /\n", "27 1 eight / / rw - ext4 /dev/sda1 rw\n"} {
		m := pi()
		if text == "" {
			delete(m.proc, "self/mountinfo")
		} else {
			m.proc["self/mountinfo"].Data = []byte(text)
		}
		if uses, err := m.sysfs(t).Users(disk.Disk{Name: "sda"}); err == nil {
			t.Errorf("%q: got %v, want an error", text, uses)
		}
	}
}
