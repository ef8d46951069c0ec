package filesystem

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"lifeboat/clone/filesystem/ext4"
	"lifeboat/clone/filesystem/fat"
	"lifeboat/clone/filesystem/swap"
	"lifeboat/clone/manifest"
)

// Where blkid looks: up to the first 68 KiB, ZFS's blocks behind them, and the
// end, where some RAIDs write.
const headSize = 68 << 10

// A prober is the part that is looked at.
type prober struct {
	r    io.ReaderAt
	size int64
	head []byte // the first headSize bytes, zeros where the part is shorter
}

// A kind is one content that a part may have. A member is a piece of a larger
// device: what else seems to lie in it belongs to that.
type kind struct {
	name   string
	member bool
	probe  func(p *prober) (fs manifest.FS, found bool, err error)
}

// kinds are in the order of blkid.
var kinds = []kind{
	{"linux_raid_member", true, probeRAID},
	{"bcache", true, bySignature(bcacheOff+24, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", bcacheFacts)},
	{"LVM2_member", true, probeLVM},
	{"crypto_LUKS", true, bySignature(0, "LUKS\xba\xbe", luksFacts)},
	{"BitLocker", true, bySignature(3, "-FVE-FS-", nil)},
	{"vfat", false, probeFAT},
	{"swap", false, probeSwap},
	{"xfs", false, bySignature(0, "XFSB", xfsFacts)},
	{"ext", false, probeExt},
	{"f2fs", false, bySignature(f2fsOff, "\x10\x20\xf5\xf2", f2fsFacts)},
	{"squashfs", false, bySignature(0, "hsqs", nil)},
	{"zfs_member", true, probeZFS},
	{"btrfs", false, bySignature(btrfsOff+64, "_BHRfS_M", btrfsFacts)},
	{"iso9660", false, bySignature(isoOff+1, "CD001", isoFacts)},
	{"ntfs", false, bySignature(3, "NTFS    ", ntfsFacts)},
	{"exfat", false, bySignature(3, "EXFAT   ", exfatFacts)},
	{"erofs", false, bySignature(erofsOff, "\xe2\xe1\xf5\xe0", erofsFacts)},
}

// Probe says what blkid would say of a part of size bytes. Where it finds
// nothing, a damaged superblock, or signs of more than one file system, Type is
// "": Detail tells the last two cases. An error is one of the reader.
func Probe(r io.ReaderAt, size int64) (manifest.FS, error) {
	p := &prober{r: r, size: size, head: make([]byte, headSize)}
	if n := min(headSize, size); n > 0 {
		if got, err := r.ReadAt(p.head[:n], 0); int64(got) < n {
			return manifest.FS{}, fmt.Errorf("probe: read %d bytes at 0: %w", n, err)
		}
	}
	var found []manifest.FS
	var damaged string
	for _, k := range kinds {
		fs, ok, err := k.probe(p)
		if err != nil {
			return manifest.FS{}, fmt.Errorf("probe for %s: %w", k.name, err)
		}
		if !ok {
			damaged += fs.Detail
			continue
		}
		if fs.Type == "" {
			fs.Type = k.name
		}
		if found = append(found, fs); k.member && len(found) == 1 {
			return fs, nil
		}
	}
	switch len(found) {
	case 0:
		if damaged == "" {
			damaged = alien(p.head)
		}
		return manifest.FS{Detail: damaged}, nil
	case 1:
		return found[0], nil
	}
	var types []string
	for _, fs := range found {
		types = append(types, fs.Type)
	}
	return manifest.FS{Detail: "signs of more than one file system: " + strings.Join(types, ", ")}, nil
}

// bySignature makes a probe for a kind that has one place to look at.
func bySignature(off int, magic string, facts func(head []byte) manifest.FS) func(*prober) (manifest.FS, bool, error) {
	return func(p *prober) (manifest.FS, bool, error) {
		if string(p.head[off:off+len(magic)]) != magic {
			return manifest.FS{}, false, nil
		}
		if facts == nil {
			return manifest.FS{}, true, nil
		}
		return facts(p.head), true, nil
	}
}

func probeExt(p *prober) (manifest.FS, bool, error) {
	f, err := ext4.Open(p.r, p.size)
	var doubt *ext4.UnsureError
	switch {
	case errors.Is(err, ext4.ErrNotExt):
		return manifest.FS{}, false, nil
	case errors.As(err, &doubt):
		return manifest.FS{Detail: "a damaged ext file system: " + doubt.Why}, false, nil
	case err != nil:
		return manifest.FS{}, false, err
	}
	s := f.Super()
	return manifest.FS{Type: s.Type, Label: s.Label, UUID: s.UUID, Size: s.Size, Block: s.Block, Dirty: s.Dirty}, true, nil
}

func probeFAT(p *prober) (manifest.FS, bool, error) {
	noted := &notedReader{r: p.r}
	f, err := fat.Open(noted, p.size)
	if err != nil {
		return manifest.FS{}, false, noted.err
	}
	fs := manifest.FS{Type: typeVFAT, Label: f.Label(), UUID: f.Serial(), Size: f.Size(), Block: f.ClusterSize()}
	return fs, true, noted.err
}

func probeSwap(p *prober) (manifest.FS, bool, error) {
	s, err := swap.Open(p.r, p.size)
	if err != nil {
		if errors.Is(err, swap.ErrNotSwap) {
			err = nil
		}
		return manifest.FS{}, false, err
	}
	fs := manifest.FS{Type: typeSwap, Label: s.Label, UUID: s.UUID, Size: s.Size(), Block: s.PageSize}
	if s.Suspended {
		fs.Type = typeSuspended
	}
	return fs, true, nil
}
