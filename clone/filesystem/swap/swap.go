// Package swap answers: is this a swap area, and how is one made anew? A backup
// keeps no bytes of swap, only what its header tells; but where a hibernated
// system sleeps in it, all bytes count.
package swap

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ErrNotSwap is what Open returns where no signature of swap is.
var ErrNotSwap = errors.New("no swap area")

// Header: Linux v6.12, include/linux/swap.h, union swap_header. The signature
// ends the first page, the numbers are in the byte order of the machine.
const (
	offVersion  = 1024
	offLastPage = 1028
	offBadPages = 1032
	offUUID     = 1036
	offLabel    = 1052
	headerEnd   = 1068
	labelSize   = 16

	signatureSize = 10
	signature     = "SWAPSPACE2"
	oldSignature  = "SWAP-SPACE" // before 1998: no header
	version       = 1

	minPages = 10 // MIN_GOODPAGES of mkswap
)

// MaxPage is the largest page of any machine, bytes: the header of an area lies in
// its first page, so in that many bytes from its start (Linux v6.12, mm/swapfile.c).
const MaxPage = 64 << 10

// The page sizes of Linux on all machines, in the order in which blkid looks.
var pageSizes = []int64{4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10}

// What stands in the signature's place while a system is hibernated: Linux
// v6.12, kernel/power/swap.c (S1SUSPEND, before it S2SUSPEND), uswsusp
// (ULSUSPEND, LINHIB0001), TuxOnIce.
var suspended = []string{"S1SUSPEND\x00", "S2SUSPEND\x00", "ULSUSPEND\x00", "LINHIB0001", "\xed\xc3\x02\xe9\x98\x56\xe5\x0c"}

// Info is what the header of a swap area tells.
type Info struct {
	PageSize  int64 // bytes
	Pages     int64 // with the header's own
	UUID      string
	Label     string
	BadPages  int64
	Suspended bool // a hibernated system sleeps in it: every byte counts
	BigEndian bool // made by a machine of the other byte order
}

// Size is the size of the swap area, bytes.
func (i Info) Size() int64 { return i.Pages * i.PageSize }

// Open reads the header of the swap area in a part of size bytes, or returns
// ErrNotSwap.
func Open(r io.ReaderAt, size int64) (Info, error) {
	for _, page := range pageSizes {
		if page > size {
			break
		}
		var sig [signatureSize]byte
		if n, err := r.ReadAt(sig[:], page-signatureSize); n < len(sig) {
			return Info{}, fmt.Errorf("signature of swap at %d: %w", page-signatureSize, err)
		}
		asleep := slices.ContainsFunc(suspended, func(s string) bool { return strings.HasPrefix(string(sig[:]), s) })
		switch {
		case string(sig[:]) == oldSignature:
			return Info{PageSize: page, Pages: size / page}, nil
		case string(sig[:]) == signature, asleep:
			info, err := readHeader(r, page)
			info.Suspended = asleep
			return info, err
		}
	}
	return Info{}, ErrNotSwap
}

func readHeader(r io.ReaderAt, page int64) (Info, error) {
	var b [headerEnd]byte
	if n, err := r.ReadAt(b[:], 0); n < len(b) {
		return Info{}, fmt.Errorf("header of swap: %w", err)
	}
	var order binary.ByteOrder = binary.LittleEndian
	big := binary.BigEndian.Uint32(b[offVersion:]) == version
	if big {
		order = binary.BigEndian
	}
	label, _, _ := bytes.Cut(b[offLabel:offLabel+labelSize], []byte{0})
	return Info{
		PageSize:  page,
		Pages:     int64(order.Uint32(b[offLastPage:])) + 1,
		BadPages:  int64(order.Uint32(b[offBadPages:])),
		UUID:      formatUUID([16]byte(b[offUUID:])),
		Label:     string(label),
		BigEndian: big,
	}, nil
}

// Make writes an empty swap area that fills a part of size bytes, with the
// UUID, label, page size and byte order of s; its other fields do not count. It
// writes zeros over the rest of the first 64 KiB, where older signatures hide.
func Make(w io.WriterAt, size int64, s Info) error {
	if !slices.Contains(pageSizes, s.PageSize) {
		return fmt.Errorf("make swap: pages of %d bytes do not exist", s.PageSize)
	}
	pages := min(size/s.PageSize, 1<<32)
	if pages < minPages {
		return fmt.Errorf("make swap: %d bytes hold only %d pages of %d bytes, %d are needed", size, pages, s.PageSize, minPages)
	}
	uuid, err := parseUUID(s.UUID)
	if err != nil {
		return fmt.Errorf("make swap: %w", err)
	}
	if len(s.Label) > labelSize {
		return fmt.Errorf("make swap: the label %q is longer than %d bytes", s.Label, labelSize)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if s.BigEndian {
		order = binary.BigEndian
	}
	b := make([]byte, max(s.PageSize, min(MaxPage, size)))
	order.PutUint32(b[offVersion:], version)
	order.PutUint32(b[offLastPage:], uint32(pages-1))
	copy(b[offUUID:], uuid)
	copy(b[offLabel:], s.Label)
	copy(b[s.PageSize-signatureSize:], signature)
	if _, err := w.WriteAt(b, 0); err != nil {
		return fmt.Errorf("make swap: %w", err)
	}
	return nil
}

func formatUUID(u [16]byte) string {
	if u == [16]byte{} {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func parseUUID(s string) ([]byte, error) {
	if s == "" {
		return make([]byte, 16), nil
	}
	u, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(u) != 16 {
		return nil, fmt.Errorf("%q is no UUID", s)
	}
	return u, nil
}
