package layout_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/layout"
	"lifeboat/clone/manifest"
)

var le = binary.LittleEndian

// A row is a line of an MBR or EBR: where it stands, and what it says.
type row struct {
	sector, line int64
	flag, kind   byte
	start, count uint32
}

// disk makes bytes of a disk with these rows. Each sector that has one gets the
// magic.
func disk(sectors int64, rows ...row) []byte {
	b := make([]byte, sectors*512)
	le.PutUint32(b[440:], 0xdeadbeef)
	for _, r := range rows {
		s := b[r.sector*512:][:512]
		s[510], s[511] = 0x55, 0xaa
		l := s[446+16*r.line:]
		l[0], l[4] = r.flag, r.kind
		le.PutUint32(l[8:], r.start)
		le.PutUint32(l[12:], r.count)
	}
	return b
}

func TestHostileMBR(t *testing.T) {
	t.Parallel()
	ext := row{0, 0, 0, 0x05, 100, 800}
	for _, c := range []struct {
		name string
		rows []row
		want string
	}{
		{"behind the end", []row{{0, 0, 0, 0x83, 8, 1000}}, "part 1 ends at byte 516096, the disk at 512000"},
		{"huge", []row{{0, 0, 0, 0x83, math.MaxUint32, math.MaxUint32}}, "the disk at 512000"},
		{"over the table", []row{{0, 0, 0, 0x83, 0, 10}}, "no place for a part"},
		{"overlap", []row{{0, 0, 0, 0x83, 8, 100}, {0, 2, 0, 0x83, 107, 100}}, "part 1 and part 3 overlap"},
		{"overlap with the extended part", []row{ext, {0, 2, 0, 0x83, 10, 91}}, "part 3 and part 1 overlap"},
		{"two extended parts", []row{{0, 0, 0, 0x05, 100, 100}, {0, 1, 0, 0x0f, 300, 100}}, "both extended"},
		{"chain loops", []row{ext, {100, 0, 0, 0x83, 10, 10}, {100, 1, 0, 0x05, 50, 30}, {150, 1, 0, 0x05, 50, 30}}, "loops at byte 76800"},
		{"chain loops to its start", []row{ext, {100, 0, 0, 0x83, 10, 10}, {100, 1, 0, 0x05, 0, 30}}, "loops at byte 51200"},
		{"chain leaves", []row{ext, {100, 0, 0, 0x83, 10, 10}, {100, 1, 0, 0x05, 5000, 30}}, "leaves it at byte 2611200"},
		{"logical part leaves", []row{ext, {100, 0, 0, 0x83, 10, 791}}, "part 5 leaves part 1"},
		{"logical part on its own line", []row{ext, {100, 0, 0, 0x83, 0, 10}}, "part 5: its line cannot lie"},
		{"logical parts overlap", []row{ext, {100, 0, 0, 0x83, 10, 200}, {100, 1, 0, 0x05, 50, 30}, {150, 0, 0, 0x83, 10, 10}}, "overlap"},
		{"a line in a part", []row{ext, {100, 0, 0, 0x83, 10, 100}, {100, 1, 0, 0x05, 50, 300}, {150, 0, 0, 0x83, 100, 10}}, "lies in another part"},
		{"two in one record", []row{ext, {100, 0, 0, 0x83, 10, 10}, {100, 1, 0, 0x83, 30, 10}}, "two logical parts in the record"},
		{"link to what is no record", []row{ext, {100, 0, 0, 0x83, 10, 10}, {100, 1, 0, 0x05, 50, 30}}, "record of logical parts at byte 76800 has no signature"},
		{"link without a length", []row{ext, {100, 0, 0, 0x83, 10, 10}, {100, 1, 0, 0x05, 50, 0}, {150, 0, 0, 0x83, 10, 10}}, "a next one without a length"},
		{"protective and no GPT", []row{{0, 0, 0, 0xee, 1, 999}}, "the disk says that it has a GPT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := disk(1000, c.rows...)
			_, err := layout.Read(bytes.NewReader(b), int64(len(b)), 512)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v want %q", err, c.want)
			}
		})
	}
}

