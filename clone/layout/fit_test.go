package layout_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
	"lifeboat/internal/fixture"
)

// places is a table as numbers of 512 bytes: "1:8192+1048576".
func places(t manifest.Table) string {
	var all []string
	for _, e := range t.Entries {
		all = append(all, fmt.Sprintf("%d:%d+%d", e.Num, e.Extent.Off/512, e.Extent.Len/512))
	}
	return strings.Join(all, " ")
}

func TestFit(t *testing.T) {
	t.Parallel()
	const small = 1500 << 20
	for _, c := range []struct {
		name, layout string
		size         int64
		o            layout.Options
		want         string
	}{
		{"same size, nothing asked", "NOOBS", 16 * gib, layout.Options{}, "1:8192+3200000 2:3208192+25000000 5:3210240+65534 6:3284992+500000 7:3801088+20000000"},
		{"larger, root grows", "Raspberry Pi", 32 * gib, layout.Options{Grow: 2}, "1:8192+1048576 2:1056768+66052096"},
		{"odd size", "Raspberry Pi", 31914983424 + 512, layout.Options{Grow: 2}, "1:8192+1048576 2:1056768+61276160"},
		{"smaller, root shrinks", "Raspberry Pi", 2 * gib, layout.Options{Grow: 2, Min: map[int]int64{2: small}}, "1:8192+1048576 2:1056768+3137536"},
		{"smaller, still fits", "Raspberry Pi", 4 * gib, layout.Options{}, "1:8192+1048576 2:1056768+4200000"},
		{"asked size", "Raspberry Pi", 16 * gib, layout.Options{Sizes: map[int]int64{2: 4 * gib}}, "1:8192+1048576 2:1056768+8388608"},
		{"logical grows, extended follows", "NOOBS", 64 * gib, layout.Options{Grow: 7}, "1:8192+3200000 2:3208192+131009536 5:3210240+65534 6:3284992+500000 7:3801088+130416640"},
		{"logical shrinks, extended follows", "NOOBS", 4 * gib, layout.Options{Grow: 7, Min: map[int]int64{7: small}}, "1:8192+3200000 2:3208192+5180416 5:3210240+65534 6:3284992+500000 7:3801088+4587520"},
		{"swap slides to the end", "swap at the end", 32 * gib, layout.Options{Grow: 2, Slide: []int{3}}, "1:8192+524288 2:532480+64479232 3:65011712+2097152"},
		{"swap slides forward", "swap at the end", 4 * gib, layout.Options{Grow: 2, Slide: []int{3}, Min: map[int]int64{2: small}}, "1:8192+524288 2:532480+5758976 3:6291456+2097152"},
		{"swap stays, root is fenced in", "swap at the end", 32 * gib, layout.Options{Grow: 2}, "1:8192+524288 2:532480+20000768 3:20533248+2097152"},
		{"swap gets another size", "swap at the end", 16 * gib, layout.Options{Grow: 2, Slide: []int{3}, Sizes: map[int]int64{3: 512 * mib}}, "1:8192+524288 2:532480+31973376 3:32505856+1048576"},
		{"boot part grows, the others give way", "swap at the end", 16 * gib, layout.Options{Sizes: map[int]int64{1: 512 * mib}, Slide: []int{2, 3}}, "1:8192+1048576 2:1056768+20000000 3:21061632+2097152"},
		{"extended slides with all it holds", "extended behind root", 32 * gib, layout.Options{Grow: 2, Slide: []int{5, 6}}, "1:8192+524288 2:532480+61560832 4:62093312+5009088 5:62095360+2000000 6:64102400+3000000"},
		{"gap stays", "boot flag and gap", 16 * gib, layout.Options{Grow: 3}, "1:2048+524288 3:1048576+32505856"},
		{"fills the gap", "boot flag and gap", 16 * gib, layout.Options{Grow: 1}, "1:2048+1046528 3:1048576+4000000"},
		{"empty extended", "empty extended", 8 * gib, layout.Options{Grow: 1}, "1:2048+1046528 2:1048576+4000000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			table := read(t, sfdisk(t, 16*gib, "label: dos\nlabel-id: 0x1234abcd", mbrLayouts[c.layout]))
			got, err := layout.Fit(table, c.size, 512, c.o)
			must(t, err)
			if places(got) != c.want {
				t.Errorf("got  %s\nwant %s", places(got), c.want)
			}
			disk := blank(t, c.size)
			write(t, got, disk)
			same(t, read(t, disk), got)
			if out, code := fixture.Try(t, "sfdisk", "--verify", disk); code != 0 || strings.Contains(out, "overlap") || strings.Contains(out, "past") {
				t.Errorf("sfdisk --verify: exit code %d\n%s", code, out)
			}
		})
	}
}

