// Package fat answers: which bytes does a FAT file system use, what files does
// it hold, and how are files put into it, and the file system onto a part? It
// reads FAT12, FAT16 and FAT32 (FS), changes files in them without a kernel's
// help (Editor), and makes them (Format).
//
// A boot part is FAT: the engine copies only what Used tells, package identity
// rewrites cmdline.txt through an Editor, the rescue builder formats a stick
// and fills it. The package neither resizes a file system nor repairs one:
// fsck.vfat does. It opens nothing; who calls it brings an io.ReaderAt.
package fat

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"lifeboat/clone/extent"
)

// An FS is a FAT file system that is read. It is an fs.FS, also an
// fs.ReadDirFS, fs.ReadFileFS and fs.StatFS; names are found whatever their
// case, by their long or their short form. Its files are io.ReaderAt and
// io.Seeker. It may be used from any goroutine, while nobody writes to it.
type FS struct {
	*volume
	boot  []byte
	notes []string

	scan func() (scan, error)

	mu     sync.Mutex
	owners map[uint32]owner // by a folder's first cluster
}

// owner is the slot through which a folder was entered first.
type owner struct {
	in   uint32
	slot int
}

// Open reads the boot sector of a part of size bytes. The error wraps ErrNotFAT
// where there is no FAT file system, and says so in other words where there is
// one that Linux would not mount either. Nothing has to be closed.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	boot, g, notes, err := readBoot(r, size)
	if err != nil {
		return nil, err
	}
	if g.backupOff > 0 {
		backup := make([]byte, bootSize)
		if err := readFull(r, backup, g.backupOff); err != nil {
			notes = append(notes, fmt.Sprintf("backup boot sector: %v", err))
		} else if differ(boot, backup) {
			notes = append(notes, "the backup boot sector differs")
		}
	}
	f := newFS(newVolume(g, r, nil), boot)
	f.notes = notes
	return f, nil
}

func newFS(v *volume, boot []byte) *FS {
	reader := *v
	reader.known = &known{}
	f := &FS{volume: &reader, boot: boot, owners: map[uint32]owner{}}
	f.scan = sync.OnceValues(func() (scan, error) { return scanTable(v.table) })
	return f
}

// differ compares a boot sector with its backup. That the file system is in
// use is noted in the first alone.
func differ(boot, backup []byte) bool {
	state := base32 + offState
	return string(boot[:state]) != string(backup[:state]) || string(boot[state+1:]) != string(backup[state+1:])
}

// Used is the set of bytes in use: all before the first cluster (boot sectors,
// FATs, the fixed root directory), and the clusters that belong to something by
// the FAT. Bad clusters and what lies behind the last cluster are not. Where
// the FATs differ, a cluster is used if any of them says so. The first call
// reads the FATs.
func (f *FS) Used() (extent.Set, error) {
	s, err := f.scan()
	return s.used, err
}

// FreeBytes is the sum of all free clusters; -1 where the FAT cannot be read.
// The first call of it or Used reads the FATs.
func (f *FS) FreeBytes() int64 {
	s, err := f.scan()
	if err != nil {
		return -1
	}
	return s.free * f.cluster
}

// Notes tells what is odd about the file system, in sentences: that its FATs
// differ (FAT 0 is the one that is read, as Linux does), that the backup boot
// sector does. The first call of it or Used reads the FATs.
func (f *FS) Notes() []string {
	s, _ := f.scan()
	return append(append([]string(nil), f.notes...), s.notes...)
}

// Type is "fat12", "fat16" or "fat32".
func (f *FS) Type() string { return fmt.Sprintf("fat%d", f.bits) }

// Size is the length of the file system in bytes, at most that of its part.
func (f *FS) Size() int64 { return f.size }

// ClusterSize is in bytes.
func (f *FS) ClusterSize() int64 { return f.cluster }

// SectorSize is the file system's own, in bytes.
func (f *FS) SectorSize() int64 { return f.sector }

// Serial is the volume's serial number, as blkid prints it for a UUID:
// "1234-ABCD"; "" if there is none.
func (f *FS) Serial() string {
	if sig := f.boot[f.base()+offExt]; sig != extSerial && sig != extLabel {
		return ""
	}
	n := le.Uint32(f.boot[f.base()+offSerial:])
	return fmt.Sprintf("%04X-%04X", n>>16, n&0xffff)
}

// Label is the volume's label as blkid prints it: the one in the root
// directory; "" if there is none, or that directory cannot be read.
func (f *FS) Label() string {
	d, err := f.readDir(0)
	if err != nil || d.label < 0 {
		return ""
	}
	a := alias(d.slot(d.label)[:11])
	if a[0] == 0x05 {
		a[0] = 0xe5
	}
	return strings.TrimRight(decode437(a[:]), " ")
}

// Dirty tells whether the file system was in use when it was last written to:
// Linux notes that in the boot sector, Windows in the FAT.
func (f *FS) Dirty() bool {
	if f.boot[f.base()+offState]&stateDirt != 0 {
		return true
	}
	if f.bits == 12 {
		return false
	}
	// FAT: General Overview, page 18: ClnShutBitMask
	clean := uint32(0x8000)
	if f.bits == 32 {
		clean = 0x08000000
	}
	v, err := f.table.get(1)
	return err == nil && v&clean == 0
}

// A scan is what one pass over the FATs tells.
type scan struct {
	used  extent.Set
	free  int64 // clusters
	notes []string
}

func scanTable(t *table) (scan, error) {
	s, sum, err := scanOne(t, 0)
	if err != nil {
		return scan{}, err
	}
	for n := int64(1); n < t.g.fats; n++ {
		more, other, err := scanOne(t, n)
		switch {
		case err != nil:
			s.notes = append(s.notes, err.Error())
		case other != sum:
			s.notes = append(s.notes, fmt.Sprintf("FAT %d differs from FAT 0, which is the one that counts", n))
			s.used = s.used.Union(more.used)
		}
	}
	for _, off := range t.g.stray {
		s.used = s.used.Union(extent.Of(extent.Extent{Off: off, Len: t.g.sector}).Clip(extent.Extent{Len: t.g.size}))
	}
	return s, nil
}

// scanOne also makes a sum of all entries: FATs are compared by it, so that
// none has to be held in memory.
func scanOne(t *table, n int64) (scan, uint64, error) {
	s := scan{used: extent.Set{{Off: 0, Len: t.g.dataOff}}}
	sum := uint64(14695981039346656037) // FNV-1a, a word at a time
	err := t.each(n, func(c, v uint32) {
		sum = (sum ^ uint64(v)) * 1099511628211
		switch v {
		case 0:
			s.free++
		case t.g.bad():
		default:
			s.used = s.used.Append(extent.Extent{Off: t.g.off(c), Len: t.g.cluster})
		}
	})
	return s, sum, err
}
