package fat

import (
	"crypto/rand"
	"fmt"
	"io"
	"math/bits"
	"time"
)

// Options say what Format makes. Only Size must be set.
type Options struct {
	Size    int64     // of the part, in bytes
	Sector  int64     // of the disk, in bytes: 512 (also for 0) to 4096
	Cluster int64     // in bytes; 0 = what suits a boot part of this size
	Kind    int       // 12, 16 or 32; 0 = 32 from 256 MiB on, else by size
	FATs    int64     // 1 or 2; 0 = 2
	Label   string    // up to 11 characters
	Serial  string    // as FS.Serial has it; "" = by chance
	Hidden  int64     // where the part begins on its disk, in bytes
	Time    time.Time // of the label
}

const (
	kind32From   = 256 << 20
	rootEntries  = 512
	alignFrom    = 4 << 20 // smaller file systems waste nothing on alignment
	align        = 4096    // of the first cluster: a page, and the sector of most disks
	margin       = 16      // clusters to keep from the limits, which some count wrongly
	infoSector   = 1
	backupSector = 6
	mediaDisk    = 0xf8
	driveDisk    = 0x80
	maxCluster   = 128 // sectors
	maxSectors   = 1<<32 - 1
)

// Format makes an empty file system that the firmware of the Raspberry Pi,
// U-Boot, Linux, Windows and mtools take. The boot sector is wiped first and
// written last: what was interrupted is no file system. Only what it needs is
// written, not the free clusters. The caller syncs and closes w.
func Format(w io.WriterAt, o Options) error {
	if err := format(w, o); err != nil {
		return fmt.Errorf("make a FAT file system of %d bytes: %w", o.Size, err)
	}
	return nil
}

func format(w io.WriterAt, o Options) error {
	label, err := checkLabel(o.Label)
	if err != nil {
		return err
	}
	serial, err := serialOf(o.Serial)
	if err != nil {
		return err
	}
	p, err := planFormat(o)
	if err != nil {
		return err
	}
	boot := p.bootSector(label, serial, o)
	if err := writeZeros(w, 0, p.zeroed()); err != nil {
		return err
	}
	if err := p.writeTables(w); err != nil {
		return err
	}
	if o.Label != "" {
		if _, err := w.WriteAt(p.sectorOf(newSlot(label, attrLabel, 0, 0, o.Time)), p.rootAt()); err != nil {
			return fmt.Errorf("root directory: %w", err)
		}
	}
	if p.bits == 32 {
		if err := p.writeFAT32(w, boot); err != nil {
			return err
		}
	}
	if _, err := w.WriteAt(p.sectorOf(boot), 0); err != nil {
		return fmt.Errorf("boot sector: %w", err)
	}
	return nil
}

func serialOf(s string) (uint32, error) {
	if s != "" {
		return parseSerial(s)
	}
	var b [4]byte
	_, err := rand.Read(b[:])
	return le.Uint32(b[:]), err
}

// A formatPlan is a geometry that is to be.
type formatPlan struct {
	geometry
	heads, track int64
}

// planFormat finds kind and cluster size.
func planFormat(o Options) (*formatPlan, error) {
	if o.Sector == 0 {
		o.Sector = 512
	}
	if o.FATs == 0 {
		o.FATs = 2
	}
	switch {
	case o.Sector < 512 || o.Sector > 4096 || bits.OnesCount64(uint64(o.Sector)) != 1:
		return nil, fmt.Errorf("sectors of %d bytes", o.Sector)
	case o.FATs < 1 || o.FATs > 2:
		return nil, fmt.Errorf("%d FATs", o.FATs)
	case o.Hidden < 0 || o.Hidden%o.Sector != 0 || o.Hidden/o.Sector > maxSectors:
		return nil, fmt.Errorf("hidden %d bytes are not a number of sectors of %d bytes", o.Hidden, o.Sector)
	case o.Size < 0 || o.Size/o.Sector > maxSectors:
		return nil, fmt.Errorf("more than %d sectors", int64(maxSectors))
	}
	kind := o.Kind
	if kind == 0 && o.Size >= kind32From {
		kind = 32
	}
	var err error
	for _, c := range candidates(kind, o) {
		var p *formatPlan
		if p, err = tryFormat(c.kind, c.cluster, o); err == nil {
			return p, nil
		}
	}
	return nil, err
}

// A candidate is a kind and a cluster size to try.
type candidate struct {
	kind    int
	cluster int64
}

