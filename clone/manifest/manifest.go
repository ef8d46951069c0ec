// Package manifest answers: what do we know of a disk and its content? A head
// is known before the bytes are read, a tail only behind the last of them. Both
// are data and JSON; nothing here reads or writes a disk.
//
// All sizes and offsets are bytes.
package manifest

import (
	"fmt"

	"lifeboat/clone/extent"
	"lifeboat/internal/speech"
)

// Version of the JSON form. A reader takes any head whose Version is not
// larger, and ignores one that is.
const Version = 1

// A Head says how a disk is cut up and what lies in its parts.
type Head struct {
	Version int    `json:"version"`
	Size    int64  `json:"size"`            // of the disk; 0 = not known
	Sector  int64  `json:"sector"`          // logical sector size
	Table   Table  `json:"table"`           // how it is cut up
	Parts   []Part `json:"parts"`           // in the order of their place on the disk
	Board   string `json:"board,omitempty"` // name of a file of package boards; "" = not known
	Areas   []Area `json:"areas,omitempty"` // boot areas of an eMMC that are not blank
	// Unreadable are the bytes that are known to be zeros in the place of what the
	// disk did not give, when this was a disk.
	Unreadable extent.Set `json:"unreadable,omitempty"`
}

// An Area is a boot area of an eMMC, which is no part of the disk.
type Area struct {
	Name   string `json:"name"`   // "boot0" or "boot1"
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // hex, of all of it
}

// Place names what the byte at off belongs to.
func (h *Head) Place(off int64) string {
	for _, p := range h.Parts {
		if p.Extent.Contains(extent.Extent{Off: off, Len: 1}) {
			return p.Title()
		}
	}
	return "outside of parts"
}

// Part finds the part with the number num.
func (h *Head) Part(num int) (*Part, bool) {
	for i := range h.Parts {
		if h.Parts[i].Num == num {
			return &h.Parts[i], true
		}
	}
	return nil, false
}

// Used is the sum of the parts' used bytes and the bytes outside of parts that
// are kept; -1 where a part's is not known.
func (h *Head) Used() int64 {
	sum := h.Gaps().Bytes()
	for _, p := range h.Parts {
		if p.Used < 0 {
			return -1
		}
		sum += p.Used
	}
	return sum
}

// Gaps are the bytes outside of all parts that a backup keeps: all before the
// first part (boot loaders of many boards live there) and between parts. The
// table's own sectors are not among them: layout writes those. Behind the last
// part is nothing.
func (h *Head) Gaps() extent.Set {
	if len(h.Parts) == 0 {
		return nil
	}
	var parts extent.Set
	for _, p := range h.Parts {
		parts = parts.Union(extent.Of(p.Extent))
	}
	all := extent.Of(extent.Extent{Off: 0, Len: parts.Bounds().End()})
	return all.Subtract(parts).Subtract(h.Table.Own)
}

// TableKind names a scheme of partition tables.
type TableKind string

const (
	NoTable TableKind = ""    // a bare disk, or a file system without a table
	MBR     TableKind = "mbr" // "dos" in the words of fdisk
	GPT     TableKind = "gpt"
)

// A Table is a partition table as data. Package layout reads, fits and writes
// it.
type Table struct {
	Kind    TableKind     `json:"kind"`
	ID      string        `json:"id,omitempty"`      // MBR: 8 lower-case hex digits; GPT: the disk's GUID, lower case
	Entries []Entry       `json:"entries,omitempty"` // by number
	Code    []byte        `json:"code,omitempty"`    // bytes 0–439 of sector 0: boot code, kept always
	Own     extent.Set    `json:"own,omitempty"`     // the sectors that hold the table itself
	Notes   []speech.Text `json:"notes,omitempty"`   // what people should know of it, as sentences

	// GPT only; zero means: as gdisk makes it. Boards whose boot loader lies
	// where the entries would be have a shorter table, or one that was moved.
	Slots  int     `json:"slots,omitempty"`  // how many entries there is room for
	Array  int64   `json:"array,omitempty"`  // where the first entry array lies
	First  int64   `json:"first,omitempty"`  // first byte that a part may use
	Hybrid []Entry `json:"hybrid,omitempty"` // the lines of a hybrid MBR
}

// An Entry is one line of a table. Extended partitions of an MBR are entries
// too (Extended is set); what they hold are the entries 5 and up.
type Entry struct {
	Num      int           `json:"num"`
	Extent   extent.Extent `json:"extent"`
	Type     string        `json:"type"`             // MBR: two lower-case hex digits; GPT: the type's GUID
	UUID     string        `json:"uuid,omitempty"`   // as in PARTUUID=, lower case
	Name     string        `json:"name,omitempty"`   // GPT only
	Active   bool          `json:"active,omitempty"` // MBR's boot flag, GPT's legacy-boot attribute
	Attrs    uint64        `json:"attrs,omitempty"`  // GPT's attribute bits
	Extended bool          `json:"extended,omitempty"`
	EBR      int64         `json:"ebr,omitempty"` // MBR, 5 and up: where the sector lies that holds this line
}

// Content says what a backup holds of a part.
type Content string

const (
	Blocks Content = "blocks" // its used blocks
	Files  Content = "files"  // its files
	None   Content = "none"   // nothing: it is made anew (swap), or left out
)

// A Part is a partition and what lies in it.
type Part struct {
	Num     int           `json:"num"`
	Extent  extent.Extent `json:"extent"`
	FS      FS            `json:"fs"`
	Content Content       `json:"content"`
	Used    int64         `json:"used"`          // -1 = not known, never guessed
	Min     int64         `json:"min"`           // smallest size that the content fits in; -1 = not known
	Why     string        `json:"why,omitempty"` // why all bytes count as used, where they do
}

// Title is the part in a sentence: "part 2"; "the disk" where it has no table.
func (p *Part) Title() string {
	if p.Num == 0 {
		return "the disk"
	}
	return fmt.Sprintf("part %d", p.Num)
}

// FS is what a look at the first blocks of a part tells.
type FS struct {
	Type   string `json:"type"` // as blkid says it: ext4, vfat, swap, crypto_LUKS, …; "" = not known
	Label  string `json:"label,omitempty"`
	UUID   string `json:"uuid,omitempty"`  // as blkid says it: FAT's is "ABCD-1234"
	Size   int64  `json:"size,omitempty"`  // of the file system itself, by its superblock
	Block  int64  `json:"block,omitempty"` // its block or cluster size
	Dirty  bool   `json:"dirty,omitempty"` // not cleanly unmounted: its journal must be replayed
	Detail string `json:"detail,omitempty"`
}

// A Tail is what is known of a pass only when it has ended.
type Tail struct {
	Used    extent.Set `json:"used"` // what the disk had in use
	Digests []Digest   `json:"digests,omitempty"`
	Live    *LiveFacts `json:"live,omitempty"`
	// Unreadable are the bytes that the disk did not give: they are zeros.
	Unreadable extent.Set `json:"unreadable,omitempty"`
}

// A Digest is the SHA-256 of an extent's bytes, in hex.
type Digest struct {
	Extent extent.Extent `json:"extent"`
	Sum    string        `json:"sha256"`
}

// LiveFacts say how an image of a mounted disk came to be of one instant.
type LiveFacts struct {
	Method   string `json:"method"`    // how writes were noticed: "tracefs", "compare", "none mounted"
	FrozenMS int64  `json:"frozen_ms"` // how long writers had to wait
	Rounds   int    `json:"rounds"`
	Caught   int64  `json:"caught"`         // bytes that were copied again
	Read     int64  `json:"read,omitempty"` // bytes that were read from the disk, in all
}
