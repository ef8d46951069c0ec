package netboot_test

import (
	"net/netip"
	"slices"
	"testing"
	"testing/fstest"

	"lifeboat/netboot"
)

func TestBoard(t *testing.T) {
	t.Parallel()
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	net := fstest.MapFS{
		"class/net/eth0/address": file("DC:A6:32:01:36:C2\n"), "class/net/eth0/device/x": file(""),
		"class/net/lo/address":  file("00:00:00:00:00:00\n"),
		"class/net/br0/address": file("02:00:00:00:00:01\n"),
		"class/net/ib0/address": file("80:00:00:48\n"), "class/net/ib0/device/x": file(""),
	}
	pc := fstest.MapFS{
		"class/dmi/id/sys_vendor": file("QEMU\n"), "class/dmi/id/product_name": file("Standard PC\n"),
		"class/dmi/id/product_serial": file("To be filled by O.E.M.\n"), "class/dmi/id/board_serial": file("AB12\n"),
	}
	for _, c := range []struct {
		name      string
		proc, sys fstest.MapFS
		want      netboot.BoardFacts
	}{
		{"a Pi", fstest.MapFS{
			"device-tree/serial-number": file("10000000abcdef01\x00"), "device-tree/model": file("Raspberry Pi 4 Model B Rev 1.4\x00"),
			"device-tree/compatible": file("raspberrypi,4-model-b\x00brcm,bcm2711\x00"),
		}, net, netboot.BoardFacts{Serial: "10000000abcdef01", Model: "Raspberry Pi 4 Model B Rev 1.4",
			Compatible: []string{"raspberrypi,4-model-b", "brcm,bcm2711"}, MACs: []string{"dc:a6:32:01:36:c2"}}},
		{"an old kernel", fstest.MapFS{"cpuinfo": file("processor\t: 0\nSerial\t\t: 00000000ABCDEF01\n")}, nil, netboot.BoardFacts{Serial: "00000000abcdef01"}},
		{"a PC", nil, pc, netboot.BoardFacts{Serial: "ab12", Model: "QEMU Standard PC"}},
		{"nothing", nil, nil, netboot.BoardFacts{}},
		{"escapes of a terminal", fstest.MapFS{"device-tree/model": file("a\x1b[2Jb")}, nil, netboot.BoardFacts{Model: "a [2Jb"}},
	} {
		got := netboot.Board(c.proc, c.sys)
		if got.Serial != c.want.Serial || got.Model != c.want.Model || !slices.Equal(got.Compatible, c.want.Compatible) || !slices.Equal(got.MACs, c.want.MACs) {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	b := netboot.BoardFacts{Serial: "10000000abcdef01", MACs: []string{"dc:a6:32:01:36:c2"}}
	l := &netboot.Lease{MAC: "dc:a6:32:01:36:c2", NextServer: "boot.example", Server: netip.MustParseAddr("10.0.0.1"), BootFile: "pxelinux.0"}
	want := []string{
		"http://boot.example/lifeboat/job-10000000abcdef01.toml", "http://boot.example/lifeboat/job-abcdef01.toml",
		"http://boot.example/lifeboat/job-dc-a6-32-01-36-c2.toml", "http://boot.example/lifeboat/job.toml",
		"http://10.0.0.1/lifeboat/job-10000000abcdef01.toml", "http://10.0.0.1/lifeboat/job-abcdef01.toml",
		"http://10.0.0.1/lifeboat/job-dc-a6-32-01-36-c2.toml", "http://10.0.0.1/lifeboat/job.toml",
	}
	if got := netboot.Places(l, b); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	l.BootFile = "https://jobs.example/a.toml"
	if got := netboot.Places(l, b); !slices.Equal(got, []string{"https://jobs.example/a.toml"}) {
		t.Errorf("with a URL: got %q", got)
	}
	l.BootFile, l.NextServer, b.Serial = "", "evil/../@host", "../../x"
	if got := netboot.Places(l, b); !slices.Equal(got, []string{"http://10.0.0.1/lifeboat/job-dc-a6-32-01-36-c2.toml", "http://10.0.0.1/lifeboat/job.toml"}) {
		t.Errorf("with strange names: got %q", got)
	}
	if got := netboot.Places(&netboot.Lease{}, netboot.BoardFacts{}); len(got) != 0 {
		t.Errorf("without a server: got %q", got)
	}
}
