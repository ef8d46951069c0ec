package layout

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// A Guest is a part that comes from another disk.
type Guest struct {
	manifest.Entry        // as its own table has it; of a disk without a table the type is ""
	FS             string // what lies in it, as blkid says it; "" = not known
}

// ErrNoSlot says that an MBR has no line left for a part.
var ErrNoSlot = errors.New("an MBR has four lines")

// Join puts the parts of another disk behind those of t, in their order, and
// returns their new entries. The parts of t keep place and number. The guests
// get free numbers: of an MBR the free lines, and where these are too few the
// last of them becomes an extended part that holds the rest (ErrNoSlot where t
// has one already, or no line is free).
//
// The kind of t stays, because what boots it knows that kind. A guest out of a
// table of another kind gets the type that means the same, and in a GPT a new
// GUID, for which random must be good; out of a GPT into a GPT it keeps its own,
// unless t has it.
//
// The last value is the size of the smallest disk that holds all, in bytes.
func Join(t manifest.Table, guests []Guest, sector int64, random io.Reader) (manifest.Table, []manifest.Entry, int64, error) {
	j := &joiner{t: t, guests: guests, sector: sector, random: random}
	if err := j.join(); err != nil {
		return manifest.Table{}, nil, 0, fmt.Errorf("one table for both disks: %w", err)
	}
	size := alignUp(j.end, growAlign)
	switch t.Kind {
	case manifest.MBR:
		j.t.Own = ownMBR(j.t, sector)
	case manifest.GPT:
		size += growAlign // of which the table's copy takes the end
		j.t.Own = placeGPT(j.t, size, sector).own(sector)
	}
	if err := check(j.t, size, sector); err != nil {
		return manifest.Table{}, nil, 0, fmt.Errorf("one table for both disks: %w", err)
	}
	return j.t, j.placed, size, nil
}

// A joiner adds guests to a table.
type joiner struct {
	// config
	guests []Guest
	sector int64
	random io.Reader

	// state
	t      manifest.Table
	placed []manifest.Entry
	end    int64 // of what was placed
}

func (j *joiner) join() error {
	if err := check(j.t, 0, j.sector); err != nil {
		return err
	}
	j.t.Entries = slices.Clone(j.t.Entries)
	for _, e := range j.t.Entries {
		j.end = max(j.end, e.Extent.End())
	}
	var err error
	if j.t.Kind == manifest.MBR {
		err = j.intoMBR()
	} else {
		err = j.intoGPT()
	}
	slices.SortFunc(j.t.Entries, func(a, b manifest.Entry) int { return a.Num - b.Num })
	return err
}

// put places an entry behind all others, with room for head bytes before it.
func (j *joiner) put(e manifest.Entry, head int64) (manifest.Entry, error) {
	if e.Extent.Len <= 0 || j.end > math.MaxInt64/4 || e.Extent.Len > math.MaxInt64/4 {
		return e, fmt.Errorf("part %d cannot have a size of %d bytes", e.Num, e.Extent.Len)
	}
	e.Extent = extent.Extent{Off: alignUp(j.end, moveAlign) + head, Len: alignUp(e.Extent.Len, j.sector)}
	j.end = e.Extent.End()
	j.t.Entries = append(j.t.Entries, e)
	return e, nil
}

// intoMBR gives out the free lines.
func (j *joiner) intoMBR() error {
	var free []int
	for num := 1; num < firstLogical; num++ {
		if !slices.ContainsFunc(j.t.Entries, func(e manifest.Entry) bool { return e.Num == num }) {
			free = append(free, num)
		}
	}
	primary := len(j.guests)
	if primary > len(free) {
		_, have := extended(j.t)
		switch {
		case have:
			return fmt.Errorf("%w, one of which is an extended part already: %d parts come, for %d free lines", ErrNoSlot, primary, len(free))
		case len(free) == 0:
			return fmt.Errorf("%w, and none is free for the %d parts that come", ErrNoSlot, primary)
		}
		primary = len(free) - 1
	}
	for i, g := range j.guests[:primary] {
		if err := j.addMBR(g, free[i], 0); err != nil {
			return err
		}
	}
	if primary == len(j.guests) {
		return nil
	}
	return j.logical(j.guests[primary:], free[len(free)-1])
}

