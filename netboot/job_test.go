package netboot_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"lifeboat/netboot"
)

const digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// key is a minisign public key.
const key = "RWRDG/ka7+eGROOZ85KhJk7bJxXhZhdlbdqNqrb0otTIQtlzhVpm0109"

const whole = `
version = 1
id = "lab-2026-11"
action = "restore"

[boards]
serial = ["10000000abcdef01", "1000*"]
mac = ["DC-A6-32-*"]
model = ["Raspberry Pi 4*"]

[source]
url = "images/pi4.img.zst"
sha256 = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"

[target]
slot = "sd"
min_size = "7.5GB"
holds = ["blank", "0xCAFE0001"]

[restore]
ids = "new"
grow = 2
verify = false

[after]
action = "poweroff"
message = "take the card out"
`

const least = "version = 1\nid = \"a\"\naction = \"restore\"\n[source]\nurl = \"x.img\"\n"

func TestParseJob(t *testing.T) {
	t.Parallel()
	j, err := netboot.ParseJob([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if j.ID != "lab-2026-11" || j.Source.SHA256 != digest || j.Target.MinSize != 7_500_000_000 || j.Target.Holds[1] != "0xcafe0001" ||
		j.Restore != (netboot.Settings{IDs: "new", Grow: "2"}) || j.After.Action != "poweroff" || !j.Pinned() {
		t.Errorf("got %+v", j)
	}
	if j, err = netboot.ParseJob([]byte(least)); err != nil {
		t.Fatal(err)
	}
	if j.Restore != (netboot.Settings{IDs: "keep", Verify: true}) || j.After.Action != "reboot" || j.Pinned() {
		t.Errorf("what is not said: got %+v", j)
	}
	if j, err = netboot.ParseJob([]byte(least + "signed_by = [\"" + key + "\"]\n")); err != nil || !j.Pinned() {
		t.Errorf("a snapshot by its signer: got %+v, %v", j, err)
	}
}

func TestParseJobRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, to, want string }{
		{"version = 1\n", "", "key version is missing"},
		{"version = 1", "version = 2\nnew_key = 1", "job of version 2: this program reads version 1"},
		{`id = "a"`, "", "key id is missing"},
		{`id = "a"`, `id = "a b"`, "printable"},
		{`"restore"`, `"erase"`, `action "erase" is not known: "restore"`},
		{"version", "sersion = 2\nversion", `key "sersion" is not known`},
		{"[source]", "[target]\nslott = \"sd\"\n[source]", `key "target.slott" is not known`},
		{`url = "x.img"`, "", "key source.url is missing"},
		{`"x.img"`, `"file:///etc/shadow"`, `scheme "file" is not known`},
		{`"x.img"`, `"http://a b/"`, "source.url"},
		{`url`, "sha256 = \"abc\"\nurl", "not 64 hex digits"},
		{`url`, "signed_by = [\"RWQabc\"]\nurl", `signed_by "RWQabc": not a minisign public key`},
		{`url`, "signed_by = [\"" + key + "\"]\nsha256 = \"" + digest + "\"\nurl", "one of them"},
		{"[source]", "[target]\nslot = \"floppy\"\n[source]", `target.slot "floppy" is not known`},
		{"[source]", "[target]\nmin_size = \"8 bananas\"\n[source]", "8 bananas"},
		{"[source]", "[target]\nmin_size = -8\n[source]", "negative"},
		{"[source]", "[target]\nmin_size = \"9e30TB\"\n[source]", "9e30TB"},
		{"[source]", "[target]\nmin_size = \"99999999999TB\"\n[source]", "larger than any disk"},
		{"[source]", "[target]\nholds = [\"\"]\n[source]", "target.holds"},
		{"[source]", "[restore]\nids = \"some\"\n[source]", `restore.ids "some" is not known: "keep", "new"`},
		{"[source]", "[restore]\ngrow = 0\n[source]", "grow 0"},
		{"[source]", "[restore]\ngrow = \"all\"\n[source]", "grow all"},
		{"[source]", "[restore]\ngrow = true\n[source]", "grow true"},
		{"[source]", "[restore]\nverify = \"yes\"\n[source]", "verify"},
		{"[source]", "[after]\naction = \"\"\n[source]", "key after.action is missing"},
		{"[source]", "[boards]\nserial = [\"[\"]\n[source]", `pattern "[" is malformed`},
		{"version", "= ", "job: toml"},
	} {
		text := strings.Replace(least, c.from, c.to, 1)
		if j, err := netboot.ParseJob([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: got %v, %v; want %q", c.to, c.from, j, err, c.want)
		}
	}
	if _, err := netboot.ParseJob([]byte(least + strings.Repeat("#", netboot.MaxJob))); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too long: %v", err)
	}
}

