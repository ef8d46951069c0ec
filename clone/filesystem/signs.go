package filesystem

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"

	"lifeboat/clone/manifest"
)

// Places of signatures and facts are those of util-linux v2.38,
// libblkid/src/superblocks/*.c, with the file system's own struct named where
// it is read.
const (
	bcacheOff = 4096
	f2fsOff   = 1024
	erofsOff  = 1024
	btrfsOff  = 64 << 10
	isoOff    = 32 << 10
	sector    = 512
)

func uuid(b []byte) string {
	if bytes.Equal(b[:16], make([]byte, 16)) {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// text is a label that ends with its field or the first zero byte; what pads it
// at the end is cut off.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return strings.TrimRight(string(b), " ")
}

func serial(n uint32) string { return fmt.Sprintf("%04X-%04X", n>>16, n&0xffff) }

// bcacheFacts: struct bcache_super_block.
func bcacheFacts(h []byte) manifest.FS { return manifest.FS{UUID: uuid(h[bcacheOff+40:])} }

// luksFacts: struct luks_phdr (version 1) and luks2_phdr.
func luksFacts(h []byte) manifest.FS {
	fs := manifest.FS{UUID: text(h[168 : 168+40])}
	if binary.BigEndian.Uint16(h[6:]) == 2 {
		fs.Label = text(h[24 : 24+48])
	}
	return fs
}

// xfsFacts: struct xfs_sb.
func xfsFacts(h []byte) manifest.FS {
	be := binary.BigEndian
	fs := manifest.FS{UUID: uuid(h[32:]), Label: text(h[108 : 108+12]), Block: int64(be.Uint32(h[4:]))}
	if n := be.Uint64(h[8:]); n < 1<<46 && fs.Block <= 64<<10 {
		fs.Size = int64(n) * fs.Block
	}
	return fs
}

// f2fsFacts: struct f2fs_super_block.
func f2fsFacts(h []byte) manifest.FS {
	var label []uint16
	for b := h[f2fsOff+124 : f2fsOff+124+1024]; len(b) > 0; b = b[2:] {
		c := binary.LittleEndian.Uint16(b)
		if c == 0 {
			break
		}
		label = append(label, c)
	}
	return manifest.FS{UUID: uuid(h[f2fsOff+108:]), Label: string(utf16.Decode(label))}
}

// btrfsFacts: struct btrfs_super_block.
func btrfsFacts(h []byte) manifest.FS {
	le, b := binary.LittleEndian, h[btrfsOff:]
	fs := manifest.FS{UUID: uuid(b[32:]), Label: text(b[299 : 299+256]), Block: int64(le.Uint32(b[144:]))}
	if n := le.Uint64(b[112:]); n < 1<<62 {
		fs.Size = int64(n) // of all its devices
	}
	return fs
}

// isoFacts: the primary volume descriptor, ECMA-119 8.4.
func isoFacts(h []byte) manifest.FS { return manifest.FS{Label: text(h[isoOff+40 : isoOff+72])} }

// ntfsFacts: struct ntfs_super_block.
func ntfsFacts(h []byte) manifest.FS {
	return manifest.FS{UUID: fmt.Sprintf("%016X", binary.LittleEndian.Uint64(h[72:]))}
}

// exfatFacts: struct exfat_super_block.
func exfatFacts(h []byte) manifest.FS {
	return manifest.FS{UUID: serial(binary.LittleEndian.Uint32(h[100:]))}
}

// erofsFacts: struct erofs_super_block.
func erofsFacts(h []byte) manifest.FS {
	return manifest.FS{UUID: uuid(h[erofsOff+48:]), Label: text(h[erofsOff+64 : erofsOff+80])}
}

// probeLVM looks for struct pv_header behind a label in the first four sectors.
func probeLVM(p *prober) (manifest.FS, bool, error) {
	for off := 0; off < 4*sector; off += sector {
		b := p.head[off : off+sector]
		if string(b[:8]) != "LABELONE" || string(b[24:32]) != "LVM2 001" {
			continue
		}
		id := string(b[32:64])
		cuts := []int{0, 6, 10, 14, 18, 22, 26, 32}
		var words []string
		for i := range len(cuts) - 1 {
			words = append(words, id[cuts[i]:cuts[i+1]])
		}
		return manifest.FS{UUID: strings.Join(words, "-")}, true, nil
	}
	return manifest.FS{}, false, nil
}

// probeRAID looks in the four places where Linux md writes: 1.1, 1.2, 1.0, and
// 0.90, whose numbers are in the byte order of the machine.
func probeRAID(p *prober) (manifest.FS, bool, error) {
	magic := []byte{0xfc, 0x4e, 0x2b, 0xa9}
	swapped := []byte{0xa9, 0x2b, 0x4e, 0xfc}
	v10 := (p.size/sector - 16) &^ 7 * sector
	v090 := p.size&^(64<<10-1) - 64<<10
	for _, off := range []int64{0, 4096, v10, v090} {
		if off < 0 || off+64 > p.size {
			continue
		}
		var b [64]byte
		if n, err := p.r.ReadAt(b[:], off); n < len(b) {
			return manifest.FS{}, false, fmt.Errorf("read %d bytes at %d: %w", len(b), off, err)
		}
		old := off == v090
		if !bytes.Equal(b[:4], magic) && !(old && bytes.Equal(b[:4], swapped)) {
			continue
		}
		if old {
			return manifest.FS{Detail: "version 0.90"}, true, nil
		}
		return manifest.FS{UUID: uuid(b[16:]), Label: text(b[32:64])}, true, nil
	}
	return manifest.FS{}, false, nil
}

// probeZFS looks for the uberblocks in the first label: 128 of a KiB each from
// 128 KiB on. Four are enough, as for blkid.
func probeZFS(p *prober) (manifest.FS, bool, error) {
	const start, length, step, enough = 128 << 10, 128 << 10, 1 << 10, 4
	if p.size < start+length {
		return manifest.FS{}, false, nil
	}
	b := make([]byte, length)
	if n, err := p.r.ReadAt(b, start); n < len(b) {
		return manifest.FS{}, false, fmt.Errorf("read %d bytes at %d: %w", len(b), start, err)
	}
	found := 0
	for off := 0; off < length; off += step {
		if u := b[off : off+8]; binary.LittleEndian.Uint64(u) == 0x00bab10c || binary.BigEndian.Uint64(u) == 0x00bab10c {
			found++
		}
	}
	return manifest.FS{}, found >= enough, nil
}