// TestDamagedFirstRecord: an extended part may be empty, but not damaged.
func TestDamagedFirstRecord(t *testing.T) {
	t.Parallel()
	b := disk(1000, row{0, 0, 0, 0x05, 100, 800})
	b[100*512+446+4] = 0x83
	if _, err := layout.Read(bytes.NewReader(b), int64(len(b)), 512); err == nil || !strings.Contains(err.Error(), "has no signature") {
		t.Errorf("got error %v", err)
	}
}

func TestLongChainIsBounded(t *testing.T) {
	t.Parallel()
	rows := []row{{0, 0, 0, 0x05, 1, 999}}
	for i := int64(1); i < 900; i++ {
		rows = append(rows, row{i, 1, 0, 0x05, uint32(i), 1})
	}
	b := disk(1000, rows...)
	if _, err := layout.Read(bytes.NewReader(b), int64(len(b)), 512); err == nil || !strings.Contains(err.Error(), "more than 256 links") {
		t.Errorf("got error %v", err)
	}
}

// What the kernel makes of odd chains: Linux v6.12, block/partitions/msdos.c.
func TestOddChains(t *testing.T) {
	t.Parallel()
	ext := row{0, 3, 0, 0x0f, 100, 800}
	for _, c := range []struct {
		name string
		rows []row
		want string
	}{
		{"never written", []row{ext}, "4:100+800"},
		{"first record empty", []row{ext, {100, 1, 0, 0x05, 50, 30}, {150, 0, 0x80, 0x83, 10, 10}}, "4:100+800 5:160+10"},
		{"link before the part", []row{ext, {100, 0, 0, 0x05, 50, 30}, {100, 1, 0, 0x83, 10, 10}, {150, 0, 0, 0x82, 10, 10}}, "4:100+800 5:110+10 6:160+10"},
		{"garbage in line 3", []row{ext, {100, 0, 0, 0x83, 10, 10}, {100, 2, 0, 0x83, 4000, 10}}, "4:100+800 5:110+10"},
		{"not in the order of place", []row{ext, {100, 0, 0, 0x83, 300, 10}, {100, 1, 0, 0x05, 50, 30}, {150, 0, 0, 0x83, 10, 10}}, "4:100+800 5:400+10 6:160+10"},
		{"type 0", []row{{0, 1, 0, 0, 100, 10}}, "2:100+10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := disk(1000, c.rows...)
			table, err := layout.Read(bytes.NewReader(b), int64(len(b)), 512)
			must(t, err)
			if got := places(table); got != c.want {
				t.Errorf("got %s want %s", got, c.want)
			}
			w := &memory{b: make([]byte, len(b))}
			must(t, layout.Write(w, table, int64(len(b)), 512))
			again, err := layout.Read(bytes.NewReader(w.b), int64(len(b)), 512)
			must(t, err)
			same(t, again, table)
		})
	}
}

func TestNoTable(t *testing.T) {
	t.Parallel()
	fat := disk(100, row{0, 0, 0, 0, 0, 0})
	copy(fat, "\xeb\x58\x90mkfs.fat\x00\x02\x01\x20\x00\x02\x00\x00\x00\x00\xf8")
	text := disk(100, row{0, 0, 'T', 'x', 1, 1})
	for name, b := range map[string][]byte{
		"zeros": make([]byte, 512*100), "empty": nil, "short": make([]byte, 100),
		"a FAT file system": fat, "boot code where lines would be": text,
	} {
		got, err := layout.Read(bytes.NewReader(b), int64(len(b)), 512)
		if err != nil || got.Kind != manifest.NoTable {
			t.Errorf("%s: got kind %q, error %v", name, got.Kind, err)
		}
	}
	if _, err := layout.Read(bytes.NewReader(nil), gib, 512); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("unreadable: got error %v", err)
	}
	for _, sector := range []int64{0, 100, 513, 8192, -512} {
		if _, err := layout.Read(bytes.NewReader(fat), int64(len(fat)), sector); err == nil {
			t.Errorf("sector of %d bytes: no error", sector)
		}
	}
}

