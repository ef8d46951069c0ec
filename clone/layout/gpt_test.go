package layout_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
	"lifeboat/internal/fixture"
	"lifeboat/internal/speech"
)

const gptScript = `1: start=8192, size=524288, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=11111111-2222-4333-8444-555555555501, name="boot", attrs=LegacyBIOSBootable
2: start=532480, size=4194304, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, uuid=11111111-2222-4333-8444-555555555502, name="root", attrs="RequiredPartition GUID:63"
5: start=5242880, size=1048576, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F, name="swap"`

const gptLabel = "label: gpt\nlabel-id: 99999999-2222-4333-8444-555555555500"

// sgdisk makes a disk of size bytes by the arguments given.
func sgdisk(tb testing.TB, size int64, args ...string) string {
	tb.Helper()
	fixture.Need(tb, "sgdisk")
	path := blank(tb, size)
	fixture.Run(tb, "sgdisk", append(args, path)...)
	return path
}

// verifyGPT has sgdisk look for problems.
func verifyGPT(tb testing.TB, path string) {
	tb.Helper()
	out := fixture.Run(tb, "sgdisk", "--verify", path)
	if !strings.Contains(out, "No problems found") {
		tb.Errorf("sgdisk --verify: %s", out)
	}
}

func gptDisks(tb testing.TB) map[string]string {
	size := 8 * gib
	return map[string]string{
		"sfdisk":      sfdisk(tb, size, gptLabel, gptScript),
		"no parts":    sfdisk(tb, size, gptLabel, ""),
		"sgdisk":      sgdisk(tb, size, "-n1:2048:+256M", "-n2:0:0", "-c2:root", "-A2:set:2", "-A2:set:63"),
		"56 entries":  sgdisk(tb, size, "-S56", "-a1", "-n1:16:+1M", "-n2:8192:+1G"),
		"moved array": sgdisk(tb, size, "-j8064", "-n1:16384:+1G"),
		"256 entries": sgdisk(tb, size, "-S256", "-n1:2048:+1G"),
	}
}

func TestGPTIsWrittenAsItWas(t *testing.T) {
	t.Parallel()
	for name, disk := range gptDisks(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := read(t, disk)
			if table.Kind != manifest.GPT || len(table.Notes) > 0 {
				t.Errorf("got kind %q, notes %q", table.Kind, table.Notes)
			}
			copied := blank(t, 8*gib)
			write(t, table, copied)
			sameOwn(t, table, disk, copied)
			verifyGPT(t, copied)
			if got, want := dump(t, copied), dump(t, disk); got != want {
				t.Errorf("sfdisk --dump: got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestGPTFields(t *testing.T) {
	t.Parallel()
	table := read(t, sfdisk(t, 8*gib, gptLabel, gptScript))
	if table.ID != "99999999-2222-4333-8444-555555555500" {
		t.Errorf("got ID %s", table.ID)
	}
	want := manifest.Entry{
		Num: 2, Type: "0fc63daf-8483-4772-8e79-3d69d8477de4", UUID: "11111111-2222-4333-8444-555555555502",
		Name: "root", Attrs: 1<<63 | 1,
	}
	want.Extent.Off, want.Extent.Len = 532480*512, 4194304*512
	if got := table.Entries[1]; got != want {
		t.Errorf("got %+v want %+v", got, want)
	}
	if !table.Entries[0].Active || table.Entries[2].Num != 5 {
		t.Errorf("got %+v", table.Entries)
	}
}

func TestBrokenGPT(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breaks []int64 // bytes to change
		note   string  // or
		err    string
	}{
		"primary header":  {[]int64{512 + 60}, "its backup at the end of the disk was taken", ""},
		"primary entries": {[]int64{1024 + 40}, "its backup at the end of the disk was taken", ""},
		"backup":          {[]int64{8*gib - 512 + 60}, "the backup of the GPT", ""},
		"both":            {[]int64{512 + 60, 8*gib - 512 + 60}, "", "the disk says that it has a GPT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := sfdisk(t, 8*gib, gptLabel, gptScript)
			whole := read(t, disk)
			f, size := open(t, disk)
			for _, off := range c.breaks {
				_, err := f.WriteAt([]byte{0x5a}, off)
				must(t, err)
			}
			got, err := layout.Read(f, size, 512)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got error %v want %q", err, c.err)
				}
				return
			}
			must(t, err)
			if notes := strings.Join(speech.Strings(got.Notes), " "); !strings.Contains(notes, c.note) {
				t.Errorf("got notes %q want %q", notes, c.note)
			}
			write(t, got, disk)
			verifyGPT(t, disk)
			got.Notes = nil
			same(t, got, whole)
		})
	}
}

