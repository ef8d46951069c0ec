package live

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// An event is one finished request of a disk.
type event struct {
	dev    uint32 // Linux, include/linux/kdev_t.h: 12 bits major, 20 bits minor
	sector uint64 // in units of 512 bytes
	count  uint32
	rwbs   string // Linux, kernel/trace/blktrace.c, blk_fill_rwbs
}

// A field is where a value lies in an event's bytes.
type field struct{ off, size int }

// A format says how the kernel lays out block_rq_complete: it differs from
// kernel to kernel, and each tells its own.
type format struct {
	id                       uint16
	dev, sector, count, rwbs field
	end                      int // bytes that an event has at least
}

const eventName = "block/block_rq_complete"

// parseFormat reads events/block/block_rq_complete/format.
func parseFormat(text string) (format, error) {
	fields := map[string]field{}
	var f format
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if id, ok := strings.CutPrefix(line, "ID: "); ok {
			n, err := strconv.ParseUint(id, 10, 16)
			if err != nil {
				return f, fmt.Errorf("trace format: ID: %w", err)
			}
			f.id = uint16(n)
		}
		if decl, ok := strings.CutPrefix(line, "field:"); ok {
			name, place := parseField(decl)
			fields[name] = place
		}
	}
	for _, want := range []struct {
		name string
		size int // 0 = any
		to   *field
	}{{"dev", 4, &f.dev}, {"sector", 8, &f.sector}, {"nr_sector", 4, &f.count}, {"rwbs", 0, &f.rwbs}} {
		got, ok := fields[want.name]
		if !ok || got.off < 0 || got.size <= 0 || got.off > 1<<12 || got.size > 1<<8 || want.size > 0 && got.size != want.size {
			return f, fmt.Errorf("trace format: field %s is not as expected", want.name)
		}
		*want.to = got
		f.end = max(f.end, got.off+got.size)
	}
	return f, nil
}

// parseField reads "sector_t sector;	offset:16;	size:8;	signed:0;".
func parseField(decl string) (name string, f field) {
	parts := strings.Split(decl, ";")
	words := strings.Fields(parts[0])
	if len(words) == 0 {
		return "", field{}
	}
	name, _, _ = strings.Cut(words[len(words)-1], "[")
	for _, p := range parts[1:] {
		key, value, _ := strings.Cut(strings.TrimSpace(p), ":")
		n, err := strconv.Atoi(value)
		switch {
		case err != nil:
		case key == "offset":
			f.off = n
		case key == "size":
			f.size = n
		}
	}
	return name, f
}

// A pageShape says how a page of the ring buffer begins.
type pageShape struct {
	commit field // how many bytes of data, with flags
	data   field
}

// parseShape reads events/header_page.
func parseShape(text string) (pageShape, error) {
	var p pageShape
	for line := range strings.Lines(text) {
		decl, ok := strings.CutPrefix(strings.TrimSpace(line), "field:")
		if !ok {
			continue
		}
		switch name, f := parseField(decl); name {
		case "commit":
			p.commit = f
		case "data":
			p.data = f
		}
	}
	if c := p.commit.size; c != 4 && c != 8 || p.commit.off != 8 || p.data.off < 8+c || p.data.off > 64 || p.data.size < 64 || p.data.size > 1<<20 {
		return p, errors.New("trace format: the header of a page is not as expected")
	}
	return p, nil
}

// Linux, kernel/trace/ring_buffer.c and include/linux/ring_buffer.h.
const (
	commitMask   = 1<<27 - 1
	commitMissed = 1 << 31 // RB_MISSED_EVENTS
	typePadding  = 29
	typeExtend   = 30
	typeStamp    = 31
)

var errRing = errors.New("a page of the trace is not as expected")

// decode gives each block event of a page. missed tells that the kernel lost
// events before it.
func decode(page []byte, shape pageShape, f format, each func(event)) (missed bool, err error) {
	if len(page) < shape.data.off {
		return false, errRing
	}
	var commit uint64
	if shape.commit.size == 8 {
		commit = binary.NativeEndian.Uint64(page[shape.commit.off:])
	} else {
		commit = uint64(binary.NativeEndian.Uint32(page[shape.commit.off:]))
	}
	missed = commit&commitMissed != 0
	data := page[shape.data.off:]
	if n := commit & commitMask; n <= uint64(len(data)) {
		data = data[:n]
	} else {
		return missed, errRing
	}
	for len(data) >= 4 {
		body, size, err := ringEntry(data)
		if err != nil || size == 0 {
			return missed, err
		}
		if body != nil {
			if err := f.block(body, each); err != nil {
				return missed, err
			}
		}
		data = data[size:]
	}
	return missed, nil
}

// ringEntry is the first entry of data: its body, nil for one that is no event,
// and its size; 0 ends the page.
func ringEntry(data []byte) (body []byte, size int, err error) {
	head := binary.NativeEndian.Uint32(data)
	kind, delta := head&31, head>>5
	start := 4
	switch kind {
	case typePadding, 0:
		if kind == typePadding && delta == 0 {
			return nil, 0, nil
		}
		if len(data) < 8 {
			return nil, 0, errRing
		}
		n := binary.NativeEndian.Uint32(data[4:])
		if n < 4 || n > uint32(len(data)-4) {
			return nil, 0, errRing
		}
		start, size = 8, 4+int(n)
	case typeExtend, typeStamp:
		size = 8
	default:
		size = 4 + int(kind)*4
	}
	if size > len(data) {
		return nil, 0, errRing
	}
	if kind >= typePadding {
		return nil, size, nil
	}
	return data[start:size], size, nil
}

// block reads an event, if it is one of ours.
func (f *format) block(b []byte, each func(event)) error {
	if len(b) < 2 || binary.NativeEndian.Uint16(b) != f.id {
		return nil
	}
	if len(b) < f.end {
		return errRing
	}
	rwbs := b[f.rwbs.off : f.rwbs.off+f.rwbs.size]
	for i, c := range rwbs {
		if c == 0 {
			rwbs = rwbs[:i]
			break
		}
	}
	each(event{
		dev:    binary.NativeEndian.Uint32(b[f.dev.off:]),
		sector: binary.NativeEndian.Uint64(b[f.sector.off:]),
		count:  binary.NativeEndian.Uint32(b[f.count.off:]),
		rwbs:   string(rwbs),
	})
	return nil
}
