package fat_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"lifeboat/clone/filesystem/fat"
	"lifeboat/internal/fixture"
)

type formatCase struct {
	o       fat.Options
	kind    string
	cluster int64
}

func formatCases() []formatCase {
	const mib = 1 << 20
	return []formatCase{
		{fat.Options{Size: 160 << 10}, "fat12", 2048},
		{fat.Options{Size: 1440 << 10}, "fat12", 2048},
		{fat.Options{Size: 7 * mib}, "fat12", 2048},
		{fat.Options{Size: 8 * mib}, "fat12", 4096}, // too near to what some take for FAT16
		{fat.Options{Size: 9 * mib}, "fat16", 2048},
		{fat.Options{Size: 64 * mib}, "fat16", 2048},
		{fat.Options{Size: 255 * mib, FATs: 1}, "fat16", 4096},
		{fat.Options{Size: 256 * mib, Hidden: 4 * mib}, "fat32", 2048},
		{fat.Options{Size: 512*mib + 512, Hidden: 4 * mib}, "fat32", 4096},
		{fat.Options{Size: 40 * mib, Kind: 32}, "fat32", 512},
		{fat.Options{Size: 256 * mib, Kind: 32, Cluster: 512}, "fat32", 512},
		{fat.Options{Size: 2048 * mib, Kind: 32, Cluster: 16 << 10, FATs: 1}, "fat32", 16 << 10},
		{fat.Options{Size: 33 << 30}, "fat32", 32 << 10},
		{fat.Options{Size: 300 * mib, Sector: 4096}, "fat32", 4096},
		{fat.Options{Size: 30 * mib, Sector: 4096}, "fat16", 4096},
		{fat.Options{Size: 12 * mib, Sector: 1024, Kind: 16}, "fat16", 2048},
	}
}

// What Format makes is clean by fsck.vfat also after mtools has filled it, and
// minfo and blkid read what was asked for.
func TestFormat(t *testing.T) {
	t.Parallel()
	for _, c := range formatCases() {
		t.Run(fmt.Sprintf("%d-%s-%d-%d", c.o.Size, c.kind, c.cluster, c.o.FATs), func(t *testing.T) {
			t.Parallel()
			path := t.TempDir() + "/fat.img"
			truncate(t, path, c.o.Size)
			f, size := openFile(t, path)
			garbage := []byte(strings.Repeat("garbage", 9000)) // a disk was something before
			if _, err := f.WriteAt(garbage, 0); err != nil {
				t.Fatal(err)
			}
			c.o.Label, c.o.Serial, c.o.Time = "bootfs", "89AB-CDEF", noon()
			if err := fat.Format(f, c.o); err != nil {
				t.Fatal(err)
			}
			clean(t, path)
			v := open(t, path)
			if v.Type() != c.kind || v.ClusterSize() != c.cluster || v.Label() != "bootfs" || v.Serial() != "89AB-CDEF" || v.Dirty() {
				t.Errorf("got %s, clusters of %d, %q, %s, want %s, %d, bootfs, 89AB-CDEF", v.Type(), v.ClusterSize(), v.Label(), v.Serial(), c.kind, c.cluster)
			}
			if notes := v.Notes(); len(notes) != 0 {
				t.Errorf("Notes: got %q, want none", notes)
			}
			checkTools(t, path, c.o)
			files := map[string]string{"a long name.txt": strings.Repeat("x", 70000), "B.TXT": "b"}
			copyIn(t, path, write(t, files), "::", []string{"a long name.txt", "B.TXT"})
			clean(t, path)
			sameTree(t, tree(t, open(t, path)), files)
			e := edit(t, f, size)
			if err := e.WriteFile("a long name.txt", nil); err != nil {
				t.Error(err)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			clean(t, path)
		})
	}
}

// checkTools asks minfo and blkid.
func checkTools(t *testing.T, path string, o fat.Options) {
	t.Helper()
	out := mtools(t, "minfo", "-i", path)
	sector := max(o.Sector, 512)
	for pattern, want := range map[string]string{
		`sector size: (\d+)`:    fmt.Sprint(sector),
		`hidden sectors: (\d+)`: fmt.Sprint(o.Hidden / sector),
	} {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(out); m == nil || m[1] != want {
			t.Errorf("minfo: got %q for %s, want %s", m, pattern, want)
		}
	}
	out = fixture.Run(t, "blkid", "-p", "-o", "export", path)
	for _, want := range []string{"UUID=89AB-CDEF", "LABEL=bootfs", "LABEL_FATBOOT=bootfs", "TYPE=vfat"} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("blkid: got no %s in\n%s", want, out)
		}
	}
}