// The decoder would take minutes for some files of this size.
func TestDeepFiles(t *testing.T) {
	t.Parallel()
	const n = netboot.MaxJob
	for name, text := range map[string]string{
		"a key":       strings.Repeat("a.", n/2-4) + "a=1",
		"a table":     "[" + strings.Repeat("a.", n/2-4) + "a]",
		"tables":      "a=" + strings.Repeat("{a=", n/3-2),
		"many keys":   strings.Repeat(strings.Repeat("a.", 90)+"a=1\n", n/184),
		"many tables": strings.Repeat("[["+strings.Repeat("a.", 90)+"a]]\n", n/188),
		"lists":       "a=" + strings.Repeat("[", n-4),
	} {
		began := time.Now()
		if _, err := netboot.ParseJob([]byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		}
		if d := time.Since(began); d > 15*time.Second {
			t.Errorf("%s: refused after %v", name, d)
		}
	}
}

func FuzzParseJob(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(least))
	f.Add([]byte("version = 1\nid = [\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		j, err := netboot.ParseJob(data)
		if err != nil {
			return
		}
		if j.ID == "" || j.Action != netboot.Restore || j.Target.MinSize < 0 {
			t.Errorf("took %+v", j)
		}
		j.For(netboot.BoardFacts{Serial: "1000"})
		if i, err := j.Pick([]netboot.Candidate{{Path: "/dev/a", ID: "1", Size: math.MaxInt64}}); err == nil && i != 0 {
			t.Errorf("picked %d of one disk", i)
		}
		j.Image("http://server/lifeboat/job.toml")
	})
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]netboot.Size{
		`8`: 8, `"8"`: 8, `"8B"`: 8, `"8GB"`: 8e9, `"8 GB"`: 8e9, `"7.5GiB"`: 8053063680, `"1 kB"`: 1000, `"2TiB"`: 2 << 40, `0`: 0,
	} {
		j, err := netboot.ParseJob([]byte(strings.Replace(least, "[source]", "[target]\nmin_size = "+text+"\n[source]", 1)))
		if err != nil || j.Target.MinSize != want {
			t.Errorf("%s: got %v, %v; want %d", text, j, err, want)
		}
	}
	for size, want := range map[netboot.Size]string{0: "0 bytes", 999: "999 bytes", 8e9: "8 GB", 7948206080: "7.94 GB"} {
		if got := size.String(); got != want {
			t.Errorf("%d: got %q, want %q", size, got, want)
		}
	}
}

func TestJobFor(t *testing.T) {
	t.Parallel()
	pi := netboot.BoardFacts{Serial: "10000000abcdef01", Model: "Raspberry Pi 4 Model B Rev 1.4", Compatible: []string{"raspberrypi,4-model-b", "brcm,bcm2711"}, MACs: []string{"dc:a6:32:01:36:c2"}}
	for _, c := range []struct {
		name   string
		boards netboot.Boards
		why    string
	}{
		{"any", netboot.Boards{}, ""},
		{"serial", netboot.Boards{Serial: []string{"x", "10000000ABCDEF01"}}, ""},
		{"short serial", netboot.Boards{Serial: []string{"abcdef01"}}, ""},
		{"serial glob", netboot.Boards{Serial: []string{"*ef0?"}}, ""},
		{"MAC with dashes", netboot.Boards{MAC: []string{"DC-A6-32-*"}}, ""},
		{"model with a slash would not stop a star", netboot.Boards{Model: []string{"*bcm2711"}}, ""},
		{"all lists", netboot.Boards{Serial: []string{"1*"}, MAC: []string{"*"}, Model: []string{"raspberry pi*"}}, ""},
		{"other serial", netboot.Boards{Serial: []string{"2*"}}, "the job is for boards with serial 2*; this one has 10000000abcdef01, abcdef01"},
		{"one list of two", netboot.Boards{Serial: []string{"1*"}, Model: []string{"Banana*"}}, "model Banana*"},
	} {
		j := netboot.Job{Boards: c.boards}
		ok, why := j.For(pi)
		if ok != (c.why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%s: got %v, %q; want %q", c.name, ok, why, c.why)
		}
	}
	j := netboot.Job{Boards: netboot.Boards{Serial: []string{"*"}}}
	if ok, why := j.For(netboot.BoardFacts{}); ok || !strings.Contains(why, "this one has none") {
		t.Errorf("a board without a serial: %v, %q", ok, why)
	}
}

