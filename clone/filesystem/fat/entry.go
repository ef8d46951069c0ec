package fat

import (
	"io/fs"
	"time"
	"unicode/utf16"
)

// Fields of a slot of 32 bytes in a directory: the document named in boot.go,
// page 23; of a slot of a long name: page 28.
const (
	slotSize = 32

	offAttr      = 11
	offCase      = 12
	offMadeTenth = 13
	offMadeTime  = 14
	offMadeDate  = 16
	offReadDate  = 18
	offStartHigh = 20
	offTime      = 22
	offDate      = 24
	offStart     = 26
	offSize      = 28

	offOrder    = 0
	offChecksum = 13

	slotEnd  = 0x00 // first byte: this slot and all behind it are free
	slotFree = 0xe5 // first byte: this one is

	attrReadOnly = 0x01
	attrLabel    = 0x08
	attrDir      = 0x10
	attrArchive  = 0x20
	attrLong     = 0x0f // all of the low four: a slot of a long name
	attrLongMask = 0x3f

	orderLast = 0x40 // the slot with the last characters, which comes first
	orderMask = 0x1f
	unitsSlot = 13 // UTF-16 units a slot
	maxOrder  = (maxName + unitsSlot - 1) / unitsSlot
)

// An entry is a file or folder in a directory.
type entry struct {
	name  string // long if there is one
	alias alias
	attr  byte
	start uint32 // first cluster; 0 = none
	size  int64
	mod   time.Time

	first, last int // its slots in the directory; last is the alias's
}

func (e *entry) dir() bool { return e.attr&attrDir != 0 }

func (e *entry) mode() fs.FileMode {
	mode := fs.FileMode(0o644)
	if e.attr&attrReadOnly != 0 {
		mode = 0o444
	}
	if e.dir() {
		mode = fs.ModeDir | mode | 0o111
	}
	return mode
}

// decodeSlot reads a slot that is neither free nor of a long name.
func decodeSlot(b []byte, bits int) entry {
	e := entry{alias: alias(b[:11]), attr: b[offAttr], size: int64(le.Uint32(b[offSize:]))}
	e.start = uint32(le.Uint16(b[offStart:]))
	if bits == 32 { // else the high half is OS/2's
		e.start |= uint32(le.Uint16(b[offStartHigh:])) << 16
	}
	e.mod = decodeTime(le.Uint16(b[offDate:]), le.Uint16(b[offTime:]))
	e.name = e.alias.name(b[offCase])
	if e.dir() {
		e.size = 0
	}
	return e
}

// putContent writes which clusters and how many bytes an entry has.
func putContent(b []byte, start uint32, size int64) {
	le.PutUint16(b[offStart:], uint16(start))
	le.PutUint16(b[offStartHigh:], uint16(start>>16))
	le.PutUint32(b[offSize:], uint32(size))
}

// putTime writes when the content was changed.
func putTime(b []byte, now time.Time) {
	date, clock := encodeTime(now)
	le.PutUint16(b[offDate:], date)
	le.PutUint16(b[offTime:], clock)
	le.PutUint16(b[offReadDate:], date)
}

// newSlot makes the slot of a new entry.
func newSlot(a alias, attr byte, start uint32, size int64, now time.Time) []byte {
	b := make([]byte, slotSize)
	copy(b, a[:])
	b[offAttr] = attr
	putContent(b, start, size)
	putTime(b, now)
	date, clock := encodeTime(now)
	le.PutUint16(b[offMadeDate:], date)
	le.PutUint16(b[offMadeTime:], clock)
	b[offMadeTenth] = byte(now.Second()%2*100 + now.Nanosecond()/1e7)
	return b
}

// longSlots makes the slots of a long name, in the order in which they stand
// before their alias.
func longSlots(name string, a alias) [][]byte {
	u := utf16.Encode([]rune(name))
	n := (len(u) + unitsSlot - 1) / unitsSlot
	if len(u)%unitsSlot != 0 {
		u = append(u, 0)
	}
	for len(u) < n*unitsSlot {
		u = append(u, 0xffff)
	}
	slots := make([][]byte, 0, n+1)
	for order := n; order > 0; order-- {
		b := make([]byte, slotSize)
		b[offOrder], b[offAttr], b[offChecksum] = byte(order), attrLong, a.checksum()
		if order == n {
			b[offOrder] |= orderLast
		}
		for i, off := range unitOffs() {
			le.PutUint16(b[off:], u[(order-1)*unitsSlot+i])
		}
		slots = append(slots, b)
	}
	return slots
}

// unitOffs is where a slot has its part of a long name.
func unitOffs() [unitsSlot]int { return [...]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} }

// A longReader puts a long name together from its slots. Slots that do not fit
// together, as a system without long names leaves them, are passed over.
type longReader struct {
	units    [maxOrder * unitsSlot]uint16
	n        int // slots of the name; 0 = none begun
	next     int // the order that must come next; 0 = complete
	checksum byte
	first    int
}

func (l *longReader) add(b []byte, slot int) {
	order := int(b[offOrder] & orderMask)
	if b[offOrder]&orderLast != 0 {
		l.n, l.next, l.checksum, l.first = order, order, b[offChecksum], slot
	}
	if l.n == 0 || order != l.next || order == 0 || order > maxOrder || b[offChecksum] != l.checksum {
		l.n = 0
		return
	}
	for i, off := range unitOffs() {
		l.units[(order-1)*unitsSlot+i] = le.Uint16(b[off:])
	}
	l.next--
}

// take gives the long name to the entry behind its slots.
func (l *longReader) take(e *entry) {
	if l.n > 0 && l.next == 0 && l.checksum == e.alias.checksum() {
		if name := longName(l.units[:l.n*unitsSlot]); name != "" {
			e.name = name
		}
		e.first = l.first
	}
	l.n = 0
}

// FAT counts two seconds in local time, from 1980 to 2107. Which zone that is
// the disk does not say: it is UTC here, reading as well as writing.
func decodeTime(date, clock uint16) time.Time {
	if date == 0 {
		return time.Time{}
	}
	return time.Date(1980+int(date>>9), time.Month(date>>5&0xf), int(date&0x1f),
		int(clock>>11), int(clock>>5&0x3f), int(clock&0x1f)*2, 0, time.UTC)
}

func encodeTime(t time.Time) (date, clock uint16) {
	t = t.UTC()
	switch {
	case t.Year() < 1980:
		t = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	case t.Year() > 2107:
		t = time.Date(2107, 12, 31, 23, 59, 58, 0, time.UTC)
	}
	date = uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day())
	clock = uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
	return date, clock
}