// Of a stream only the front can be read; EBRs lie far behind.
func TestFarChain(t *testing.T) {
	t.Parallel()
	f, _ := open(t, sfdisk(t, 16*gib, "label: dos", mbrLayouts["NOOBS"]))
	front := make([]byte, 4*mib)
	_, err := f.ReadAt(front, 0)
	must(t, err)
	got, err := layout.Read(bytes.NewReader(front), 0, 512)
	var far *layout.FarError
	if !errors.As(err, &far) || far.Off != 3208192*512 {
		t.Errorf("got error %v", err)
	}
	if want := "1:8192+3200000 2:3208192+25000000"; places(got) != want {
		t.Errorf("got %s want %s", places(got), want)
	}
	whole, err := layout.Read(f, 0, 512)
	must(t, err)
	if len(whole.Entries) != 5 {
		t.Errorf("whole disk of unknown size: got %s", places(whole))
	}
}

// gptHeader changes the primary header of a disk and sets its checksum right.
func gptHeader(b []byte, change func(h []byte)) {
	h := b[512:][:92]
	change(h)
	le.PutUint32(h[16:], 0)
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
}

// memory is a disk in memory that remembers in which order it was written.
type memory struct {
	b     []byte
	wrote []int64 // offsets; -1 = Sync
	fail  int     // fail at this write, counted from 1
}

var errWorn = errors.New("worn out")

func (m *memory) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(m.b).ReadAt(p, off) }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if m.fail > 0 && len(m.wrote)+1 >= m.fail {
		return 0, errWorn
	}
	m.wrote = append(m.wrote, off)
	return copy(m.b[off:], p), nil
}

func (m *memory) Sync() error { m.wrote = append(m.wrote, -1); return nil }

// gptBytes is a whole disk of 1 MiB with a GPT.
func gptBytes(tb testing.TB) []byte {
	tb.Helper()
	m := &memory{b: make([]byte, mib)}
	table := manifest.Table{Kind: manifest.GPT, ID: "99999999-2222-4333-8444-555555555500", Entries: []manifest.Entry{
		{Num: 1, Extent: extent.Extent{Off: 64 << 10, Len: 64 << 10}, Type: "0fc63daf-8483-4772-8e79-3d69d8477de4", UUID: "11111111-2222-4333-8444-555555555501", Name: "boot"},
		{Num: 4, Extent: extent.Extent{Off: 256 << 10, Len: 512 << 10}, Type: "0fc63daf-8483-4772-8e79-3d69d8477de4", UUID: "11111111-2222-4333-8444-555555555504"},
	}}
	must(tb, layout.Write(m, table, mib, 512))
	return m.b
}

func TestHostileGPT(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(h []byte)
		want   string
	}{
		{"millions of entries", func(h []byte) { le.PutUint32(h[80:], math.MaxUint32) }, "4294967295 entries"},
		{"large entries", func(h []byte) { le.PutUint32(h[84:], 1<<30) }, "entries of 1073741824 bytes"},
		{"no entries", func(h []byte) { le.PutUint32(h[80:], 0) }, "it has 0 entries"},
		{"entries far away", func(h []byte) { le.PutUint64(h[72:], 1<<62) }, "speaks of sector"},
		{"entries behind the end", func(h []byte) { le.PutUint64(h[72:], 1<<30) }, "read its entries"},
		{"elsewhere", func(h []byte) { le.PutUint64(h[24:], 7) }, "lies at sector 7, not 1"},
		{"another revision", func(h []byte) { h[8] = 9 }, "not supported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := gptBytes(t)
			gptHeader(b, c.change)
			got, err := layout.Read(bytes.NewReader(b), mib, 512)
			must(t, err)
			if len(got.Notes) != 1 || !strings.Contains(got.Notes[0].String(), c.want) {
				t.Errorf("got notes %q want %q", got.Notes, c.want)
			}
			_, err = layout.Read(bytes.NewReader(b), 0, 512)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("as a stream: got error %v want %q", err, c.want)
			}
		})
	}
}