func TestFitTooSmall(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, layout string
		size         int64
		o            layout.Options
	}{
		{"nothing may shrink", "Raspberry Pi", 2 * gib, layout.Options{Grow: 2}},
		{"nothing grows", "Raspberry Pi", 2 * gib, layout.Options{}},
		{"a little", "Raspberry Pi", (1056768+4200000)*512 - 512, layout.Options{}},
		{"smallest is too large", "Raspberry Pi", 2 * gib, layout.Options{Grow: 2, Min: map[int]int64{2: 2 * gib}}},
		{"asked size", "Raspberry Pi", 16 * gib, layout.Options{Sizes: map[int]int64{2: 20 * gib}}},
		{"swap is in the way", "swap at the end", 4 * gib, layout.Options{Grow: 2, Slide: []int{3}, Min: map[int]int64{2: 3 * gib}}},
		{"logical", "NOOBS", 8 * gib, layout.Options{Grow: 7, Min: map[int]int64{7: 7 * gib}}},
		{"only slides", "swap at the end", 8 * gib, layout.Options{Slide: []int{3}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			table := read(t, sfdisk(t, 16*gib, "label: dos", mbrLayouts[c.layout]))
			_, err := layout.Fit(table, c.size, 512, c.o)
			var small *layout.TooSmallError
			if !errors.As(err, &small) {
				t.Fatalf("got error %v", err)
			}
			// The promise of the number: with so many bytes more it fits, with 8 MiB less it does not.
			if _, err := layout.Fit(table, c.size+small.Missing, 512, c.o); err != nil {
				t.Errorf("with the %d bytes that were missing: %v", small.Missing, err)
			}
			if less := small.Missing - 8*mib; less > 0 {
				if _, err := layout.Fit(table, c.size+less, 512, c.o); !errors.As(err, &small) {
					t.Errorf("with %d bytes more: got %v", less, err)
				}
			}
		})
	}
}

func TestFitRefuses(t *testing.T) {
	t.Parallel()
	tib := gib << 10
	for _, c := range []struct {
		name, layout string
		size         int64
		o            layout.Options
		want         string
	}{
		{"a part that is not there", "Raspberry Pi", 16 * gib, layout.Options{Grow: 3}, "part 3 is to have another size, and is not in the table"},
		{"extended", "NOOBS", 16 * gib, layout.Options{Grow: 2}, "part 2 is extended"},
		{"no size", "Raspberry Pi", 16 * gib, layout.Options{Sizes: map[int]int64{2: 0}}, "part 2 cannot have a size of 0 bytes"},
		{"in the way", "swap at the end", 16 * gib, layout.Options{Sizes: map[int]int64{1: gib}}, "part 2 begins where part 1 would end, and may not move"},
		{"2 TiB", "Raspberry Pi", 4 * tib, layout.Options{Sizes: map[int]int64{2: 3 * tib}}, "an MBR with sectors of 512 bytes ends at 2199023255552"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			table := read(t, sfdisk(t, 16*gib, "label: dos", mbrLayouts[c.layout]))
			_, err := layout.Fit(table, c.size, 512, c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v want %q", err, c.want)
			}
		})
	}
}

