package layout_test

import (
	"bytes"
	"testing"

	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
)

// What Read accepts, Write repeats: reading it again gives the same table.
func FuzzRead(f *testing.F) {
	ext := row{0, 3, 0, 0x0f, 100, 800}
	f.Add(disk(1000, row{0, 0, 0x80, 0x0c, 8, 50}, row{0, 1, 0, 0x83, 60, 30}), false)
	f.Add(disk(1000, ext, row{100, 0, 0, 0x83, 10, 10}, row{100, 1, 0, 0x05, 50, 30}, row{150, 0, 0, 0x82, 10, 10}), false)
	f.Add(disk(1000, ext, row{100, 1, 0, 0x05, 50, 30}, row{150, 0, 0, 0x82, 10, 10}), true)
	gpt := gptBytes(f)
	f.Add(gpt, false)
	f.Add(gpt[:64<<10], true)
	hybrid := bytes.Clone(gpt)
	copy(hybrid, disk(1, row{0, 0, 0, 0x0c, 128, 128}, row{0, 1, 0, 0xee, 1, 127}))
	f.Add(hybrid, false)
	broken := bytes.Clone(gpt)
	broken[600]++
	f.Add(broken, false)
	f.Fuzz(func(t *testing.T, b []byte, stream bool) {
		size := int64(len(b))
		if stream {
			size = 0
		}
		table, err := layout.Read(bytes.NewReader(b), size, 512)
		if err != nil || table.Kind == manifest.NoTable {
			return
		}
		size = max(int64(len(b)), table.Own.Bounds().End())
		for _, e := range table.Entries {
			size = max(size, e.Extent.End()+mib)
		}
		if size > 64*mib {
			return
		}
		m := &memory{b: make([]byte, size)}
		if err := layout.Write(m, table, size, 512); err != nil {
			t.Fatalf("%+v was read, and cannot be written: %v", table, err)
		}
		got, err := layout.Read(m, size, 512)
		if err != nil {
			t.Fatalf("%+v was written, and cannot be read: %v", table, err)
		}
		if table.Kind == manifest.GPT {
			got.Own = table.Own // its backup is at the end of this disk now
		}
		got.Notes, table.Notes = nil, nil
		same(t, got, table)
	})
}

// Fit gives a table that Write takes, or an error.
func FuzzFit(f *testing.F) {
	f.Add(disk(1000, row{0, 0, 0x80, 0x0c, 8, 50}, row{0, 1, 0, 0x83, 60, 30}), int64(64*mib), uint8(2), int64(0), uint8(1), int64(4096))
	f.Add(disk(1000, row{0, 3, 0, 0x0f, 100, 800}, row{100, 0, 0, 0x83, 10, 10}, row{100, 1, 0, 0x05, 50, 30}, row{150, 0, 0, 0x82, 10, 10}), int64(64*mib), uint8(5), int64(8192), uint8(6), int64(9000))
	f.Add(gptBytes(f), int64(32*mib), uint8(1), int64(1), uint8(4), int64(512))
	f.Fuzz(func(t *testing.T, b []byte, size int64, grow uint8, smallest int64, slide uint8, asked int64) {
		table, err := layout.Read(bytes.NewReader(b), int64(len(b)), 512)
		if err != nil || size < 0 || size > 256*mib {
			return
		}
		o := layout.Options{Grow: int(grow), Min: map[int]int64{int(grow): smallest}, Slide: []int{int(slide), 6, 7}}
		if asked > 0 {
			o.Sizes = map[int]int64{int(slide): asked}
		}
		got, err := layout.Fit(table, size, 512, o)
		if err != nil {
			return
		}
		m := &memory{b: make([]byte, size)}
		if err := layout.Write(m, got, size, 512); err != nil {
			t.Fatalf("%+v was fitted, and cannot be written: %v", got, err)
		}
		again, err := layout.Read(m, size, 512)
		if err != nil {
			t.Fatal(err)
		}
		got.Notes, again.Notes = nil, nil
		same(t, again, got)
	})
}

// Join gives a table that Write takes, with all parts of both, or an error.
func FuzzJoin(f *testing.F) {
	mbr := disk(1000, row{0, 0, 0x80, 0x0c, 8, 50}, row{0, 1, 0, 0x83, 60, 30})
	f.Add(mbr, mbr)
	f.Add(mbr, disk(1000, row{0, 3, 0, 0x0f, 100, 800}, row{100, 0, 0, 0x83, 10, 10}, row{100, 1, 0, 0x05, 50, 30}, row{150, 0, 0, 0x82, 10, 10}))
	f.Add(mbr, gptBytes(f))
	f.Add(gptBytes(f), mbr)
	f.Add(gptBytes(f), gptBytes(f))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		one, err := layout.Read(bytes.NewReader(a), int64(len(a)), 512)
		if err != nil || one.Kind == manifest.NoTable {
			return
		}
		two, err := layout.Read(bytes.NewReader(b), int64(len(b)), 512)
		if err != nil {
			return
		}
		var guests []layout.Guest
		for _, e := range two.Entries {
			if !e.Extended {
				guests = append(guests, layout.Guest{Entry: e})
			}
		}
		got, placed, size, err := layout.Join(one, guests, 512, bytes.NewReader(make([]byte, 1<<12)))
		if err != nil || size > 64*mib {
			return
		}
		if len(placed) != len(guests) || len(got.Entries) < len(one.Entries)+len(guests) {
			t.Fatalf("%+v\nand %+v\nbecame %+v", one, two, got)
		}
		m := &memory{b: make([]byte, size)}
		if err := layout.Write(m, got, size, 512); err != nil {
			t.Fatalf("%+v was joined, and cannot be written: %v", got, err)
		}
		again, err := layout.Read(m, size, 512)
		if err != nil {
			t.Fatal(err)
		}
		got.Notes, again.Notes = nil, nil
		same(t, again, got)
	})
}