// logical makes an extended part of what it is to hold.
func (j *joiner) logical(guests []Guest, num int) error {
	off := alignUp(j.end, moveAlign)
	for i, g := range guests {
		// The record of the line lies as far before the part as parts are aligned.
		if err := j.addMBR(g, firstLogical+i, moveAlign); err != nil {
			return err
		}
	}
	ext := manifest.Entry{Num: num, Type: typeExtendedLBA, Extended: true, UUID: partUUID(j.t.ID, num)}
	ext.Extent = extent.Extent{Off: off, Len: j.end - off}
	j.t.Entries = append(j.t.Entries, ext)
	return nil
}

// typeExtendedLBA is that of an extended part behind the reach of CHS: what
// sfdisk makes too.
const typeExtendedLBA = "0f"

func (j *joiner) addMBR(g Guest, num int, head int64) error {
	e := manifest.Entry{Num: num, Type: mbrType(g), UUID: partUUID(j.t.ID, num), Extent: g.Extent}
	if head > 0 {
		e.EBR = alignUp(j.end, moveAlign)
	}
	e, err := j.put(e, head)
	j.placed = append(j.placed, e)
	return err
}

func (j *joiner) intoGPT() error {
	for _, g := range j.guests {
		e := manifest.Entry{Type: gptType(g), UUID: g.UUID, Name: g.Name, Attrs: g.Attrs, Extent: g.Extent}
		for e.Num = 1; slices.ContainsFunc(j.t.Entries, func(x manifest.Entry) bool { return x.Num == e.Num }); {
			e.Num++
		}
		taken := slices.ContainsFunc(j.t.Entries, func(x manifest.Entry) bool { return strings.EqualFold(x.UUID, e.UUID) })
		var err error
		if taken || len(e.UUID) != len(typeLinux) {
			if e.UUID, err = newGUID(j.random); err != nil {
				return err
			}
		}
		if e, err = j.put(e, 0); err != nil {
			return err
		}
		j.placed = append(j.placed, e)
	}
	return nil
}

// Types of GPT parts: UEFI 2.10, table 5.7, and the Discoverable Partitions
// Specification of the UAPI group.
const (
	typeESP   = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	typeBasic = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"
	typeLinux = "0fc63daf-8483-4772-8e79-3d69d8477de4"
	typeSwap  = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"
	typeLVM   = "e6d6d379-f507-44c2-a23c-238f2a3df928"
	typeRAID  = "a19d880f-05fc-4d3b-a006-743f0f84911e"
)

// sameTypes are types of an MBR and of a GPT that mean the same; of several the
// first is taken.
var sameTypes = [][2]string{
	{"83", typeLinux},
	{"82", typeSwap},
	{"ef", typeESP},
	{"0c", typeBasic},
	{"07", typeBasic},
	{"0b", typeBasic},
	{"0e", typeBasic},
	{"06", typeBasic},
	{"04", typeBasic},
	{"01", typeBasic},
	{"8e", typeLVM},
	{"fd", typeRAID},
}

// mbrType is the guest's type in an MBR. GPT has many types for Linux (a root of
// each architecture, home, …): what is not known is one of them.
func mbrType(g Guest) string {
	if len(g.Type) == 2 {
		return g.Type
	}
	if g.Type == typeBasic && g.FS != "vfat" && g.FS != "" {
		return "07"
	}
	for _, same := range sameTypes {
		if g.Type == same[1] {
			return same[0]
		}
	}
	return byContent(g.FS)[0]
}

func gptType(g Guest) string {
	if len(g.Type) == len(typeLinux) {
		return g.Type
	}
	for _, same := range sameTypes {
		if g.Type == same[0] {
			return same[1]
		}
	}
	return byContent(g.FS)[1]
}

// byContent is the type of what has none.
func byContent(fs string) [2]string {
	switch fs {
	case "vfat":
		return [2]string{"0c", typeBasic}
	case "swap":
		return [2]string{"82", typeSwap}
	}
	return [2]string{"83", typeLinux}
}