func TestFitToMoreThanAnMBRCanSay(t *testing.T) {
	t.Parallel()
	table := read(t, sfdisk(t, 16*gib, "label: dos", mbrLayouts["Raspberry Pi"]))
	size := 3 * gib << 10
	got, err := layout.Fit(table, size, 512, layout.Options{Grow: 2})
	must(t, err)
	if end := got.Entries[1].Extent.End(); end != 2<<40 {
		t.Errorf("root ends at %d", end)
	}
	if len(got.Notes) != 1 || !strings.Contains(got.Notes[0].String(), "stay unused") {
		t.Errorf("got notes %q", got.Notes)
	}
	disk := blank(t, size)
	write(t, got, disk)
	fixture.Run(t, "sfdisk", "--verify", "-q", disk)
}

func TestFitGPT(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		size int64
		o    layout.Options
		want string
	}{
		{"larger", 16 * gib, layout.Options{Grow: 5}, "1:8192+524288 2:532480+4194304 5:5242880+28309504"},
		{"smaller", 2 * gib, layout.Options{Grow: 2, Slide: []int{5}, Min: map[int]int64{2: gib}}, "1:8192+524288 2:532480+2605056 5:3137536+1048576"},
		{"swap slides", 16 * gib, layout.Options{Grow: 2, Slide: []int{5}}, "1:8192+524288 2:532480+31965184 5:32497664+1048576"},
		{"same", 8 * gib, layout.Options{}, "1:8192+524288 2:532480+4194304 5:5242880+1048576"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			table := read(t, sfdisk(t, 8*gib, gptLabel, gptScript))
			got, err := layout.Fit(table, c.size, 512, c.o)
			must(t, err)
			if places(got) != c.want {
				t.Errorf("got  %s\nwant %s", places(got), c.want)
			}
			disk := blank(t, c.size)
			write(t, got, disk)
			verifyGPT(t, disk)
			same(t, read(t, disk), got)
		})
	}
}

// Whatever the size, all stays in order, aligned as it was, and on the disk.
func TestFitAtManySizes(t *testing.T) {
	t.Parallel()
	for name, script := range mbrLayouts {
		table := read(t, sfdisk(t, 16*gib, "label: dos", script))
		for size := 16 * gib; size < 17*gib; size += 31*mib + 512 {
			o := layout.Options{Grow: layout.Last(table, []int{3, 5}), Slide: []int{3, 5}}
			got, err := layout.Fit(table, size, 512, o)
			if err != nil {
				t.Fatalf("%s, %d bytes: %v", name, size, err)
			}
			for i, e := range got.Entries {
				if e.Extent.End() > size || e.Extent.Len < table.Entries[i].Extent.Len && !e.Extended {
					t.Fatalf("%s, %d bytes: part %d lies at %v", name, size, e.Num, e.Extent)
				}
				if off := e.Extent.Off; off != table.Entries[i].Extent.Off && !e.Extended && off%(4*mib) != 0 {
					t.Fatalf("%s, %d bytes: part %d moved to %d", name, size, e.Num, off)
				}
			}
		}
	}
}

func TestLast(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		layout string
		slide  []int
		want   int
	}{
		{"Raspberry Pi", nil, 2}, {"NOOBS", nil, 7}, {"swap at the end", nil, 3}, {"swap at the end", []int{3}, 2},
		{"extended behind root", []int{5, 6}, 2}, {"empty extended", nil, 1}, {"no parts", nil, 0},
	} {
		table := read(t, sfdisk(t, 16*gib, "label: dos", mbrLayouts[c.layout]))
		if got := layout.Last(table, c.slide); got != c.want {
			t.Errorf("%s, %v slide: got %d want %d", c.layout, c.slide, got, c.want)
		}
	}
}

func TestFitWithoutTable(t *testing.T) {
	t.Parallel()
	got, err := layout.Fit(manifest.Table{}, gib, 512, layout.Options{})
	must(t, err)
	same(t, got, manifest.Table{})
}
