package fit

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"io/fs"

	"lifeboat/clone/filesystem/ext4"
)

// Times and checksum of an inode: Linux v6.12, fs/ext4/ext4.h, struct
// ext4_inode.
const (
	offCTime       = 0xc
	offMTime       = 0x10
	offGeneration  = 0x64
	offInodeCsum   = 0x7c
	oldInodeSize   = 0x80
	offExtraSize   = 0x80
	offInodeCsumHi = 0x82
	offCTimeExtra  = 0x84
	offMTimeExtra  = 0x88
)

// Times are the fields of an inode as they lie there.
type times struct{ ctime, mtime, ctimeExtra, mtimeExtra uint32 }

// dirTimes are the times of all directories, by the hash of their path: inode
// numbers change. resize2fs sets them to now where it changes an entry
// (resize2fs.c of e2fsprogs 1.47.0, check_and_change_inodes).
type dirTimes struct {
	seed  maphash.Seed
	known map[uint64]times
}

// dirTimes notes the times of all directories, nothing where no inode gets a new
// number.
func (p *Parker) dirTimes(now *Facts) (*dirTimes, error) {
	t := &dirTimes{maphash.MakeSeed(), map[uint64]times{}}
	g := &now.geo
	stays := g.groupCount(g.usable(p.dev.room))
	moves := false
	for i, x := range g.groups {
		moves = moves || int64(i) >= stays && x.freeInodes < g.inodesPerGroup
	}
	if !moves {
		return t, nil
	}
	err := p.eachDir(now, func(path string, in *patchedInode) error {
		t.known[maphash.String(t.seed, path)] = in.times()
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("times of directories: %w", err)
	}
	return t, nil
}

// setDirTimes gives directories the times that they had.
func (p *Parker) setDirTimes(ctx context.Context, t *dirTimes) error {
	if len(t.known) == 0 {
		return nil
	}
	d := p.dev
	now, err := Survey(d, d.room*d.block)
	if err != nil {
		return fmt.Errorf("what resize2fs made: %w", err)
	}
	set := 0
	err = p.eachDir(now, func(path string, in *patchedInode) error {
		was, ok := t.known[maphash.String(t.seed, path)]
		if !ok || was == in.times() {
			return ctx.Err()
		}
		set++
		in.setTimes(was)
		_, err := d.WriteAt(in.raw, in.off)
		return err
	})
	if err != nil {
		return fmt.Errorf("times of directories: %w", err)
	}
	p.logf("gave %d directories their times back", set)
	return nil
}

// eachDir yields all directories of the file system on the device.
func (p *Parker) eachDir(f *Facts, do func(path string, in *patchedInode) error) error {
	opened, err := ext4.Open(p.dev, f.Size)
	if err != nil {
		return err
	}
	return fs.WalkDir(opened.Files(), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*ext4.Stat)
		if !ok {
			return fmt.Errorf("%s has no inode", path)
		}
		in, err := f.geo.inode(p.dev, st.Ino)
		if err != nil {
			return err
		}
		return do(path, in)
	})
}

// A patchedInode is an inode in its table.
type patchedInode struct {
	g   *geometry
	num uint32
	raw []byte
	off int64 // bytes
}

func (g *geometry) inode(d *device, num uint32) (*patchedInode, error) {
	i := int64(num) - 1
	if i < 0 || i/g.inodesPerGroup >= int64(len(g.groups)) {
		return nil, fmt.Errorf("there is no inode %d", num)
	}
	in := &patchedInode{g, num, make([]byte, g.inodeSize), g.groups[i/g.inodesPerGroup].inodeTable*g.block + i%g.inodesPerGroup*g.inodeSize}
	return in, readFull(d, in.raw, in.off)
}

// has tells whether a field that ends at end lies in the inode.
func (in *patchedInode) has(end int) bool {
	return len(in.raw) >= offExtraSize+2 && len(in.raw) >= end &&
		oldInodeSize+int(binary.LittleEndian.Uint16(in.raw[offExtraSize:])) >= end
}

func (in *patchedInode) times() times {
	le := binary.LittleEndian
	t := times{ctime: le.Uint32(in.raw[offCTime:]), mtime: le.Uint32(in.raw[offMTime:])}
	if in.has(offMTimeExtra + 4) {
		t.ctimeExtra, t.mtimeExtra = le.Uint32(in.raw[offCTimeExtra:]), le.Uint32(in.raw[offMTimeExtra:])
	}
	return t
}

func (in *patchedInode) setTimes(t times) {
	le := binary.LittleEndian
	le.PutUint32(in.raw[offCTime:], t.ctime)
	le.PutUint32(in.raw[offMTime:], t.mtime)
	if in.has(offMTimeExtra + 4) {
		le.PutUint32(in.raw[offCTimeExtra:], t.ctimeExtra)
		le.PutUint32(in.raw[offMTimeExtra:], t.mtimeExtra)
	}
	if in.g.ro&roMetadataCsum == 0 {
		return
	}
	sum := in.csum()
	le.PutUint16(in.raw[offInodeCsum:], uint16(sum))
	if in.has(offInodeCsumHi + 2) {
		le.PutUint16(in.raw[offInodeCsumHi:], uint16(sum>>16))
	}
}

// csum is the inode's checksum. Linux v6.12, fs/ext4/inode.c, ext4_inode_csum.
func (in *patchedInode) csum() uint32 {
	le := binary.LittleEndian
	b := append([]byte(nil), in.raw...)
	le.PutUint16(b[offInodeCsum:], 0)
	if in.has(offInodeCsumHi + 2) {
		le.PutUint16(b[offInodeCsumHi:], 0)
	}
	c := crc32c(in.g.seed, le.AppendUint32(nil, in.num))
	c = crc32c(c, b[offGeneration:offGeneration+4])
	return crc32c(c, b)
}