// candidates come best first. FAT32 gets the largest clusters up to 4 KiB that
// leave it enough of them, and larger ones on large disks, as Microsoft's table
// has it; FAT12 and FAT16 begin with 2 KiB.
func candidates(kind int, o Options) []candidate {
	kinds := []int{kind}
	if kind == 0 {
		kinds = []int{12, 16}
	}
	sizes := []int64{2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 1 << 10, 512}
	if kind == 32 {
		largest := int64(4 << 10)
		for limit := int64(8 << 30); o.Size > limit && largest < 32<<10; limit *= 2 {
			largest *= 2
		}
		sizes = nil
		for c := largest; c >= 512; c /= 2 {
			sizes = append(sizes, c)
		}
	}
	if o.Cluster != 0 {
		sizes = []int64{o.Cluster}
	}
	var list []candidate
	for _, c := range sizes {
		for _, k := range kinds {
			if o.Cluster != 0 || c >= o.Sector {
				list = append(list, candidate{k, c})
			}
		}
	}
	return list
}

// tryFormat lays a file system of one kind out, or tells why that cannot be.
func tryFormat(kind int, cluster int64, o Options) (*formatPlan, error) {
	if cluster < o.Sector || cluster > o.Sector*maxCluster || bits.OnesCount64(uint64(cluster)) != 1 {
		return nil, fmt.Errorf("clusters of %d bytes on sectors of %d bytes", cluster, o.Sector)
	}
	least, most := int64(1), int64(0)
	switch kind {
	case 12:
		most = maxClusters12 - margin
	case 16:
		least, most = maxClusters12+margin, maxClusters16-margin
	case 32:
		least, most = maxClusters16+margin, maxClusters32-margin
	default:
		return nil, fmt.Errorf("a FAT of %d bits: there are 12, 16 and 32", kind)
	}
	p := &formatPlan{geometry: geometry{bits: kind, sector: o.Sector, cluster: cluster, fats: o.FATs, media: mediaDisk, lone: -1}}
	p.heads, p.track = diskShape(o.Size / o.Sector)
	// mtools wants whole tracks
	p.size = o.Size / o.Sector / p.track * p.track * o.Sector
	p.fatOff = o.Sector
	if kind == 32 {
		p.fatOff, p.rootStart = 32*o.Sector, firstCluster
		p.infoOff, p.backupOff = infoSector*o.Sector, backupSector*o.Sector
	} else {
		p.rootLen = (rootEntries*slotSize + o.Sector - 1) / o.Sector * o.Sector
	}
	p.layOut()
	if p.clusters < least || p.clusters > most {
		return nil, fmt.Errorf("%d clusters of %d bytes; FAT%d has %d to %d", max(0, p.clusters), cluster, kind, least, most)
	}
	return p, nil
}

// layOut finds the length of a FAT that is long enough for the clusters that
// are left beside it, and aligns the first of these.
func (p *formatPlan) layOut() {
	reserved := p.fatOff
	for p.fatLen = p.sector; ; {
		p.fatOff = reserved
		if p.size >= alignFrom {
			edge := max(align, p.cluster)
			data := p.fatOff + p.fats*p.fatLen + p.rootLen
			p.fatOff += (edge - data%edge) % edge
		}
		p.rootOff = p.fatOff + p.fats*p.fatLen
		p.dataOff = p.rootOff + p.rootLen
		p.clusters = (p.size - p.dataOff) / p.cluster
		need := (tableLen(p.bits, max(0, p.clusters)) + p.sector - 1) / p.sector * p.sector
		if need <= p.fatLen {
			return
		}
		p.fatLen = need
	}
}

// diskShape is the number of heads and of sectors a track, of which nobody
// needs more than that they are plausible: dosfstools 4.2, src/mkfs.fat.c,
// establish_params.
func diskShape(sectors int64) (heads, track int64) {
	shapes := []struct{ upTo, heads, track int64 }{
		{4096, 2, 16}, {32768, 2, 32}, {65536, 4, 32}, {262144, 8, 32}, {524288, 16, 32},
		{16 * 63 * 1024, 16, 63}, {32 * 63 * 1024, 32, 63}, {64 * 63 * 1024, 64, 63}, {128 * 63 * 1024, 128, 63},
	}
	for _, s := range shapes {
		if sectors <= s.upTo {
			return s.heads, s.track
		}
	}
	return 255, 63
}