func TestFormatRefuses(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]fat.Options{
		"tiny":             {Size: 8 << 10},
		"few for 32":       {Size: 20 << 20, Kind: 32},
		"many for 12":      {Size: 200 << 20, Kind: 12},
		"kind":             {Size: 1 << 20, Kind: 8},
		"cluster":          {Size: 1 << 20, Cluster: 700},
		"sector":           {Size: 1 << 20, Sector: 500},
		"hidden":           {Size: 1 << 20, Hidden: 63},
		"label":            {Size: 1 << 20, Label: "twelve chars"},
		"label characters": {Size: 1 << 20, Label: "a/b"},
		"serial":           {Size: 1 << 20, Serial: "12345678"},
		"FATs":             {Size: 1 << 20, FATs: 3},
		"large":            {Size: 1 << 50},
		"negative":         {Size: -5},
	} {
		m := &memory{b: make([]byte, 1<<20), fail: -1}
		if err := fat.Format(m, o); err == nil || m.writes > 0 {
			t.Errorf("%s: got error %v after %d writes, want an error before the first", name, err, m.writes)
		}
	}
}

// An interrupted Format leaves nothing that passes for a file system.
func TestFormatInterrupted(t *testing.T) {
	t.Parallel()
	old := formatted(t, fat.Options{Size: 40 << 20, Kind: 32})
	for n := 0; ; n++ {
		m := disk(old)
		m.fail = n
		if err := fat.Format(m, fat.Options{Size: 40 << 20, Kind: 32, Label: "new"}); err == nil {
			if n < 5 {
				t.Errorf("got %d writes, want more", n)
			}
			return
		}
		if _, err := fat.Open(m, 40<<20); err == nil && n > 0 {
			t.Errorf("after write %d: got a file system, want none", n)
		}
	}
}

func TestSetSerialAndLabel(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "blkid")
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			path := mkfs(t, k.size, k.args...)
			f, size := openFile(t, path)
			for _, label := range []string{"bootfs", "OTHER NAME", ""} {
				if err := fat.SetSerial(f, size, "0BAD-CAFE"); err != nil {
					t.Fatal(err)
				}
				if err := fat.SetLabel(f, size, label); err != nil {
					t.Fatal(err)
				}
				clean(t, path)
				v := open(t, path)
				if v.Label() != label || v.Serial() != "0BAD-CAFE" || len(v.Notes()) > 0 {
					t.Errorf("got label %q, serial %s, notes %q, want %q, 0BAD-CAFE", v.Label(), v.Serial(), v.Notes(), label)
				}
				out := fixture.Run(t, "blkid", "-p", "-o", "export", path)
				if label != "" && !strings.Contains(strings.ReplaceAll(out, `\`, ""), "\nLABEL="+label+"\n") || !strings.Contains(out, "UUID=0BAD-CAFE\n") {
					t.Errorf("blkid after label %q:\n%s", label, out)
				}
			}
		})
	}
	if err := fat.SetSerial(disk(make([]byte, 4096)), 4096, "0BAD-CAFE"); err == nil {
		t.Error("SetSerial on zeros: got nil, want an error")
	}
}
