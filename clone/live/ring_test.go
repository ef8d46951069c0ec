package live

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
)

// As Linux 6.18 (x86-64) tells it.
const (
	testHeader = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n" +
		"\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n" +
		"\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n" +
		"\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n"
	testFormat = "name: block_rq_complete\nID: 2107\nformat:\n" +
		"\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n" +
		"\tfield:dev_t dev;\toffset:8;\tsize:4;\tsigned:0;\n" +
		"\tfield:sector_t sector;\toffset:16;\tsize:8;\tsigned:0;\n" +
		"\tfield:unsigned int nr_sector;\toffset:24;\tsize:4;\tsigned:0;\n" +
		"\tfield:char rwbs[10];\toffset:34;\tsize:10;\tsigned:0;\n" +
		"\tfield:__data_loc char[] cmd;\toffset:44;\tsize:4;\tsigned:0;\n"
)

// A testPage builds a page of the ring buffer as the kernel does: Linux,
// include/linux/ring_buffer.h, enum ring_buffer_type.
type testPage struct{ data []byte }

func (p *testPage) word(w uint32) { p.data = binary.NativeEndian.AppendUint32(p.data, w) }

// event adds an event, with its length in its head where short.
func (p *testPage) event(short bool, id uint16, e event) {
	body := make([]byte, 52)
	binary.NativeEndian.PutUint16(body, id)
	binary.NativeEndian.PutUint32(body[8:], e.dev)
	binary.NativeEndian.PutUint64(body[16:], e.sector)
	binary.NativeEndian.PutUint32(body[24:], e.count)
	copy(body[34:], e.rwbs)
	if short {
		p.word(uint32(len(body)/4) | 7<<5)
	} else {
		p.word(0 | 7<<5)
		p.word(uint32(len(body) + 4))
	}
	p.data = append(p.data, body...)
}

func (p *testPage) page(flags uint64) []byte {
	b := make([]byte, 16, 4096)
	binary.NativeEndian.PutUint64(b[8:], uint64(len(p.data))|flags)
	return append(b, p.data...)
}

func parsed(tb testing.TB) (pageShape, format) {
	tb.Helper()
	shape, err := parseShape(testHeader)
	if err != nil {
		tb.Fatal(err)
	}
	f, err := parseFormat(testFormat)
	if err != nil {
		tb.Fatal(err)
	}
	return shape, f
}

func fullPage() ([]byte, []event) {
	events := []event{
		{dev: 7<<20 | 3, sector: 1 << 40, count: 8, rwbs: "WS"},
		{dev: 179 << 20, sector: 0, count: 2048, rwbs: "D"},
		{dev: 179 << 20, sector: 16, count: 1, rwbs: "WFSMAPQRST"},
	}
	var p testPage
	p.event(true, 2107, events[0])
	p.word(typeExtend | 5<<5)
	p.word(1)
	p.event(true, 99, event{}) // another event
	p.event(false, 2107, events[1])
	p.word(typeStamp)
	p.word(2)
	p.word(typePadding | 1<<5) // a discarded event
	p.word(8)
	p.word(0)
	p.event(true, 2107, events[2])
	p.word(typePadding)
	p.word(12345)
	return p.page(0), events
}

func TestDecode(t *testing.T) {
	t.Parallel()
	shape, f := parsed(t)
	page, want := fullPage()
	var got []event
	missed, err := decode(page, shape, f, func(e event) { got = append(got, e) })
	if err != nil || missed || !slices.Equal(got, want) {
		t.Errorf("got %+v, missed %v, %v\nwant %+v", got, missed, err, want)
	}
	if missed, err := decode((&testPage{}).page(commitMissed), shape, f, nil); !missed || err != nil {
		t.Errorf("a page behind a loss: missed %v, %v", missed, err)
	}
	for n := range page[:len(page)-8] { // its last words end the page
		if n < 16 || n%4 != 0 {
			continue
		}
		if _, err := decode(page[:n], shape, f, func(event) {}); !errors.Is(err, errRing) {
			t.Errorf("a page cut at %d: got %v", n, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\tfield: local_t commit;\toffset:8;\tsize:2;\n", "\tfield: char data;\toffset:16;\tsize:4080;\n"} {
		if _, err := parseShape(text); err == nil {
			t.Errorf("%q was taken for the header of a page", text)
		}
	}
	for _, text := range []string{"", "ID: 70000\n", "ID: 1\n\tfield:dev_t dev;\toffset:8;\tsize:4;\n", "ID: 1\n\tfield:dev_t dev;\toffset:-8;\tsize:4;\n"} {
		if _, err := parseFormat(text); err == nil {
			t.Errorf("%q was taken for the format of an event", text)
		}
	}
}

func TestLostEvents(t *testing.T) {
	t.Parallel()
	const text = "entries: 12\noverrun: 3\ncommit overrun: 0\nbytes: 99\ndropped events: 4\nread events: 8\n"
	if got := lostEvents(text); got != 7 {
		t.Errorf("got %d lost events, want 7", got)
	}
	if lostEvents("overrun: many\n") == 0 {
		t.Error("a number that is not understood counts as none lost")
	}
}

func FuzzDecode(f *testing.F) {
	shape, form := parsed(f)
	page, _ := fullPage()
	f.Add(page)
	f.Add(page[:40])
	f.Fuzz(func(t *testing.T, page []byte) {
		n := 0
		_, err := decode(page, shape, form, func(event) { n++ })
		if n > len(page)/form.end || err != nil && !errors.Is(err, errRing) {
			t.Errorf("%d events, %v of %d bytes", n, err, len(page))
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(testHeader)
	f.Add(testFormat)
	f.Fuzz(func(t *testing.T, text string) {
		if shape, err := parseShape(text); err == nil && shape.data.off+shape.data.size > 2<<20 {
			t.Errorf("a page of %+v", shape)
		}
		if form, err := parseFormat(text); err == nil && form.end > 1<<13 {
			t.Errorf("an event of %d bytes", form.end)
		}
		lostEvents(text)
	})
}
