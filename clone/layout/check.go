package layout

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf16"

	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// check tells whether a table, which may have come from outside, can lie on a
// disk of size bytes (0 = not known) and be written there.
func check(t manifest.Table, size, sector int64) error {
	if err := checkSector(sector); err != nil {
		return err
	}
	if len(t.Code) > codeSize {
		return fmt.Errorf("boot code of %d bytes: the table begins at %d", len(t.Code), codeSize)
	}
	seen := map[int]bool{}
	for _, e := range t.Entries {
		if seen[e.Num] {
			return fmt.Errorf("two parts have the number %d", e.Num)
		}
		seen[e.Num] = true
		if err := checkExtent(e, size, sector); err != nil {
			return err
		}
	}
	if err := checkOverlap(t); err != nil {
		return err
	}
	switch t.Kind {
	case manifest.MBR:
		return checkMBR(t, sector)
	case manifest.GPT:
		return checkGPT(t, size, sector)
	}
	return fmt.Errorf("a partition table of the kind %q", t.Kind)
}

func checkExtent(e manifest.Entry, size, sector int64) error {
	x := e.Extent
	switch {
	case x.Off < sector || x.Len <= 0 || x.Off > math.MaxInt64-x.Len:
		return fmt.Errorf("part %d: %v is no place for a part", e.Num, x)
	case x.Off%sector != 0 || x.Len%sector != 0:
		return fmt.Errorf("part %d: %v does not lie on sectors of %d bytes", e.Num, x, sector)
	case x.End() > limitOf(size):
		return fmt.Errorf("part %d ends at byte %d, the disk at %d", e.Num, x.End(), size)
	}
	return nil
}

// checkOverlap looks at the parts that hold data, and at the extended part
// against the primary ones.
func checkOverlap(t manifest.Table) error {
	for _, logical := range []bool{false, true} {
		parts := slices.DeleteFunc(byPlace(t.Entries), func(e manifest.Entry) bool {
			isLogical := t.Kind == manifest.MBR && e.Num >= firstLogical
			return isLogical != logical
		})
		for i := 1; i < len(parts); i++ {
			if a, b := parts[i-1], parts[i]; a.Extent.End() > b.Extent.Off {
				return fmt.Errorf("part %d and part %d overlap", a.Num, b.Num)
			}
		}
	}
	return nil
}

// byPlace sorts a copy.
func byPlace(entries []manifest.Entry) []manifest.Entry {
	return slices.SortedFunc(slices.Values(entries), func(a, b manifest.Entry) int {
		return cmp.Compare(a.Extent.Off, b.Extent.Off)
	})
}

func checkMBR(t manifest.Table, sector int64) error {
	if _, err := parseDiskID(t.ID); err != nil {
		return err
	}
	var ext *manifest.Entry
	for _, e := range t.Entries {
		if _, err := strconv.ParseUint(e.Type, 16, 8); err != nil || len(e.Type) != 2 {
			return fmt.Errorf("part %d: type %q is not two hex digits", e.Num, e.Type)
		}
		if e.Extent.Off/sector > math.MaxUint32 || e.Extent.Len/sector > math.MaxUint32 {
			return fmt.Errorf("part %d: %v is more than the 32 bits of an MBR can say", e.Num, e.Extent)
		}
		kind, _ := strconv.ParseUint(e.Type, 16, 8)
		switch isExtended := (line{kind: byte(kind)}).extended(); {
		case e.Num < 1 || isExtended != e.Extended || isExtended && e.Num >= firstLogical:
			return fmt.Errorf("part %d: no MBR can have it, type %s", e.Num, e.Type)
		case isExtended && ext != nil:
			return fmt.Errorf("part %d and part %d are both extended: not supported", ext.Num, e.Num)
		case isExtended:
			ext = &e
		}
	}
	return checkChain(t, ext, sector)
}

// checkChain looks at the logical parts and at the sectors that hold their
// lines, which must lie in no part.
func checkChain(t manifest.Table, ext *manifest.Entry, sector int64) error {
	chain := logicals(t)
	if len(chain) > 0 && ext == nil {
		return fmt.Errorf("part %d is logical, and there is no extended part", chain[0].Num)
	}
	if len(chain) >= maxLinks {
		return fmt.Errorf("%d logical parts: at most %d are known", len(chain), maxLinks-1)
	}
	var data extent.Set
	for _, e := range byPlace(chain) {
		data = data.Append(e.Extent)
	}
	seen := map[int64]bool{}
	for i, e := range chain {
		ebr := sectorAt(e.EBR, sector)
		switch {
		case e.Num != firstLogical+i:
			return fmt.Errorf("part %d: logical parts are numbered without gaps", e.Num)
		case !ext.Extent.Contains(e.Extent):
			return fmt.Errorf("part %d leaves part %d, which holds it", e.Num, ext.Num)
		case e.EBR%sector != 0 || !ext.Extent.Contains(ebr) || e.EBR >= e.Extent.Off || seen[e.EBR] || i > 0 && e.EBR == ext.Extent.Off:
			return fmt.Errorf("part %d: its line cannot lie at byte %d", e.Num, e.EBR)
		case len(data.Clip(ebr)) > 0:
			return fmt.Errorf("part %d: its line at byte %d lies in another part", e.Num, e.EBR)
		}
		seen[e.EBR] = true
	}
	if ext != nil && len(data.Clip(sectorAt(ext.Extent.Off, sector))) > 0 {
		return fmt.Errorf("part %d: a logical part lies over its first sector", ext.Num)
	}
	return nil
}

func checkGPT(t manifest.Table, size, sector int64) error {
	g := placeGPT(t, size, sector)
	if t.Slots < 0 || t.Slots > maxSlots || t.Array < 0 || t.Array%sector != 0 || t.First < 0 || t.First%sector != 0 {
		return fmt.Errorf("a GPT with %d entries at byte %d and parts from byte %d", t.Slots, t.Array, t.First)
	}
	if size > 0 && g.usable.Len < 0 {
		return fmt.Errorf("a disk of %d bytes has no room for a GPT", size)
	}
	for _, e := range t.Entries {
		switch {
		case e.Num > diskfsSlots:
			return fmt.Errorf("part %d: numbers above %d are not supported", e.Num, diskfsSlots)
		case e.Num < 1 || e.Num > g.slots:
			return fmt.Errorf("part %d: the table has room for %d", e.Num, g.slots)
		case len(g.own(sector).Clip(e.Extent)) > 0:
			return fmt.Errorf("part %d: %v lies over the table itself", e.Num, e.Extent)
		case len(utf16.Encode([]rune(e.Name))) > maxName:
			return fmt.Errorf("part %d: its name has more than %d letters", e.Num, maxName)
		}
	}
	return checkHybrid(t, sector)
}

func checkHybrid(t manifest.Table, sector int64) error {
	for _, e := range t.Hybrid {
		_, err := strconv.ParseUint(e.Type, 16, 8)
		if e.Num < 1 || e.Num >= firstLogical || err != nil ||
			e.Extent.Off%sector != 0 || e.Extent.Len%sector != 0 || e.Extent.Off < 0 || e.Extent.Len < 0 ||
			e.Extent.Off/sector > math.MaxUint32 || e.Extent.Len/sector > math.MaxUint32 {
			return fmt.Errorf("hybrid MBR: line %d, type %q, at %v", e.Num, e.Type, e.Extent)
		}
	}
	return nil
}