func TestOrderOfWrites(t *testing.T) {
	t.Parallel()
	last := mib - 512
	mbr := disk(2048, row{0, 0, 0, 0x83, 8, 10}, row{0, 1, 0, 0x05, 100, 800},
		row{100, 0, 0, 0x83, 10, 10}, row{100, 1, 0, 0x05, 50, 30}, row{150, 0, 0, 0x83, 10, 10})
	for _, c := range []struct {
		name string
		from []byte
		want []int64
	}{
		{"MBR", mbr, []int64{100 * 512, 150 * 512, -1, 0, -1}},
		{"GPT", gptBytes(t), []int64{last - 32*512, last, -1, 1024, -1, 512, -1, 0, -1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			table, err := layout.Read(bytes.NewReader(c.from), mib, 512)
			must(t, err)
			m := &memory{b: bytes.Repeat([]byte{0xa5}, int(mib))}
			must(t, layout.Write(m, table, mib, 512))
			if !slices.Equal(m.wrote, c.want) {
				t.Errorf("got %v want %v", m.wrote, c.want)
			}
			// All but the table's own sectors is as it was.
			for _, e := range extent.Of(extent.Extent{Len: mib}).Subtract(table.Own) {
				if b := m.b[e.Off:e.End()]; !bytes.Equal(b, bytes.Repeat([]byte{0xa5}, len(b))) {
					t.Errorf("%v was written to", e)
				}
			}
			for n := 1; n < len(c.want); n++ {
				m := &memory{b: make([]byte, mib), fail: n}
				if err := layout.Write(m, table, mib, 512); !errors.Is(err, errWorn) {
					t.Errorf("write %d fails: got %v", n, err)
				}
				if got, err := layout.Read(m, mib, 512); err != nil || got.Kind != manifest.NoTable {
					t.Errorf("write %d failed: the disk has a table of kind %q (%v)", n, got.Kind, err)
				}
			}
		})
	}
}

func TestWipe(t *testing.T) {
	t.Parallel()
	m := &memory{b: gptBytes(t)}
	table, err := layout.Read(m, mib, 512)
	must(t, err)
	must(t, layout.Wipe(m, mib, 512))
	for _, e := range table.Own {
		if !extent.IsZero(m.b[e.Off:e.End()]) {
			t.Errorf("%v holds a rest of the table", e)
		}
	}
	if want := []int64{0, -1, 512}; !slices.Equal(m.wrote[:3], want) {
		t.Errorf("wrote at, and synced (-1), %v, want %v first", m.wrote, want)
	}
	for _, tiny := range []int64{0, 511, 512, 1024, 20000, 40000} {
		must(t, layout.Wipe(&memory{b: make([]byte, tiny)}, tiny, 512))
	}
	if err := layout.Wipe(&memory{b: m.b, fail: 1}, mib, 512); !errors.Is(err, errWorn) {
		t.Errorf("got error %v", err)
	}
}

// The rest of a large sector, behind an MBR, is not ours.
func TestLargeSectorIsKept(t *testing.T) {
	t.Parallel()
	m := &memory{b: bytes.Repeat([]byte{0xa5}, int(mib))}
	table := manifest.Table{Kind: manifest.MBR, ID: "12345678", Entries: []manifest.Entry{
		{Num: 1, Extent: extent.Extent{Off: 8192, Len: 8192}, Type: "83"},
	}}
	must(t, layout.Write(m, table, mib, 4096))
	if got := m.b[512:4096]; !bytes.Equal(got, bytes.Repeat([]byte{0xa5}, len(got))) {
		t.Error("bytes 512 to 4095 were written to")
	}
	if le.Uint32(m.b[446+8:]) != 2 {
		t.Errorf("the part begins at sector %d", le.Uint32(m.b[446+8:]))
	}
}