func TestPick(t *testing.T) {
	t.Parallel()
	sd := netboot.Candidate{Path: "/dev/mmcblk0", Slot: "sd", Size: 16e9, Blank: true}
	old := netboot.Candidate{Path: "/dev/sda", Name: "SanDisk 123", Slot: "usb", Size: 32e9, ID: "cafe0001"}
	own := netboot.Candidate{Path: "/dev/sdb", Slot: "usb", Size: 64e9, Blank: true, Refused: "is mounted at /boot"}
	foreign := netboot.Candidate{Path: "/dev/sdc", Slot: "usb", Size: 64e9}
	all := []netboot.Candidate{sd, old, own, foreign}
	for _, c := range []struct {
		name   string
		target netboot.Target
		disks  []netboot.Candidate
		want   int
		err    []string
	}{
		{"the blank one", netboot.Target{}, all, 0, nil},
		{"by slot", netboot.Target{Slot: "sd"}, all, 0, nil},
		{"by disk ID", netboot.Target{Holds: []string{"0xcafe0001"}}, all, 1, nil},
		{"anything in a slot", netboot.Target{Slot: "usb", MinSize: 33e9, Holds: []string{netboot.Anything}}, all, 3, nil},
		{"two fit", netboot.Target{Holds: []string{netboot.Blank, "cafe0001"}}, all, -1,
			[]string{"2 disks fit", "/dev/mmcblk0 fits", "/dev/sda (SanDisk 123) fits", "/dev/sdb is mounted at /boot", "/dev/sdc holds data without a disk ID"}},
		{"none fits", netboot.Target{Slot: "nvme"}, all, -1, []string{"no disk fits", "/dev/mmcblk0 is in slot sd"}},
		{"too small", netboot.Target{MinSize: 16e9 + 1}, all[:1], -1, []string{"has 16000000000 bytes, 1 too few"}},
		{"what it holds", netboot.Target{Slot: "usb"}, all[1:2], -1, []string{"one disk in slot usb that holds blank", "holds cafe0001"}},
		{"no disk", netboot.Target{}, nil, -1, []string{"no disk is there"}},
		{"refused beats all", netboot.Target{Holds: []string{netboot.Anything}}, all[2:3], -1, []string{"is mounted"}},
	} {
		j := netboot.Job{ID: "x", Target: c.target}
		got, err := j.Pick(c.disks)
		if got != c.want || (err == nil) != (c.err == nil) {
			t.Errorf("%s: got %d, %v", c.name, got, err)
			continue
		}
		for _, want := range c.err {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is missing in %q", c.name, want, err)
			}
		}
	}
}

func TestImage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ place, url, want string }{
		{"http://10.0.0.1/lifeboat/job.toml", "pi.img.zst", "http://10.0.0.1/lifeboat/pi.img.zst"},
		{"http://10.0.0.1/lifeboat/job.toml", "/images/pi.img", "http://10.0.0.1/images/pi.img"},
		{"http://10.0.0.1/job.toml", "https://other/pi.img?x=1", "https://other/pi.img?x=1"},
		{"/boot/job.toml", "images/pi%201.img", "/boot/images/pi 1.img"},
		{"job.toml", "pi.img", "pi.img"},
	} {
		j := netboot.Job{Source: netboot.Source{URL: c.url}}
		if got, err := j.Image(c.place); err != nil || got != c.want {
			t.Errorf("%s from %s: got %q, %v; want %q", c.url, c.place, got, err, c.want)
		}
	}
}
