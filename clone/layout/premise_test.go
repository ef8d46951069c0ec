package layout_test

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/partition"
	"github.com/diskfs/go-diskfs/partition/gpt"
	"github.com/diskfs/go-diskfs/partition/mbr"

	"lifeboat/clone/layout"
)

// Why the MBR is ours, and only the entries of a GPT are go-diskfs's: each test
// here fails when the library has learnt something.

func learnt(t *testing.T, what string) {
	t.Helper()
	t.Errorf("go-diskfs can now %s: widen its use", what)
}

func TestPremiseNoLogicalParts(t *testing.T) {
	t.Parallel()
	f, _ := open(t, sfdisk(t, 16*gib, "label: dos", mbrLayouts["NOOBS"]))
	table, err := mbr.Read(f, 512, 512)
	must(t, err)
	for _, p := range table.GetPartitions() {
		if p.GetStart() == 3210240*512 {
			learnt(t, "read logical parts")
		}
	}
}

func TestPremiseNoDiskID(t *testing.T) {
	t.Parallel()
	f, size := open(t, blank(t, gib))
	table := mbr.Table{LogicalSectorSize: 512, PhysicalSectorSize: 512, Partitions: []*mbr.Partition{{Index: 1, Type: mbr.Linux, Start: 8192, Size: 8192}}}
	must(t, table.Write(f, size))
	b := make([]byte, 512)
	_, err := f.ReadAt(b, 0)
	must(t, err)
	if le.Uint32(b[440:]) != 0 {
		learnt(t, "give a disk an ID")
	}
	if !bytes.Equal(b[447:450], []byte{0, 0, 0}) {
		learnt(t, "write CHS addresses")
	}
}

func TestPremiseWritesBeyond4GiBGoAstray(t *testing.T) {
	t.Parallel()
	f, _ := open(t, blank(t, 8*gib))
	const start = 9437184 // 4.5 GiB
	p := mbr.Partition{Index: 1, Type: mbr.Linux, Start: start, Size: 1}
	_, err := p.WriteContents(f, bytes.NewReader(bytes.Repeat([]byte{0xa5}, 512)))
	must(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, start*512)
	must(t, err)
	if b[0] == 0xa5 {
		learnt(t, "write to MBR parts behind 4 GiB")
	}
}

func TestPremiseSectorsOf512Only(t *testing.T) {
	t.Parallel()
	b := disk(16, row{0, 0, 0, 0x83, 256, 8})
	table, err := mbr.Read(sheetOf(t, b), 4096, 4096)
	must(t, err)
	if table.GetPartitions()[0].GetStart() == 256*4096 {
		learnt(t, "read an MBR with sectors of 4096 bytes")
	}
}

func TestPremiseStaleGPTIsTaken(t *testing.T) {
	t.Parallel()
	b := gptBytes(t)
	copy(b, disk(2, row{0, 0, 0, 0x83, 256, 8})) // an MBR, and no GPT header
	table, err := partition.Read(sheetOf(t, b), 512, 512)
	must(t, err)
	if table.Type() != "gpt" {
		learnt(t, "tell an MBR from the rest of an older GPT")
	}
	ours, err := layout.Read(bytes.NewReader(b), int64(len(b)), 512)
	must(t, err)
	if ours.Kind != "mbr" {
		t.Errorf("got kind %q", ours.Kind)
	}
}

func TestPremiseEntriesAreMovedBack(t *testing.T) {
	t.Parallel()
	f, size := open(t, sgdisk(t, gib, "-j8064", "-n1:16384:+64M"))
	table, err := gpt.Read(f, 512, 512)
	must(t, err)
	must(t, table.Write(f, size))
	b := make([]byte, 1)
	_, err = f.ReadAt(b, 1024)
	must(t, err)
	if b[0] == 0 {
		learnt(t, "leave the entries of a GPT where they are")
	}
}

func TestPremiseEntriesAreNotBounded(t *testing.T) {
	t.Parallel()
	const slots = 1 << 17
	b := gptBytes(t)
	gptHeader(b, func(h []byte) { le.PutUint32(h[80:], slots) })
	s := sheetOf(t, b)
	gpt.Read(s, 512, 512)
	if s.largest < slots*128 {
		learnt(t, "bound the entries of a GPT")
	}
}

func TestPremiseLongNamePanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			learnt(t, "refuse a name of 72 UTF-16 units")
		}
	}()
	table := gpt.Table{LogicalSectorSize: 512, PhysicalSectorSize: 512, Partitions: []*gpt.Partition{
		{Index: 1, Start: 2048, End: 4095, Type: gpt.LinuxFilesystem, Name: strings.Repeat("🌱", 36)},
	}}
	f, err := os.Create(blank(t, mib))
	must(t, err)
	defer f.Close()
	must(t, table.Write(f, mib))
}

// A premiseDisk is bytes as go-diskfs wants them. It notes the largest read.
type premiseDisk struct {
	*bytes.Reader
	largest int
}

func sheetOf(tb testing.TB, b []byte) *premiseDisk {
	tb.Helper()
	return &premiseDisk{Reader: bytes.NewReader(b)}
}

func (d *premiseDisk) ReadAt(p []byte, off int64) (int, error) {
	d.largest = max(d.largest, len(p))
	return d.Reader.ReadAt(p, off)
}

func (*premiseDisk) Close() error               { return nil }
func (*premiseDisk) Stat() (fs.FileInfo, error) { return nil, fs.ErrInvalid }

var _ io.Seeker = (*premiseDisk)(nil)