func TestNewIDs(t *testing.T) {
	t.Parallel()
	random := bytes.NewReader([]byte("\x00\x00\x00\x00\xde\xad\xbe\xef\x12\x34\xab\xcd0123456789abcdef0123456789abcdef0123456789abcdef"))
	b := disk(1000, row{0, 1, 0, 0x83, 100, 10})
	mbr, err := layout.Read(bytes.NewReader(b), int64(len(b)), 512)
	must(t, err)
	renamed, changed, err := layout.NewIDs(mbr, random)
	must(t, err)
	if renamed.ID != "1234abcd" || renamed.Entries[0].UUID != "1234abcd-02" {
		t.Errorf("got ID %s, PARTUUID %s", renamed.ID, renamed.Entries[0].UUID)
	}
	if changed["deadbeef"] != "1234abcd" || changed["deadbeef-02"] != "1234abcd-02" || len(changed) != 2 {
		t.Errorf("got changes %v", changed)
	}
	if mbr.Entries[0].UUID != "deadbeef-02" {
		t.Error("the old table was changed")
	}
	gpt, err := layout.Read(bytes.NewReader(gptBytes(t)), mib, 512)
	must(t, err)
	renamed, changed, err = layout.NewIDs(gpt, random)
	must(t, err)
	if want := "30313233-3435-4637-b839-616263646566"; renamed.ID != want || changed[gpt.Entries[1].UUID] != renamed.Entries[1].UUID || len(changed) != 3 {
		t.Errorf("got ID %s want %s, changes %v", renamed.ID, want, changed)
	}
	if _, _, err := layout.NewIDs(gpt, random); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("no more randomness: got %v", err)
	}
}

// Tables also come out of files that others made.
func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	part := func(num int, off, size int64, kind string) manifest.Entry {
		return manifest.Entry{Num: num, Extent: extent.Extent{Off: off, Len: size}, Type: kind, UUID: "11111111-2222-4333-8444-555555555501"}
	}
	const linux, guid = "0fc63daf-8483-4772-8e79-3d69d8477de4", "99999999-2222-4333-8444-555555555500"
	long := part(1, 65536, 512, linux)
	long.Name = strings.Repeat("🌱", 19)
	for name, table := range map[string]manifest.Table{
		"kind":          {Kind: "apm"},
		"disk ID":       {Kind: manifest.MBR, ID: "xyz"},
		"type":          {Kind: manifest.MBR, ID: "12345678", Entries: []manifest.Entry{part(1, 512, 512, linux)}},
		"number":        {Kind: manifest.MBR, ID: "12345678", Entries: []manifest.Entry{part(0, 512, 512, "83")}},
		"twice":         {Kind: manifest.MBR, ID: "12345678", Entries: []manifest.Entry{part(1, 512, 512, "83"), part(1, 2048, 512, "83")}},
		"no extended":   {Kind: manifest.MBR, ID: "12345678", Entries: []manifest.Entry{part(5, 1024, 512, "83")}},
		"extended":      {Kind: manifest.MBR, ID: "12345678", Entries: []manifest.Entry{part(1, 1024, 512, "05")}},
		"half a sector": {Kind: manifest.MBR, ID: "12345678", Entries: []manifest.Entry{part(1, 1000, 512, "83")}},
		"overflow":      {Kind: manifest.MBR, ID: "12345678", Entries: []manifest.Entry{part(1, math.MaxInt64-511, 512, "83")}},
		"boot code":     {Kind: manifest.MBR, ID: "12345678", Code: make([]byte, 441)},
		"GUID":          {Kind: manifest.GPT, ID: "12345678"},
		"over the GPT":  {Kind: manifest.GPT, ID: guid, Entries: []manifest.Entry{part(1, 1024, 512, linux)}},
		"over its end":  {Kind: manifest.GPT, ID: guid, Entries: []manifest.Entry{part(1, 65536, mib-65536, linux)}},
		"GPT number":    {Kind: manifest.GPT, ID: guid, Entries: []manifest.Entry{part(129, 65536, 512, linux)}},
		"long name":     {Kind: manifest.GPT, ID: guid, Entries: []manifest.Entry{long}},
		"slots":         {Kind: manifest.GPT, ID: guid, Slots: 1 << 30},
		"hybrid":        {Kind: manifest.GPT, ID: guid, Hybrid: []manifest.Entry{part(9, 512, 512, "83")}},
	} {
		m := &memory{b: make([]byte, mib)}
		if err := layout.Write(m, table, mib, 512); err == nil || len(m.wrote) > 0 {
			t.Errorf("%s: got error %v after %d writes", name, err, len(m.wrote))
		}
	}
}