// An image of a smaller disk on a larger one, and one that was cut.
func TestGPTOnADiskOfAnotherSize(t *testing.T) {
	t.Parallel()
	disk := sfdisk(t, 8*gib, gptLabel, gptScript)
	must(t, os.Truncate(disk, 16*gib))
	table := read(t, disk)
	if !strings.Contains(strings.Join(speech.Strings(table.Notes), " "), "is for a disk of 8589934592 bytes") {
		t.Errorf("larger disk: got notes %q", table.Notes)
	}
	write(t, table, disk)
	verifyGPT(t, disk)

	cut := sfdisk(t, 8*gib, gptLabel, gptScript)
	must(t, os.Truncate(cut, 4*gib))
	table = read(t, cut)
	if !strings.Contains(strings.Join(speech.Strings(table.Notes), " "), "broken or missing") {
		t.Errorf("cut disk: got notes %q", table.Notes)
	}
	if end := table.Own.Bounds().End(); end > 4*gib {
		t.Errorf("cut disk: its table reaches to %d", end)
	}
	must(t, os.Truncate(cut, 2*gib))
	f, size := open(t, cut)
	if _, err := layout.Read(f, size, 512); err == nil {
		t.Error("cut in a part: no error")
	}
}

func TestGPTOfAStream(t *testing.T) {
	t.Parallel()
	disk := sfdisk(t, 8*gib, gptLabel, gptScript)
	whole := read(t, disk)
	f, _ := open(t, disk)
	front := make([]byte, mib)
	_, err := f.ReadAt(front, 0)
	must(t, err)
	got, err := layout.Read(bytes.NewReader(front), 0, 512)
	must(t, err)
	same(t, got, whole)
}

func TestHybridMBR(t *testing.T) {
	t.Parallel()
	disk := sgdisk(t, 8*gib, "-n1:8192:+256M", "-n2:0:+1G", "-h1")
	table := read(t, disk)
	if len(table.Hybrid) != 2 || len(table.Notes) != 1 {
		t.Fatalf("got hybrid %+v, notes %q", table.Hybrid, table.Notes)
	}
	copied := blank(t, 8*gib)
	write(t, table, copied)
	same(t, read(t, copied), table)
	fitted, err := layout.Fit(table, 4*gib, 512, layout.Options{Sizes: map[int]int64{1: 128 * mib}})
	must(t, err)
	for _, e := range fitted.Hybrid {
		if e.Type != "ee" && e.Extent != fitted.Entries[0].Extent {
			t.Errorf("the line of part 1 lies at %v, the part at %v", e.Extent, fitted.Entries[0].Extent)
		}
	}
	small := blank(t, 4*gib)
	write(t, fitted, small)
	verifyGPT(t, small)
}

// A card that was a GPT disk once: no 0xEE line, no GPT.
func TestStaleGPTIsIgnored(t *testing.T) {
	t.Parallel()
	disk := sfdisk(t, 16*gib, gptLabel, gptScript)
	flashed, _ := open(t, sfdisk(t, 16*gib, "label: dos", mbrLayouts["Raspberry Pi"]))
	first := make([]byte, 512)
	_, err := flashed.ReadAt(first, 0)
	must(t, err)
	f, _ := open(t, disk)
	_, err = f.WriteAt(first, 0)
	must(t, err)
	if table := read(t, disk); table.Kind != manifest.MBR || len(table.Entries) != 2 {
		t.Errorf("got kind %q with %d parts", table.Kind, len(table.Entries))
	}
}

func TestLargeSectors(t *testing.T) {
	t.Parallel()
	disk := blank(t, 8*gib)
	f, size := open(t, disk)
	table := manifest.Table{Kind: manifest.GPT, ID: "99999999-2222-4333-8444-555555555500", Entries: []manifest.Entry{{
		Num: 1, Type: "0fc63daf-8483-4772-8e79-3d69d8477de4", UUID: "11111111-2222-4333-8444-555555555502", Name: "root 🌱",
	}}}
	table.Entries[0].Extent.Off, table.Entries[0].Extent.Len = 4*mib, 5*gib
	must(t, layout.Write(f, table, size, 4096))
	got, err := layout.Read(f, size, 4096)
	must(t, err)
	var other *layout.SectorError
	if _, err := layout.Read(f, size, 512); !errors.As(err, &other) || other.Sector != 4096 {
		t.Errorf("with sectors of 512 bytes: got error %v", err)
	}
	got.Own, got.Code = nil, nil
	same(t, got, table)
	fixture.Need(t, "partx")
	out := fixture.Run(t, "partx", "--sector-size", "4096", "--show", "--noheadings", "--output", "NR,START,SECTORS,NAME", disk)
	// partx counts in 512 bytes whatever it is told, and escapes the seedling.
	if want := `1 8192 10485760 root \xf0\x9f\x8c\xb1`; strings.Join(strings.Fields(out), " ") != want {
		t.Errorf("partx says %q want %q", out, want)
	}
}
